"""A report that is sent away is whole, and tells nothing of the machine that it comes from."""

import csv
import io
import re
from pathlib import Path

import pytest

from tests.support.report_cases import facts_of
from tests.support.reporting import make_facts, make_run
from wildloop.flows.report.build import build
from wildloop.flows.report.document import document
from wildloop.flows.report.ranking import ranking_csv, ranking_latex
from wildloop.flows.report.share import SharedForm, pictures_of, share, shared

WORKDIR = "/home/ann/my project"
ONE_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8"
    "cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The report of a session that won, and where its pictures lie."""
    folder = tmp_path_factory.mktemp("won")
    return build(facts_of("won", folder), folder).markdown, folder


def test_text_to_send_has_no_links_into_the_machine(made: tuple[str, Path]) -> None:
    text, _ = made
    assert "http://127.0.0.1:4200/runs" in text
    sent = shared(text, "/project")
    assert not re.search(r"127\.0\.0\.1|localhost|/project|runs\.csv", sent)
    assert "run-16 `00000016`" in sent and "[iteration-04](#iteration-04)" in sent
    assert "cd PROJECT\n" in sent


@pytest.mark.parametrize(
    ("told", "sent"),
    [
        (f"cd '{WORKDIR}'", "cd 'PROJECT'"),
        (f"see {WORKDIR}/exp/a.py", "see PROJECT/exp/a.py"),
        ("No module in /usr/lib/python3.11/site.py: bad", "No module in …/site.py: bad"),
        ("at http://localhost:4200/runs/1 now", "at (a page of the machine it ran on) now"),
        ("lr=1/2, a/b/c and 3/4/5", "lr=1/2, a/b/c and 3/4/5"),
        ("[x](<https://team.example/run/1>) is", "x is"),
        ("[Failures](<#failures>)", "[Failures](<#failures>)"),
        (
            '# the run\'s own Python\nexport PATH=/home/ann/v/bin:"$PATH"\npython t.py',
            "python t.py",
        ),
        ("It ran on `secret-host` (`Linux`, no GPU).", "It ran on one machine (`Linux`, no GPU)."),
    ],
)
def test_paths_addresses_and_hosts_are_left_out(told: str, sent: str) -> None:
    assert shared(told, WORKDIR) == sent


@pytest.mark.parametrize(
    "told",
    [
        "python t.py --api-key=abcdefghijkl --lr=0.1",
        "python t.py --token abcdefghijkl --lr=0.1",
        "WANDB_API_KEY=abcdefghijkl python t.py --lr=0.1",
        "python t.py --lr=0.1 hf_abcdefghijklabcdefghijkl",
    ],
)
def test_secrets_in_commands_are_left_out(told: str) -> None:
    run = make_run(1, 0.9, parameters={}, command=told)
    sent = shared(document(make_facts([run])), WORKDIR)
    assert "abcdefghijkl" not in sent and "lr=0.1" in sent


def test_what_only_sounds_like_a_secret_is_told() -> None:
    for told in ("--max-tokens=512000", "tokens: 24 in, 14 from the cache", "--token-drop=0.1"):
        assert shared(told, WORKDIR) == told


def test_each_form_is_whole(made: tuple[str, Path]) -> None:
    text, folder = made
    html, md, pdf = (share(text, folder, form, "/project", "A title") for form in SharedForm)
    assert html.count(b"<svg") == 10 and b"127.0.0.1" not in html and b"/project" not in html
    assert md.count(b"(data:image/png;base64,") == 5 and b"(<plots/" not in md
    assert pdf.startswith(b"%PDF-") and pdf.count(b"/Subtype /Image") == 5
    assert len(pdf) < 2_000_000


def test_pictures_come_from_the_reports_folder_only(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(ONE_PIXEL)
    folder = tmp_path / "session"
    (folder / "plots").mkdir(parents=True)
    (folder / "plots" / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "plots" / "mine.png").write_bytes(ONE_PIXEL)
    text = "![a](<plots/../../secret.png>) ![b](<plots/link.png>) ![c](<plots/mine.png>)"
    assert list(pictures_of(text, folder)) == ["plots/mine.png"]
    sent = share(text, folder, SharedForm.MD, WORKDIR, "t").decode()
    assert sent.startswith("[a] [b] ![c](data:image/png;base64,")
    (folder / "plots" / "mine.svg").write_text("<svg ><script>alert(1)</script></svg>")
    (folder / "plots" / "mine.narrow.svg").write_text("<svg ></svg>")
    assert b"alert" not in share(text, folder, SharedForm.HTML, WORKDIR, "t")


def test_tables_for_a_paper_have_the_numbers_of_the_account(tmp_path: Path) -> None:
    facts = facts_of("won", tmp_path)
    rows = list(csv.DictReader(io.StringIO(ranking_csv(facts))))
    best, base = facts.account.best, facts.account.baseline
    assert best is not None and base is not None
    assert rows[0]["standing"] == "best" and float(rows[0]["mean"]) == best.compared.mean
    assert int(rows[0]["n"]) == 3 and rows[0]["shown_better"] == "True"
    (mine,) = [row for row in rows if row["standing"] == "baseline"]
    assert float(mine["mean"]) == base.compared.mean and mine["gain"] == ""
    latex = ranking_latex(facts)
    assert r"val\_loss" in latex and r"$\mathbf{0.42625 \pm 0.018}$ & 3 & $+0.5444$" in latex
    assert latex.count(r"\\") == len(rows) + 1


def test_latex_takes_any_name() -> None:
    run = make_run(1, 0.9, parameters={"a_b": "50%&{x}~^\\"})
    told = ranking_latex(make_facts([run]))
    assert r"a\_b=50\%\&\{x\}\textasciitilde{}\textasciicircum{}\textbackslash{}" in told
