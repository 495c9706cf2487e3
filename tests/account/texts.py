"""Every number of a text against what was recomputed."""

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from tests.account.recompute import Account, Group, interval, text
from tests.account.statistics import Tested, mean

NUMBER = r"[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
ESTIMATE = rf"{NUMBER}(?: ± {NUMBER})? \(n=\d+\)"
SENTENCE = re.compile(
    rf"(?P<word>better|not shown to be better): difference (?P<gain>{NUMBER}), p = (?P<p>{NUMBER}) "
    rf"one-sided \((?P<test>[^;)]+); below (?P<limit>{NUMBER}) is shown(?: for \d+ tests)?\)"
    rf"(?:; one seed shows nothing)?: (?P<ours>{ESTIMATE}) against (?P<theirs>{ESTIMATE})"
)
FURTHER = re.compile(
    rf"(?P<word>better): difference (?P<gain>{NUMBER}) by (?P<n>\d+) further seeds of each, which "
    rf"have decided nothing \((?P<ours>{ESTIMATE}) against (?P<theirs>{ESTIMATE})\); by those "
    rf"that decided p = (?P<p>{NUMBER}) one-sided \((?P<test>[^)]+)\)"
)
EXACT = re.compile(
    rf"(?P<word>better|worse|equal): difference (?P<gain>{NUMBER}), (?P<test>exact: [^(]+) "
    rf"\((?P<ours>{ESTIMATE}) against (?P<theirs>{ESTIMATE})\)"
)
INTERVAL = re.compile(rf"95 % interval (?P<low>{NUMBER}) to (?P<high>{NUMBER})")
SHARE = re.compile(r"\w+ is (?P<share>[\d.e+]+) % (?P<word>higher|lower)")
DECIMAL = re.compile(r"(?<![\w./-])[+-]?\d+\.\d+(?:e[+-]?\d+)?(?![\w./])")
# What is no number of the evidence: times, loads, spending, settings of commands and of the tests.
RUN = re.compile(
    rf"^\| (?P<name>\S+) \| (?P<id>[0-9a-f-]{{36}}) \| (?P<status>\w+) \| (?P<exit>\S+) \| "
    rf"(?P<seconds>{NUMBER}) \| (?P<metrics>[^|]*)\|$",
    re.M,
)
ASIDE = re.compile(
    r"[\w.-]+=[\w.+-]+|\d+(?:\.\d+)? (?:s|min|h|hours|GPU-hours|slot-hours|core-hours)\b|"
    r"load \d+\.\d+|alpha (?:= )?[\d.]+|share [\d.]+|below [\d.e-]+ (?:for the next|is shown)|"
    r"\$ ?\d+\.\d+|\d+\.\d+ used|`[^`]*`|<[^>]*>|A = [\d.]+|[BCD] = -?[\d.]+"
)


def unescaped(markdown: str) -> str:
    """Markdown as it is read."""
    return re.sub(r"\\(?=[^\w\s])", "", markdown)


OPINION = "(the agent's opinion, not shown)"


