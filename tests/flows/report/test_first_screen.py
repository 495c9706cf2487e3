"""The first sentence of a report is true of each way in which a session may end."""

import re
from pathlib import Path

import pytest

from tests.support.report_cases import CASES, facts_of
from wildloop.flows.evidence.texts import findings
from wildloop.flows.evidence.verdict import verdict
from wildloop.flows.models.memory import Memory, MemorySource
from wildloop.flows.report.document import document

WON = (
    "0.42625 ± 0.018 (n=3) against 0.97067 ± 0.014 (n=3): val_loss is 56 % lower, goal below 0.45 "
)
FIRST = {
    "won": f"**{WON}undecided, confirmed on 3 fresh seeds.** It took 33 runs (6 of them Wildloop's "
    "own), 6 iterations, 4.2 min; $0.00. It ended: all tasks are closed.",
    "sealed": f"**{WON}undecided, confirmed on 3 fresh seeds.** On sealed data: 0.437 against "
    "0.97. It took 33 runs",
    "nothing_better": "**Nothing is shown to be better than the baseline: val_loss 0.80049 ± 0.022 "
    "(n=3); 1 candidate not decided, goal below 0.45 not reached.** It took 13 runs",
    "failed_baseline": "**The baseline has no value of val_loss (2 runs failed), so no gain can be "
    "told; the lowest mean without it is 0.54527 (n=1) (lr=0.03, width=64, depth=2).** It took ",
    "all_failed": "**No run of this session has finished: nothing was measured.**",
    "one_run": "**One run only, so nothing is compared: val_loss 0.959162 (n=1), goal below 0.45 "
    "undecided.** It took 1 run, 1 iteration, 27 s",
    "deterministic": "**0.44 (n=1) against 0.9 ± 0 (n=3): val_loss is 51 % lower, goal below 0.45 "
    "reached, exact, measured, not confirmed.** It took 6 runs",
    "tie": "**0.44 ± 0 (n=2) against 0.9 ± 0 (n=3): val_loss is 51 % lower, goal below 0.45 "
    "reached, exact, measured, not confirmed; 1 other configuration as good.** It took 7 runs",
    "no_metric": "**No primary metric is named, so nothing is compared.** It took 2 runs",
    "stopped_early": "**0.70142 ± 0.0076 (n=2) against 0.96315 ± 0.0065 (n=3): val_loss is 27 % "
    "lower, goal below 0.45 not reached, measured, not confirmed.** It took 7 runs",
    "branched": "**0.93075 ± 0.0038 (n=4) against 0.80075 ± 0.0038 (n=4): score is 16 % higher, no "
    "more than claimed.** It took 37 runs",
}
NO_BEST = {"nothing_better", "failed_baseline", "all_failed", "one_run", "no_metric"}


@pytest.mark.parametrize("name", CASES)
def test_first_sentence(name: str, tmp_path: Path) -> None:
    facts = facts_of(name, tmp_path)
    text = document(facts).replace("\\", "")
    first = text.splitlines()[0 if name == "all_failed" else 2]
    assert first.startswith(FIRST[name].replace("0.959162", "0.95916"))
    before, _, after = text.partition("\n## What next\n")
    assert "\n## " not in before and after.lstrip().startswith("- **")
    has_best = any(f"| {one} |" in text for one in ("best",))
    assert has_best is (name not in NO_BEST)
    assert ("Reproduce the best" in text) is (name not in NO_BEST)
    assert bool(findings(facts.account)) is (name not in NO_BEST)


def test_what_was_stopped_early_says_so(tmp_path: Path) -> None:
    text = document(facts_of("stopped_early", tmp_path))
    assert "It ended: stopped by the user." in text.partition("\n## ")[0]


def test_no_sentence_stands_twice(tmp_path: Path) -> None:
    text = document(facts_of("won", tmp_path))
    lines = [
        line for line in text.splitlines() if len(line) > 40 and not line.startswith(("|", "-"))
    ]
    assert len(set(lines)) == len(lines)
    assert not re.search(r"\b1 (?:runs|iterations|calls|seeds|files)\b", text)
    assert max(len(line) for line in lines) < 1100


def test_lessons_tell_what_by_how_much_with_n_and_on_which_code(tmp_path: Path) -> None:
    (told,) = findings(facts_of("won", tmp_path).account)
    assert told == (
        "lr=0.03, width=128, depth=4 gives val_loss 0.42625 ± 0.018 (n=3), 0.5444 lower than the "
        "baseline's 0.97067 ± 0.014 (n=3) (lr=0.003, width=32, depth=2), on code c0dec0d"
    )
    (exact,) = findings(facts_of("deterministic", tmp_path / "exact").account)
    assert "0.9 (n=3)" in exact and "±" not in exact


def test_a_lesson_that_is_shown_no_more_is_marked(tmp_path: Path) -> None:
    facts = facts_of("won", tmp_path)
    (held,) = findings(facts.account)
    said = [held, f"So {held}", "lr=0.1 gives val_loss 0.4 (n=2), 0.5 lower", "Use a warm-up"]
    facts.lessons = [
        Memory(
            id=str(place),
            content=text,
            source=MemorySource.REFLECTION,
            project="/project",
            created_at=1.0,
            evidence="measured",
        )
        for place, text in enumerate(said)
    ]
    lines = document(facts).partition("\n## Lessons\n\n")[2].partition("\n\n")[0].splitlines()
    assert ["contradicted" in line for line in lines] == [False, False, True, False]


def test_failures_are_told_as_a_region(tmp_path: Path) -> None:
    text = document(facts_of("won", tmp_path))
    failures = text.partition("\n## Failures\n")[2].partition("\n## ")[0]
    assert "Both runs above lr=0.1 failed; of the others 31 runs gave a value." in failures
    assert "above lr" not in document(facts_of("stopped_early", tmp_path / "stopped"))


def test_the_verdict_of_nothing_is_that_there_is_nothing(tmp_path: Path) -> None:
    account = facts_of("all_failed", tmp_path).account
    assert verdict(account) == "None of the 3 runs has a value of val_loss: nothing was measured"
    account.configurations = []
    assert verdict(account) == "No run has ended yet"
