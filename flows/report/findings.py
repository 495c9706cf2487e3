"""The report's sections about what was found: the result, ablations, evolutionary sweeps."""

from collections import Counter
from collections.abc import Sequence

from wildloop.flows.evidence import texts
from wildloop.flows.evidence.ablation import RULE as RULE_OF_ABLATION
from wildloop.flows.evidence.ablation import ablation
from wildloop.flows.evidence.account import KEEP_RULE, RULE
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.ranked import short_list
from wildloop.flows.evidence.settings import seed_of, shown
from wildloop.flows.models.evidence import AblationRow, Estimate
from wildloop.flows.models.evo import Trial, TrialStatus
from wildloop.flows.models.evo_sweep import EvoSweepRecord
from wildloop.flows.models.own_runs import is_confirmation, is_further
from wildloop.flows.models.run import Run
from wildloop.flows.report.beside import beside
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.ranking import SHOWN, ranking, rows_of
from wildloop.flows.report.sealed import sealed_values
from wildloop.flows.report.text import code, link, number, plain, signed, table
from wildloop.flows.search.summary import CANDIDATE

NO_METRIC = (
    "No primary metric was fixed: set `[metric] name` in wildloop.toml before the next session, or "
    "name one for this (`wildloop contract set`). Nothing can be compared without one."
)
LEVELS = (
    "A value is *claimed* where a run wrote it, *measured* where the project's own command did "
    "with protected files untouched, *confirmed* where Wildloop ran that again on seeds of its "
    "own; then these runs alone count. *Sealed* is what of that was measured on data that neither "
    "agent nor runs could read."
)
CHOSE = ", chose it"
OWN = "confirm"
FURTHER = "further"
NOT_COUNTED = ", not counted"
SHOWN_TRIALS = 20
SHOWN_RUNS = 8


def result(facts: ReportFacts, pictures: Sequence[str] = ()) -> str:
    """The ranked table, what it comes to in full, and what is to be known of it."""
    metric = facts.metric
    if metric is None:
        return NO_METRIC
    if not any(one.n for one in facts.account.configurations):
        return ""
    goal = texts.target_line(facts.account)
    full = f"In full: {plain(texts.headline(facts.account), 1000)}."
    parts = [
        ranking(facts),
        *pictures,
        " ".join([full, *([f"{plain(goal[:1].upper() + goal[1:], 300)}."] if goal else [])]),
        sealed_values(facts),
        "" if facts.account.contract.guards else beside(facts),
        "\n".join(f"- {plain(note, 500)}" for note in texts.notes(facts.account)),
    ]
    return "\n\n".join(filter(None, parts))


def behind(facts: ReportFacts) -> str:
    """The runs behind the numbers of the ranked table; empty where nothing has a value."""
    rows = [row for row in rows_of(facts) if row.one.n]
    listed = short_list(rows, SHOWN)
    cells = []
    for row in listed:
        seen = row.one.counted
        cells.append(_behind(row.standing, row.one, seen, measured(row.one)))
        if row.estimate.values not in (row.one.compared.values, seen.values):
            runs = _further(row.one, row.estimate, facts)
            cells.append(_behind(f"{row.standing}, further seeds", row.one, row.estimate, runs))
    header = ["", "settings", "seeds", "mean", "SD", "runs (seed: value)"]
    return table(header, cells, right=3, after=1) if cells else ""


def _behind(standing: str, one: Configuration, found: Estimate, runs: str) -> list[str]:
    means = [str(found.n), number(found.mean), number(found.sd, 3)]
    return [standing, settings(one), *means, runs]


def _further(one: Configuration, found: Estimate, facts: ReportFacts) -> str:
    """The runs that have decided nothing, by which the best and the baseline are told."""
    ids = {run.id for run in one.runs}
    runs = {seed_of(run): run for run in facts.own if is_further(run) and run.parent_run_id in ids}
    told = [
        f"{run_link(run, FURTHER)} (seed {plain(seed, 20)}: {number(value)})"
        for seed, value in zip(found.seeds, found.values, strict=True)
        if (run := runs.get(seed)) is not None
    ]
    return ", ".join(told)


def settings(group: Configuration) -> str:
    """The configuration's parameters, and its code where there are several."""
    told = shown(group.settings) or "-"
    return plain(f"{told} ({group.code_name})" if group.code_name else told)


def measured(group: Configuration) -> str:
    """The runs behind a mean, each with its value; then those that it is not taken from.

    The seeds that chose the configuration are marked.
    """
    said = []
    if group.own.n > 1:
        own = {run.id for run in group.own_runs}
        said += [_seed(seed, pairs) for seed, pairs in group.own_by_seed.items()]
        for seed, pairs in group.by_seed.items():
            if others := [pair for pair in pairs if pair[0].id not in own]:
                said.append(_seed(seed, others, NOT_COUNTED))
    else:
        for seed, pairs in group.by_seed.items():
            said.append(_seed(seed, pairs, CHOSE if seed in group.choosing else ""))
    more = len(said) - SHOWN_RUNS
    return ", ".join(said[:SHOWN_RUNS]) + (f" and {more} more" if more > 0 else "")