class Reader:
    """Compares a text with an account, and notes each difference.

    Args:
        account: as it was when the text was written.
        where: name of the text.
        target: the number that the goal asks for.
    """

    def __init__(self, account: Account, where: str, target: float | None = None) -> None:
        self.account, self.where, self.target = account, where, target
        self.faults: list[str] = []
        self.seen = 0
        self.decided = set[str]()

    def note(self, what: str) -> None:
        """A difference."""
        self.faults.append(f"{self.where}: {what}")

    def read(self, raw: str, told: Sequence[str] = ()) -> None:
        """All of a text; `told` are sentences that were checked with the account of their time."""
        said = unescaped(raw)
        for sentence in sorted(told, key=len, reverse=True):
            said = said.replace(sentence, "")
        said = self._take(RUN, self._run, said)
        said = self._take(SENTENCE, self._sentence, said)
        said = self._take(FURTHER, self._further, said)
        said = self._take(EXACT, self._sentence, said)
        said = self._take(SHARE, self._share, said)
        said = self._take(re.compile(ESTIMATE + r"[^\n]*"), self._estimates, said)
        self._decimals(said)

    def _take(self, pattern: re.Pattern[str], check, said: str) -> str:  # type: ignore[no-untyped-def]
        for found in pattern.finditer(said):
            self.seen += 1
            check(found)
        return pattern.sub("", said)

    def _run(self, found: re.Match[str]) -> None:
        runs = [run for one in self.account.groups for run in one.runs]
        (run,) = [run for run in runs if run.id == found["id"]]
        values = [float(one) for one in re.findall(rf"=({NUMBER})", found["metrics"])]
        is_so = (run.name, run.status, f"{run.finished - run.started:.1f}")
        if (found["name"], found["status"], found["seconds"]) != is_so:
            self.note(f"{found[0]!r}: recomputed {is_so}")
        if run.value is not None and f"={run.value:.6g}" not in found["metrics"]:
            self.note(f"{found[0]!r}: its value is {run.value}")
        if run.value is None and values and run.status == "finished":
            self.note(f"{found[0]!r}: it has no value")

    def _sentence(self, found: re.Match[str]) -> None:
        pairs = [
            (ours, theirs)
            for ours in self.account.groups
            for theirs in self.account.groups
            if ours is not theirs
            and (text(ours.compared), text(theirs.compared)) == (found["ours"], found["theirs"])
        ]
        tests = [self.account.test(*pair) for pair in pairs]
        if not any(agrees(test, found) for test in tests):
            self.note(f"{found[0]!r}; recomputed {tests}")

    def _further(self, found: re.Match[str]) -> None:
        """The gain of the best by seeds that have decided nothing."""
        best, base = self.account.best, self.account.baseline
        if best is None or base is None or not self.account.is_told_by_further:
            return self.note(f"{found[0]!r}: there are no such seeds")
        sides = (text(best.after), text(base.after))
        n = str(min(len(best.after), len(base.after)))
        told = self.account.told(best)
        if (*sides, n) != (found["ours"], found["theirs"], found["n"]) or not agrees(told, found):
            self.note(f"{found[0]!r}; recomputed {told} ({sides})")
        return None

    def _share(self, found: re.Match[str]) -> None:
        """The best's mean by the baseline's."""
        best, base = self.account.best, self.account.baseline
        if best is None or base is None:
            return self.note(f"{found[0]!r}: there are not two to compare")
        share = mean(self.account.final(best)) / mean(self.account.final(base))
        percent = 100 * abs(share - 1)
        if (f"{percent:.2g}", share > 1) != (found["share"], found["word"] == "higher"):
            self.note(f"{found[0]!r}: recomputed {share}")
        return None

    def _estimates(self, found: re.Match[str]) -> None:
        """The rest of a line with estimates: each is one of the account's, and its interval."""
        line = found[0]
        for one in re.findall(ESTIMATE, line):
            if one not in self.account.estimates:
                self.note(f"no configuration has {one} ({line[:120]!r})")
        for bounds in INTERVAL.finditer(line):
            if not self._is_interval(bounds):
                self.note(f"not recomputed: {bounds[0]} ({line[:160]!r})")
        rest = INTERVAL.sub("", re.sub(ESTIMATE, "", line))
        for gain in re.findall(rf"({NUMBER}) on the best mean before", rest):
            if not any(close(gain, one, "+.5g") for one in self._gains):
                self.note(f"no gain of {gain} ({line[:160]!r})")
        rest = re.sub(rf"{NUMBER} on the best mean before", "", rest)
        gains = [f"{test.gain:+.4g}" for test in self._tests]
        for gain in re.findall(rf"({NUMBER}) on the baseline", rest):
            if gain not in gains:
                self.note(f"no gain of {gain} ({line[:160]!r})")
        rest = re.sub(rf"{NUMBER} on the baseline", "", rest)
        for p in re.findall(rf"p = ({NUMBER})", rest):
            if p not in self.decided and p not in [
                f"{test.p:.2g}" for test in self._tests if test.p is not None
            ]:
                self.note(f"no p of {p} ({line[:160]!r})")
        self._decimals(re.sub(rf"p = {NUMBER}", "", rest))

    @cached_property
    def _tests(self) -> list[Tested]:
        base, found = self.account.baseline, self.account.ablation()
        rivals = [one for one in self.account.groups if one.side and one is not base]
        line = self.account.line()
        pairs = [(one, best) for one in rivals for best in line if best is not one]
        has_base = base is not None and bool(base.side)
        tests = [self.account.test(one, base) for one in rivals] if has_base and base else []
        tests += [self.account.told(one) for one in rivals] if has_base else []
        tests += [self.account.test(*pair) for pair in pairs]
        return tests + [one.test for one in (found[1] if found else []) if one.test is not None]

    @cached_property
    def _gains(self) -> list[float]:
        means = [mean(s) for s in self._sides]
        return [one - other for one in means for other in means]

    @cached_property
    def _sides(self) -> list[dict[str, float]]:
        return [
            side
            for one in self.account.groups
            for side in (one.counted, one.compared, self.account.final(one))
            if side
        ]

    def _is_interval(self, bounds: re.Match[str]) -> bool:
        said = (bounds["low"], bounds["high"])
        if self.decided.issuperset(said):
            return True
        return said in self._intervals

    @cached_property
    def _intervals(self) -> set[tuple[str, str]]:
        of_means = [interval(side) for side in self._sides if len(side) > 1]
        of_gains = [(t.low, t.high) for t in self._tests if t.low is not None]
        told = {(f"{low:.4g}", f"{high:.4g}") for low, high in of_means}
        return told | {(f"{low:+.4g}", f"{high:+.4g}") for low, high in of_gains}

    def _decimals(self, said: str) -> None:
        """What is left: values of runs, means, spreads and differences as tables have them."""
        known = self._known
        for line in said.splitlines():
            if OPINION in line:
                continue
            for one in DECIMAL.findall(ASIDE.sub("", line)):
                self.seen += 1
                if one.lstrip("+") not in known and one not in known:
                    self.note(f"{one} is no number of the evidence ({line.strip()[:160]!r})")

    @cached_property
    def _known(self) -> set[str]:
        runs = [
            run.value
            for one in self.account.groups
            for run in [*one.runs, *one.further]
            if run.value is not None
        ]
        means = [mean(side) for side in self._sides]
        spreads = [float(np.std(list(s.values()), ddof=1)) for s in self._sides if len(s) > 1]
        numbers = [*runs, *means, *spreads]
        if self.target is not None:
            numbers += [self.target, *(abs(self.target - mean) for mean in means)]
        limit = self.account.next_limit()
        gains = [self.account.smallest_gain(seeds, limit) for seeds in (2, 3, 5, 8)]
        numbers += [gain for gain in gains if gain is not None]
        found = {f"{one:.{digits}g}" for one in numbers for digits in (2, 3, 4, 5, 6)}
        for test in self._tests:
            found |= {f"{test.gain:+.4g}", f"{-test.gain:+.4g}", f"{abs(test.gain):.4g}"}
            # The bounds of a gain stand without "95 % interval" in the cells of the ranked table.
            if test.low is not None and test.high is not None:
                found |= {f"{test.low:+.4g}", f"{test.high:+.4g}"}
            if test.p is not None:
                found |= {f"{test.p:.2g}", f"{test.p:.4g}"}
        return found | self.decided


def agrees(test: Tested, found: re.Match[str]) -> bool:
    """Whether a sentence tells a comparison."""
    if test.name != found["test"] or f"{test.gain:+.4g}" != found["gain"]:
        return False
    return "p" not in found.groupdict() or test.p is None or f"{test.p:.2g}" == found["p"]


def close(said: str, number: float, how: str) -> bool:
    """Whether a number is written so."""
    return f"{number:{how}}" == said


__all__ = ["ESTIMATE", "Group", "Reader", "unescaped"]
