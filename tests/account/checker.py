"""All numbers of a played session against its runs' files."""

import csv
import io
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.account.files import Run, files_of, read_runs
from tests.account.play import Played
from tests.account.recompute import ALPHA, Account, Group, interval
from tests.account.statistics import Tested, deviation, mean
from tests.account.texts import Reader, unescaped

TOLERANCE = 1e-9
JUST_S = 3.0
OWN_S = 10.0


@dataclass
class Decision:
    """A row of the ledger, with the account of its time."""

    row: dict[str, Any]
    account: Account
    best: str | None
    """A run of the best from then on."""
    test: Tested | None = None


@dataclass
class Checker:
    """Recomputes a session; `faults` names each difference."""

    played: Played
    faults: list[str] = field(default_factory=list)
    numbers: int = 0
    tested: Tested | None = None

    def __post_init__(self) -> None:
        played = self.played
        self.runs = read_runs(played.project, played.notes, played.scenario.metric)
        notes = played.notes / "withdrawn.jsonl"
        self.withdrawn = lines_of(notes) if notes.exists() else []
        self.calls = lines_of(played.notes / "calls.jsonl")
        self.decisions = self._decisions()
        self.account = self._account(self.runs, len(self.decisions))

    def check(self) -> list[str]:
        """All of it."""
        self._evidence()
        self._status()
        self._ledger_texts()
        self._report()
        self._prompts()
        self._log()
        self._table()
        self._digest()
        self._same_best()
        return self.faults

    def _same_best(self) -> None:
        """One best in evidence, status, digest and ledger; the report's headline is theirs."""
        played = self.played
        named = {played.evidence["best"], (played.status["best"] or {}).get("id")}
        named |= {(one["best"] or {}).get("id") for one in self._in_digest()}
        if self.decisions:
            named.add((played.results["best"] or {}).get("id"))
        if len(named) > 1:
            self.note(f"several bests: {named}")

    def note(self, what: str) -> None:
        """A difference."""
        self.faults.append(what)

    def same(self, where: str, said: float | None, is_so: float | None) -> None:
        """Compare two numbers."""
        self.numbers += 1
        if said is None or is_so is None:
            if said is not None or is_so is not None:
                self.note(f"{where}: {said}, recomputed {is_so}")
        elif abs(said - is_so) > TOLERANCE + 1e-6 * abs(is_so):
            self.note(f"{where}: {said}, recomputed {is_so}")

    # The ledger

    def _decisions(self) -> list[Decision]:
        """Replay keep and discard."""
        found: list[Decision] = []
        if self.played.scenario.options.get("keep") != "better":
            return found
        best: str | None = None
        first: str | None = None
        tests, won = 0, frozenset[str]()
        for row in self.played.results["rows"]:
            self.tested = None
            index = row["iteration"]
            runs = [run for run in self.runs if run.iteration <= index]
            account = Account(
                runs, self.played.scenario.direction, self.withdrawn_by(index=index), first, best
            )
            made = [one for one in account.groups if any(r.iteration == index for r in one.runs)]
            mine = self._left(made, row)
            tried = [one for one in mine if not one.withdrawn]
            tried = [one for one in tried if best is None or not one.is_ablation]
            rows = [one for one in made if one.is_ablation]
            aside = "withdrawn" if any(one.withdrawn for one in mine) else "ablation"
            whole = [one for one in tried if one.side and not one.missing]
            if best is not None and not tried and (rows or aside == "withdrawn"):
                self._row(row, aside, None, None)
            elif not whole:
                status = "crash" if tried else "keep"
                self._row(row, status, tried[0] if tried else None, None)
            elif best is None:
                first = best = whole[0].runs[0].id
                account = Account(runs, account.direction, account.withdrawn, first, best)
                self._row(row, "keep", account.of(first), None)
            else:
                rivals = [one for one in whole if one is not account.of(best)]
                winner, is_kept = self._judge(row, account, rivals, account.of(best), tests)
                tests = 0 if is_kept else tests + bool(rivals)
                if is_kept and winner is not None:
                    best = winner.runs[0].id
                    won |= {best}
            now = Account(runs, account.direction, account.withdrawn, first, best, tests, won)
            found.append(Decision(row, now, best, self.tested))
        return found

    def withdrawn_by(self, moment: float = math.inf, index: float = math.inf) -> frozenset[str]:
        """What was withdrawn until then."""
        return frozenset(
            one["id"] for one in self.withdrawn if one["at"] <= moment and one["iteration"] <= index
        )

    def _left(self, made: list[Group], row: dict[str, Any]) -> list[Group]:
        """The configurations whose code is what an iteration has left."""
        left = files_of(self.played.project, row["tag"])
        return [one for one in made if one.runs[0].code == left]

    def _judge(
        self, row: dict[str, Any], account: Account, rivals: list[Group], best: Group, tests: int
    ) -> tuple[Group | None, bool]:
        if not rivals:
            self._row(row, "keep", best, None)
            return None, False
        limit = ALPHA / ((tests + 1) * (tests + 2)) / len(rivals)
        found = [(account.test(one, best), one) for one in rivals]

        def shown(pair: tuple[Tested, Group]) -> bool:
            test, one = pair
            few = min(len(one.compared), len(best.compared)) < 2 and not account.exact
            p = 1.0 if test.p is None else test.p
            return test.gain > 0 and one.is_unchosen and not few and (account.exact or p < limit)

        better = [pair for pair in found if shown(pair)]
        if better:
            test, winner = max(better, key=lambda pair: pair[0].low or 0.0)
        else:
            test, winner = min(found, key=lambda pair: (pair[0].p or 0.0, -pair[0].gain))
        self._row(row, "keep" if better else "discard", winner, best, test, limit)
        return winner, bool(better)

    def _row(
        self,
        row: dict[str, Any],
        status: str,
        ours: Group | None,
        best: Group | None,
        test: Tested | None = None,
        limit: float | None = None,
    ) -> None:
        """A row of results.tsv, number by number."""
        where = f"ledger, iteration {row['iteration']}"
        self.tested = test
        if row["status"] != status:
            self.note(f"{where}: {row['status']}, recomputed {status} ({row['why']})")
        if ours is None or not ours.side:
            self.same(f"{where}: mean", row["metric"], None)
            return
        side = ours.compared
        self.same(f"{where}: mean", row["metric"], mean(side))
        self.same(f"{where}: sd", row["sd"], deviation(side))
        self.same(f"{where}: n", row["n"], len(side))
        if row["seeds"].split(",") != list(side):
            self.note(f"{where}: seeds {row['seeds']}, recomputed {list(side)}")
        if best is None or test is None:
            self.same(f"{where}: p", row["p"], None)
            return
        theirs = best.compared
        self.same(f"{where}: best before", row["best_mean"], mean(theirs))
        self.same(f"{where}: its sd", row["best_sd"], deviation(theirs))
        self.same(f"{where}: its n", row["best_n"], len(theirs))
        self.same(f"{where}: gain", row["gain"], test.gain)
        self.same(f"{where}: p", row["p"], test.p)
        self.same(f"{where}: limit", row["limit"], limit)
        if row["test"] != test.name:
            self.note(f"{where}: {row['test']}, recomputed {test.name}")

    def _account(self, runs: list[Run], decided: int, moment: float = math.inf) -> Account:
        """The account of these runs after so many decisions."""
        last = self.decisions[decided - 1].account if decided else None
        return Account(
            runs,
            self.played.scenario.direction,
            self.withdrawn_by(moment),
            last.first if last else None,
            last.kept if last else None,
            last.tests if last else 0,
            last.won if last else frozenset(),
        )

    # Evidence and status

    def _evidence(self) -> None:
        """The document that all texts are made from."""
        seen = self.played.evidence
        by_run = {one["runs"][0]["run_id"]: one for one in seen["configurations"]}
        if len(by_run) != len(self.account.groups):
            self.note(
                f"evidence: {len(by_run)} configurations, recomputed {len(self.account.groups)}"
            )
        base = self.account.baseline
        for one in self.account.groups:
            found = by_run.get(one.runs[0].id)
            if found is None:
                self.note(f"evidence: no configuration begins with {one.runs[0].name}")
                continue
            where = f"evidence, {found['label']} of {one.runs[0].name}"
            self._side(where, found["estimate"], one.counted)
            level = self.account.level(one, self.played.scenario.confirmed > 0)
            if found["level"] != level:
                self.note(f"{where}: {found['level']}, recomputed {level} ({found['doubts']})")
            if tuple(sorted(found["blobs"].items())) != one.runs[0].code:
                self.note(f"{where}: other files: {found['blobs']}")
            if {run["run_id"] for run in found["runs"]} != {run.id for run in one.runs}:
                self.note(f"{where}: other runs")
            if found["label"].partition(" (code ")[0] != one.label:
                self.note(f"{where}: label {found['label']}, recomputed {one.label}")
            if (test := found["comparison"]) is not None and base is not None:
                self._test(where, test, self.account.told(one))
            told = found["further"]
            if (told is not None) != bool(one.after):
                self.note(f"{where}: further seeds {told}, recomputed {one.after}")
            elif told is not None:
                self._side(f"{where}, further", told, one.after)
        self._best("evidence", by_run, seen["best"])
        self._ablation(by_run)
        digests = {one["code"]: frozenset(one["blobs"].items()) for one in seen["configurations"]}
        if len(set(digests.values())) != len(digests):
            self.note("evidence: equal files have different digests")

    def _best(self, where: str, by_run: dict[str, Any], id: str | None) -> None:
        best = self.account.best
        named = next((run for run, one in by_run.items() if one["id"] == id), None)
        if named != (best.runs[0].id if best is not None else None):
            said = by_run.get(named or "", {}).get("label")
            self.note(f"{where}: best {said}, recomputed {best.label if best else None}")

    def _side(self, where: str, said: dict[str, Any], side: dict[str, float]) -> None:
        self.numbers += len(side)
        if dict(zip(said["seeds"], said["values"], strict=True)) != side:
            self.note(f"{where}: {said}, recomputed {side}")
        self.same(f"{where}: mean", said["mean"], mean(side) if side else None)
        self.same(f"{where}: sd", said["sd"], deviation(side))
        if len(side) > 1:
            low, high = interval(side)
            self.same(f"{where}: low", said["low"], low)
            self.same(f"{where}: high", said["high"], high)

    def _test(self, where: str, said: dict[str, Any], test: Tested) -> None:
        for name in ("gain", "p", "low", "high"):
            self.same(f"{where}: {name}", said[name], getattr(test, name))
        if said["test"] != test.name:
            self.note(f"{where}: {said['test']}, recomputed {test.name}")

    def _ablation(self, by_run: dict[str, Any]) -> None:
        said, mine = self.played.evidence["ablation"], self.account.ablation()
        if said is None or mine is None:
            if (said is None) != (mine is None):
                self.note(f"ablation: {said}, recomputed {mine}")
            return
        reference, rows = mine
        if by_run[reference.runs[0].id]["id"] != said["reference"]:
            self.note(
                f"ablation: reference {said['reference_label']}, recomputed {reference.label}"
            )
        tests = {by_run[one.group.runs[0].id]["id"]: one for one in rows}
        for row in said["rows"]:
            where, one = f"ablation, {row['removed']}", tests[row["configuration"]]
            if row["verdict"] != one.verdict:
                self.note(f"{where}: {row['verdict']}, recomputed {one.verdict}")
            if (row["comparison"] is None) != (one.test is None):
                self.note(f"{where}: {row['comparison']}, recomputed {one.test}")
            elif one.test is not None:
                self._test(where, row["comparison"], one.test)

    def _status(self) -> None:
        """The session as the API and the command line tell it."""
        seen, best = self.played.status, self.account.best
        said = seen["best"]
        if (said is None) != (best is None):
            self.note(f"status: best {said}")
        if said is not None and best is not None:
            if said["run_id"] not in [run.id for run in best.runs]:
                self.note(f"status: best {said['configuration']}, recomputed {best.label}")
            self.same("status: best", said["value"], mean(self.account.final(best)))
            self.same("status: n", said["n"], len(self.account.final(best)))
        reader = Reader(self.account, "status", self._target)
        texts = [
            seen["verdict"],
            seen["headline"],
            seen["target"] or "",
            *seen["candidates"],
            self.played.told,
        ]
        for one in texts:
            reader.read(one)
        self._take(reader)
        if seen["headline"] != self.played.evidence["headline"]:
            self.note("status and evidence have two headlines")

    @property
    def _target(self) -> float | None:
        found = re.search(r"above ([\d.]+)", self.played.scenario.goal)
        return float(found[1]) if found else None

    def _take(self, reader: Reader) -> None:
        self.faults += reader.faults
        self.numbers += reader.seen

    # Texts

    def _told(self, until: int) -> list[str]:
        """What the ledger said up to an iteration: it is checked with the account of its time."""
        rows = [one for one in self.decisions if one.row["iteration"] <= until]
        texts = [one.row[name] for one in rows for name in ("why", "warnings")]
        # Of what was cut for its cell, up to its last whole clause.
        cut = [text.rpartition(";")[0] for text in texts if text.endswith("…")]
        return [text for text in [*texts, *cut] if text]

    def _decided(self, until: int) -> set[str]:
        """Gains and p of the ledger up to an iteration, which were checked with their rows."""
        rows = [one.row for one in self.decisions if one.row["iteration"] <= until]
        tested = [row for row in rows if row["p"] is not None]
        found = {f"{row['gain']:+.4g}" for row in tested} | {f"{row['p']:.2g}" for row in tested}
        return found | {bound for row in tested for bound in self._bounds(row)}

    def _bounds(self, row: dict[str, Any]) -> list[str]:
        decision = next(one for one in self.decisions if one.row is row)
        test = decision.test
        if test is None or test.low is None or test.high is None:
            return []
        return [f"{test.low:+.4g}", f"{test.high:+.4g}"]

    def _ledger_texts(self) -> None:
        """What the ledger says, by the account of its time."""
        for one in self.decisions:
            reader = Reader(one.account, f"ledger, iteration {one.row['iteration']}")
            for name in ("why", "warnings"):
                reader.read(one.row[name])
            # A text that was cut for its cell ends in the middle of a number.
            reader.faults = [fault for fault in reader.faults if "…" not in fault]
            self._take(reader)

    def _report(self) -> None:
        """Result, ablation, ledger, runs and calls of the report."""
        report, told = self.played.report, self._told(10**6)
        headline = self.played.evidence["headline"]
        if headline not in unescaped(report):
            self.note("report: its headline is not that of evidence and status")
        sections = dict(re.findall(r"^## ([^\n]+)\n\n(.*?)(?=^## |\Z)", report, re.M | re.S))
        reader = Reader(self.account, "report", self._target)
        rows = sections.pop("Kept and discarded", "")
        first = report.partition("\n## ")[0]
        if f"**{self.played.evidence['verdict']}.**" not in unescaped(first):
            self.note("report: it does not begin with the verdict of the evidence")
        reader.where = "report, first paragraph"
        # The goal is quoted there; its number is nobody's result.
        reader.read(re.sub(r"^>.*$", "", first, flags=re.M))
        for title in ("Result", "What next", "Ablation", "Calls of the agent", "Lessons"):
            body = sections.get(title, "")
            reader.where = f"report, {title}"
            reader.read(body, told)
        for title in ("Result", "Runs behind the numbers"):
            if title not in sections:
                self.note(f"report: it has no section {title!r}")
        reader.where = "report, runs behind the numbers"
        reader.read(sections.get("Runs behind the numbers", ""))
        self._ranked(sections.get("Result", ""))
        self._runs_table(sections["Runs"])
        self._kept_table(rows)
        self._take(reader)
        agents = [run for run in self.runs if not run.is_own]
        counts = f"{len(agents)} ({sum(r.status == 'finished' for r in agents)} finished"
        if f"- runs: {counts}" not in report:
            self.note(f"report: runs are {counts}")

    def _ranked(self, body: str) -> None:
        """The ranked table: the best is the first row, and the baseline has one."""
        lines = [line for line in body.splitlines() if line.startswith("| ")][2:]
        rows = [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines]
        roles = {"best": self.account.best, "baseline": self.account.baseline}
        if self.account.best is self.account.baseline:
            roles.pop("best")
        for role, group in roles.items():
            # Where the baseline command has not run, the table says what stands for it.
            words = (role, "stands for the baseline") if role == "baseline" else (role,)
            row = next((cells for cells in rows if cells[0] in words), None)
            if row is None or group is None:
                self.note(f"report: the ranked table has no {role}")
                continue
            side = self.account.final(group)
            spread = deviation(side)
            told = f"{mean(side):.5g}" + (f" ± {spread:.2g}" if spread else "")
            self.numbers += 2
            if row[2:4] != [told, str(len(side))]:
                self.note(f"report: {role} {row[2:4]}, recomputed {told}, {len(side)}")
            gain = self.account.told(group).gain if role == "best" else None
            if gain is not None and not row[4].startswith(f"{gain:+.4g}"):
                self.note(f"report: gain of the best {row[4]}, recomputed {gain}")

    def _kept_table(self, body: str) -> None:
        shown = [line for line in body.splitlines() if re.match(r"\| \d", line)]
        if len(shown) != len(self.decisions):
            self.note(f"report: {len(shown)} decisions of {len(self.decisions)}")
        for line, decision in zip(shown, self.decisions, strict=False):
            row, cells = decision.row, [cell.strip() for cell in line.strip("| ").split(" | ")]
            for name in ("metric", "sd", "best_mean", "p", "limit"):
                said = "" if row[name] is None else f"{row[name]:.4g}"
                self.numbers += 1
                if said and said not in cells:
                    self.note(f"report, ledger {row['iteration']}: {name} {said} is not in {cells}")

    def _runs_table(self, body: str) -> None:
        lines = [line for line in body.splitlines() if re.match(r"\| \[", line)]
        if len(lines) != len(self.runs):
            self.note(f"report: {len(lines)} runs of {len(self.runs)}")
        for run in self.runs:
            line = next((one for one in lines if f"`{run.id[:8]}`" in one), "")
            cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
            value = "-" if run.value is None else f"{run.value:.6g}"
            seconds = f"{run.finished - run.started:.1f}"
            self.numbers += 3
            by = "| Wildloop |" if run.is_own else f"[{run.call}]"
            if not {value, seconds, run.seed} <= set(cells) or by not in line:
                self.note(f"report, runs: {run.name} ({value}, {seconds} s, {run.call}): {cells}")

    def _prompts(self) -> None:
        """Each prompt, by the account of its time."""
        index, told = 0, set[str]()
        for call in self.calls:
            path = self.played.notes / f"prompt-{call['number']:03d}.md"
            prompt = path.read_text()
            found = re.search(r"^# Iteration (\d+) of", prompt, re.M)
            decided = int(found[1]) - 1 if found else index
            index = int(found[1]) if found else index
            told |= {run.id for run in self.runs if run.id[:8] in prompt}
            self._prompt(path.stem, prompt, call["at"], decided, told)

    def _prompt(self, name: str, prompt: str, moment: float, decided: int, known: set[str]) -> None:
        """Of the agent's runs that have just ended, it knows those that it names.

        Wildloop's own come to their end beside the agent: any moment shortly before may be told.
        """
        late = [
            run.finished for run in self.runs if run.is_own and 0 < moment - run.finished < OWN_S
        ]
        readers = []
        for until in [moment - OWN_S, *late]:
            created = [
                run.since(until if run.is_own else math.inf if run.id in known else moment - JUST_S)
                for run in self.runs
                if run.created <= moment
            ]
            if created:
                readers.append(self._read(name, prompt, created, moment, decided))
        if readers:
            self._take(min(readers, key=lambda reader: len(reader.faults)))

    def _read(
        self, name: str, prompt: str, created: list[Run], moment: float, decided: int
    ) -> Reader:
        made = [one for one in self.decisions if one.row["iteration"] <= decided]
        reader = Reader(self._account(created, len(made), moment), name, self._target)
        told = self._told(decided)
        reader.decided = self._decided(decided)
        for part in re.split(
            r"^(?=## )", re.sub(r"^```.*?^```", "", prompt, flags=re.M | re.S), flags=re.M
        ):
            title = part.split("\n", 1)[0].removeprefix("## ").strip()
            if not title.startswith(NOT_OF_RESULTS):
                reader.where = f"{name}, {title}"
                reader.read(part, told)
        return reader

    def _log(self) -> None:
        """iteration_log.md tells the decisions."""
        log = (self.played.folder / "iteration_log.md").read_text()
        for decision in self.decisions:
            row = decision.row
            if not row["why"].endswith("…") and row["why"] not in log:
                self.note(f"log: {row['why']} is not there")

    def _table(self) -> None:
        """runs.csv and results.tsv."""
        path = self.played.folder / "results.tsv"
        if self.decisions:
            lines = csv.DictReader(io.StringIO(path.read_text()), delimiter="\t", quoting=3)
            for line, decision in zip(lines, self.decisions, strict=True):
                for name in ("metric", "sd", "best_mean", "best_sd", "gain", "p", "limit"):
                    said = decision.row[name]
                    self.numbers += 1
                    if line[name] != ("" if said is None else f"{said:.6g}"):
                        self.note(f"results.tsv: {name} {line[name]}, in the API {said}")
        rows = list(csv.DictReader((self.played.folder / "runs.csv").read_text().splitlines()))
        if len(rows) != len(self.runs):
            self.note(f"runs.csv: {len(rows)} runs of {len(self.runs)}")

    # The digest

    def _in_digest(self) -> list[dict[str, Any]]:
        sessions = self.played.digest.get("sessions", [])
        return [one for one in sessions if one["session_id"] == self.played.session_id]

    def _digest(self) -> None:
        """The digest's document, and its lines about this session."""
        found = self._in_digest()
        if len(found) != 1:
            self.note(f"digest: the session is there {len(found)} times")
            return
        said, account = found[0], self.account
        sides = {"best": account.best, "baseline": account.baseline}
        for role, group in sides.items():
            told = said[role]
            if told is None or group is None:
                if told is not None or group is not None:
                    self.note(f"digest: {role} {told}, recomputed {group}")
                continue
            side = account.final(group)
            self.same(f"digest: {role}", told["value"], mean(side))
            self.same(f"digest: sd of the {role}", told["sd"], deviation(side))
            self.same(f"digest: n of the {role}", told["n"], len(side))
            if told["run_id"] not in [run.id for run in group.runs]:
                self.note(f"digest: {role} {told['configuration']}, recomputed {group.label}")
        self._digest_counts(said)
        is_better = account.best is not account.baseline
        level = (
            account.level(account.best, self.played.scenario.confirmed > 0)
            if account.best
            else None
        )
        if said["level"] != (level if is_better else None):
            self.note(f"digest: level {said['level']}, recomputed {level}")
        if said["headline"] != self.played.evidence["headline"]:
            self.note("digest: its headline is not that of evidence and status")
        self._digest_text(said)

    def _digest_counts(self, said: dict[str, Any]) -> None:
        """Runs, iterations and cost."""
        agents = [run for run in self.runs if not run.is_own]
        counts = Counter(run.status for run in agents)
        words = {"completed": "finished", "failed": "failed", "canceled": "stopped"}
        self.same("digest: runs", said["runs"]["total"], len(agents))
        for word, status in words.items():
            self.same(f"digest: runs {word}", said["runs"][word], counts[status])
        self.same("digest: own runs", said["own_runs"], len(self.runs) - len(agents))
        self.same("digest: iterations", said["iteration"], len(self.played.scenario.iterations))
        took = said["finished_at"] - said["started_at"]
        if not 0 < said["spent"]["hours"] * 3600 <= took + JUST_S:
            self.note(f"digest: {said['spent']['hours']} hours of {took / 3600}")
        seconds = sum(run.finished - run.started for run in agents)
        if not 0 <= said["spent"]["core_hours"] * 3600 <= 2 * seconds + JUST_S:
            self.note(f"digest: {said['spent']['core_hours']} core-hours of {seconds / 3600}")

    def _digest_text(self, said: dict[str, Any]) -> None:
        text = self.played.digest_text
        if self.played.digest["text"] not in text:
            self.note("digest: the command prints another text than its document has")
        (lines,) = [
            part
            for part in re.split(r"^(?=## )", text, flags=re.M)
            if self.played.session_id in part
        ]
        reader = Reader(self.account, "digest", self._target)
        reader.read(
            re.sub(
                r"^- (?:report|branch|Prefect|cost|alerts|look at: open alert).*$",
                "",
                lines,
                flags=re.M,
            )
        )
        self._take(reader)
        runs = said["runs"]
        own = f"; {said['own_runs']} more by Wildloop itself" * bool(said["own_runs"])
        counts = (
            f"- runs: {runs['total']}: {runs['completed']} finished, {runs['failed']} failed, "
            f"{runs['canceled']} stopped{own}\n"
        )
        spent = said["spent"]
        for line in (counts, f"- result: {said['headline']}\n", f"- cost: {spent['hours']:.2f} h"):
            self.numbers += 1
            if line not in lines:
                self.note(f"digest: {line!r} is not in its text")


NOT_OF_RESULTS = ("# ", "Goal", "Lessons", "What to do", "Answer", "The API", "The plan", "Phase")


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