def _seed(seed: str, pairs: Sequence[tuple[Run, float]], mark: str = "") -> str:
    told = plain("?" if seed.startswith("run ") else seed, 20)
    again = f", mean of {len(pairs)} runs" if len(pairs) > 1 else ""
    value = sum(value for _, value in pairs) / len(pairs)
    last = pairs[-1][0]
    # The names of Wildloop's own tell the settings, which stand beside.
    name = OWN if is_confirmation(last) else None
    return f"{run_link(last, name)} (seed {told}: {number(value)}{mark}{again})"


def run_link(run: Run, name: str | None = None) -> str:
    """The run's name, or another, linked to its page, and the beginning of its id."""
    name = name or run.name
    told = link(name, run.ui_url) if run.ui_url else plain(name, 80)
    return f"{told} {code(run.id[:8])}"


def account_rule(facts: ReportFacts) -> str:
    """How the best is found, for a reader to check."""
    account = facts.account
    rule = RULE if account.branch is None else KEEP_RULE
    if any(run.sweep_id or "ablat" in run.name.lower() for run in facts.runs):
        rule = f"{rule} {RULE_OF_ABLATION}"
    return f"{rule} All tests of the session share alpha = {account.contract.alpha:g}. {LEVELS}"


def ablations(facts: ReportFacts) -> str:
    """What each component of the reference is worth."""
    found, account = ablation(facts.account), facts.account
    if facts.metric is None or found is None or not found.rows:
        return ""
    reference = account.by_id[found.reference]
    head = f"Reference: {settings(reference)}; {plain(found.estimate.text)}: {measured(reference)}."
    header = ["removed", "runs (seed: value)", "seeds", "mean", "without - with", "p", "verdict"]
    rows = [_ablation_row(one, facts) for one in found.rows]
    return f"{head}\n\n{table(header, rows)}"


def _ablation_row(one: AblationRow, facts: ReportFacts) -> list[str]:
    account = facts.account
    group, test = account.by_id[one.configuration], one.comparison
    reference = ablation(account)
    with_it = reference.estimate.mean if reference is not None else None
    mean = group.compared.mean
    if mean is None:
        failed = ", ".join(run_link(run) for run in group.runs[:SHOWN_RUNS])
        return [plain(one.removed), failed, "0", "-", "-", "-", "no result"]
    more = f" ({one.seeds_to_decide} more seeds would decide)" if one.seeds_to_decide else ""
    return [
        plain(one.removed),
        measured(group),
        str(group.compared.n),
        number(mean),
        signed(mean - with_it) if with_it is not None else "-",
        "-" if test is None or test.p is None else f"{test.p:.2g}",
        one.verdict + more,
    ]


def evo_sweeps(facts: ReportFacts, pictures: Sequence[str]) -> str:
    """The evolutionary sweeps; `pictures` are ready image links, those of all sweeps together."""
    if not facts.evo_sweeps:
        return ""
    parts = [_evo_sweep(record, facts) for record in facts.evo_sweeps]
    return "\n\n".join([*parts, *pictures])


def _evo_sweep(record: EvoSweepRecord, facts: ReportFacts) -> str:
    spec, trials = record.state.spec, record.state.trials
    counts = Counter(one.status for one in trials)
    said = ", ".join(f"{counts[one]} {one.value}" for one in TrialStatus if counts[one])
    parts = [
        f"### {plain(record.name, 100)}",
        f"{record.status.value}: {len(trials)} of {spec.budget} trials ({said or 'none'}), "
        f"{spec.generations} generations of {spec.population_size} by {code(spec.sampler.value)}, "
        f"for {code(spec.fitness_metric)} ({spec.fitness_direction}), asked for by "
        f"{code(record.label)}. {plain(record.reason)}",
    ]
    sign = -1 if spec.fitness_direction == "max" else 1
    ranked = sorted(
        (one for one in trials if one.status is TrialStatus.FINISHED and one.value is not None),
        key=lambda one: (sign * (one.value or 0.0), one.number),
    )
    if ranked:
        parts.append(
            f"Best single run: trial {ranked[0].number} with {number(ranked[0].value)}. {CANDIDATE}"
        )
        parts.append(_trial_table(ranked[:SHOWN_TRIALS], list(spec.search_space), facts))
    if len(ranked) > SHOWN_TRIALS:
        parts.append(f"The best {SHOWN_TRIALS} of {len(ranked)} finished trials.")
    return "\n\n".join(parts)


def _trial_table(trials: Sequence[Trial], names: Sequence[str], facts: ReportFacts) -> str:
    by_id = facts.by_id
    rows = []
    for one in trials:
        run = by_id.get(one.run_id or "")
        rows.append(
            [
                str(one.number),
                str(one.generation + 1),
                run_link(run) if run else code((one.run_id or "-")[:8]),
                *[plain(_short(one.parameters.get(name, "")), 40) for name in names],
                number(one.value),
            ]
        )
    header = ["trial", "generation", "run", *[plain(name, 40) for name in names], "value"]
    return table(header, rows, right=1)


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
