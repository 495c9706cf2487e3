"""The report's sections about what was found: the result, ablations, evolutionary sweeps."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from flows.configurations.groups import Configuration
from flows.configurations.settings import seed_of, shown
from flows.models.evo import Trial, TrialStatus
from flows.models.evo_sweep import EvoSweepRecord
from flows.models.run import Run
from flows.project import MetricConfig
from flows.report.ablation import RULE, Ablation
from flows.report.facts import ReportFacts
from flows.report.statistics import Difference, spread
from flows.report.text import code, link, number, plain, signed, table

NO_METRIC = (
    "No primary metric is named: set `[metric] name` in wildloop.toml, or a line `Primary metric: "
    "NAME (max)` in the plan's contract. Nothing can be compared without one."
)
SHOWN_TRIALS = 20
SHOWN_RUNS = 8


def result(facts: ReportFacts) -> str:
    """Best against baseline, with how sure that is."""
    metric = facts.metric
    if metric is None:
        return NO_METRIC
    if facts.best is None or facts.baseline is None:
        return f"No finished run has a value of {code(metric.name)}: nothing can be compared."
    rows = [_group_row("baseline", facts.baseline_group, facts)]
    if facts.best_group is not facts.baseline_group:
        same = facts.best_group is facts.confirmed_group
        rows.append(_group_row("best" if same else "best single run", facts.best_group, facts))
        if not same:
            rows.append(_group_row("best over seeds", facts.confirmed_group, facts))
    header = ["", "settings", "runs (seed: value)", "seeds", "mean", "SD"]
    return table(header, rows, right=3) + "\n\n" + verdict(facts, metric)


def _group_row(title: str, group: Configuration | None, facts: ReportFacts) -> list[str]:
    if group is None:
        return [title, "", "", "0", "-", "-"]
    return [
        title,
        settings(group),
        measured(group),
        str(group.n),
        number(group.mean),
        number(spread(group.values), 3),
    ]


def settings(group: Configuration) -> str:
    """The configuration's parameters."""
    return plain(shown(group.settings) or "-")


def measured(group: Configuration) -> str:
    """The runs behind a mean, each with its value."""
    said = [
        f"{run_link(run)} (seed {plain(seed_of(run) or '?', 20)}: {number(value)})"
        for run, value in list(group.by_seed.values())[:SHOWN_RUNS]
    ]
    more = len(group.by_seed) - SHOWN_RUNS
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


def run_link(run: Run) -> str:
    """The run's name, linked to its page, and the beginning of its id."""
    name = link(run.name, run.ui_url) if run.ui_url else plain(run.name, 80)
    return f"{name} {code(run.id[:8])}"


def verdict(facts: ReportFacts, metric: MetricConfig) -> str:
    """What the comparison says, and how far it may be believed."""
    assert facts.best is not None and facts.baseline is not None
    if facts.gain is None:
        return "Only the baseline has results: there is nothing to set against it."
    gain, name = facts.gain, code(metric.name)
    better = gain.mean if metric.direction == "max" else -gain.mean
    text = [
        f"**Mean against mean: {signed(gain.mean)} {name}** ({_interval(gain)}; "
        f"{metric.direction}imise)."
    ]
    if better <= 0:
        text.append("By the means, nothing better than the baseline was found.")
    elif gain.low is None:
        text.append("The gain is **not established**.")
    elif gain.is_established:
        text.append("The interval excludes 0: the gain holds over the seeds that were run.")
    else:
        text.append("The interval includes 0: the gain is **not established**.")
    if gain.why_unsure:
        text.append(f"{gain.why_unsure[0].upper()}{gain.why_unsure[1:]}.")
    single = facts.best.value - facts.baseline.value
    text.append(
        f"Best single run against the baseline's run: {signed(single)}. The best of "
        f"{len([one for one in facts.groups if one.values])} configurations was chosen by this "
        "same metric, so the value of its choosing run is on the lucky side."
    )
    return " ".join(text)


def _interval(gain: Difference) -> str:
    sizes = f"n = {gain.sizes[0]} and {gain.sizes[1]}"
    if gain.low is None or gain.high is None:
        return f"no interval, {sizes}"
    p = f", p = {gain.p:.2g}" if gain.p is not None else ""
    return f"95 % interval {signed(gain.low)} to {signed(gain.high)}, Welch's t, {sizes}{p}"


def ablation(facts: ReportFacts) -> str:
    """What each component of the best is worth."""
    found, metric, reference = facts.ablations, facts.metric, facts.reference_group
    if metric is None or reference is None or not found:
        return f"No ablation was run. {RULE}"
    head = (
        f"Reference: {settings(reference)}; mean {number(reference.mean)} over "
        f"{len(reference.values)} seeds: {measured(reference)}."
    )
    header = ["removed", "runs (seed: value)", "seeds", "mean", "difference", "95 % interval", ""]
    rows = [_ablation_row(one, metric) for one in found]
    return f"{head}\n\n{table(header, rows)}\n\n{RULE}"


def _ablation_row(one: Ablation, metric: MetricConfig) -> list[str]:
    values, effect = one.without.values, one.effect
    if effect is None:
        failed = ", ".join(run_link(run) for run in one.without.runs[:SHOWN_RUNS])
        return [plain(one.removed), failed, "0", "-", "-", "-", "no result"]
    interval = "-"
    if effect.low is not None and effect.high is not None:
        interval = f"{signed(effect.low)} to {signed(effect.high)}"
    return [
        plain(one.removed),
        measured(one.without),
        str(len(values)),
        number(fmean(values)),
        signed(effect.mean),
        interval,
        _meaning(effect, metric),
    ]


def _meaning(effect: Difference, metric: MetricConfig) -> str:
    if not effect.is_established:
        return "not established"
    worse = effect.mean < 0 if metric.direction == "max" else effect.mean > 0
    return "the component helps" if worse else "better without it"


def evo_sweeps(facts: ReportFacts, pictures: Sequence[str]) -> str:
    """The evolutionary sweeps; `pictures` are ready image links, those of all sweeps together."""
    if not facts.evo_sweeps:
        return "There was no evolutionary sweep."
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
        parts.append(f"Best: trial {ranked[0].number} with {number(ranked[0].value)}.")
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
