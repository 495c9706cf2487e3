"""The ranked table of the report, and the same for a paper: Markdown, LaTeX, CSV."""

import csv
import io
import re
from collections.abc import Sequence

from wildloop.flows.evidence.ranked import RankedRow, ranked, short_list
from wildloop.flows.models.evidence import Estimate
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.table_file import safe_cell
from wildloop.flows.report.text import plain, signed, span, table
from wildloop.flows.text.plural import counted
from wildloop.flows.text.title import title_of

SHOWN = 8
CHANGE_LENGTH = 60
# What LaTeX takes for a command of its own.
_LATEX = re.compile(r"[\\&%$#_{}~^]")
_LATEX_WORDS = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def rows_of(facts: ReportFacts) -> list[RankedRow]:
    """All rows, with what the agent says of its changes of code."""
    return ranked(facts.account, code_names(facts))


def code_names(facts: ReportFacts) -> dict[str, str]:
    """What was changed, by the code's digest, in the words of the call that changed it.

    Of one that declares no change and ran one code alone it is its summary's first line.
    """
    calls = {it.label: it for it in facts.session.iterations}
    codes: dict[str, set[str]] = {}
    for one in facts.account.configurations:
        codes.setdefault(facts.label_of(one.runs[0]) or "", set()).add(one.code or "")
    found: dict[str, str] = {}
    for one in facts.account.configurations:
        label = facts.label_of(one.runs[0]) or ""
        call = calls.get(label)
        if not one.code or one.code in found or call is None:
            continue
        text = " ".join(call.change.text.split()) if call.change is not None else ""
        if not text and call.summary and len(codes[label]) == 1:
            text = title_of(call.summary)
        if text:
            cut = text if len(text) <= CHANGE_LENGTH else f"{text[: CHANGE_LENGTH - 1].rstrip()}…"
            found[one.code] = cut
    return found


def ranking(facts: ReportFacts) -> str:
    """The first rows as Markdown; empty where nothing has a value."""
    rows, metric = rows_of(facts), facts.metric
    if metric is None or not any(one.estimate.n for one in rows):
        return ""
    listed = short_list(rows, SHOWN)
    header = ["", "configuration", f"{plain(metric.name, 40)}, mean ± SD", "n"]
    header += ["gain (95 % interval)", "evidence", "cost"]
    text = table(header, [_markdown(one) for one in listed], right=0)
    hidden = len(rows) - len(listed)
    return text + (f"\n\nAnd {counted(hidden, 'configuration')} more." if hidden else "")


def _markdown(row: RankedRow) -> list[str]:
    gpu = f", {row.gpu_hours:.2g} GPU-hours" if row.gpu_hours else ""
    return [
        row.standing,
        plain(row.what, 200),
        value_text(row.estimate),
        str(row.estimate.n),
        gain_text(row),
        row.one.level.value if row.estimate.n else "-",
        f"{counted(len(row.one.runs), 'run')}, {span(row.seconds)}{gpu}",
    ]


def value_text(found: Estimate) -> str:
    """`0.971 ± 0.003`; without a spread the mean alone."""
    if found.mean is None:
        return "-"
    return f"{found.mean:.5g}" + (f" ± {found.sd:.2g}" if found.sd else "")


def gain_text(row: RankedRow) -> str:
    """`+0.03 (+0.01 to +0.05)`"""
    test = row.comparison
    if test is None:
        return "-"
    if test.low is None or test.high is None or test.low == test.high:
        return signed(test.gain)
    return f"{signed(test.gain)} ({signed(test.low)} to {signed(test.high)})"


def ranking_csv(facts: ReportFacts) -> str:
    """Every row with full digits: for a spreadsheet, or a paper's own script."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ["standing", "configuration", "metric", "mean", "sd", "n", "mean_low", "mean_high"]
    names += ["gain", "gain_low", "gain_high", "p", "shown_better", "level", "runs", "seconds"]
    writer.writerow([*names, "gpu_hours", "commit"])
    metric = facts.metric.name if facts.metric else ""
    for row in rows_of(facts):
        found, test = row.estimate, row.comparison
        told = [test.gain, test.low, test.high, test.p] if test else [None] * 4
        cells = [row.standing, row.what, metric, found.mean, found.sd, found.n, found.low]
        cells += [found.high, *told, bool(test and test.established), row.one.level.value]
        cells += [len(row.one.runs), f"{row.seconds:.1f}", row.gpu_hours]
        writer.writerow([safe_cell(cell) for cell in [*cells, row.one.runs[0].git_commit]])
    return out.getvalue()


def ranking_latex(facts: ReportFacts) -> str:
    """The table as a paper has it (needs the package booktabs); the best is set in bold."""
    metric = facts.metric.name if facts.metric else "value"
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{tabular}{llrrl}",
        "\\toprule",
        f"Configuration & Standing & {_tex(metric)} & $n$ & Gain (95\\,\\% interval) \\\\",
        "\\midrule",
        *[_latex_row(row) for row in rows_of(facts) if row.estimate.n],
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(row: RankedRow) -> str:
    value = value_text(row.estimate).replace(" ± ", r" \pm ")
    value = rf"$\mathbf{{{value}}}$" if row.standing == "best" else f"${value}$"
    gain = "--"
    if (test := row.comparison) is not None:
        gain = f"${signed(test.gain)}$"
        if test.low is not None and test.high is not None and test.low != test.high:
            gain += f" ($[{signed(test.low)}, {signed(test.high)}]$)"
    cells: Sequence[str] = [_tex(row.what), _tex(row.standing), value, str(row.estimate.n), gain]
    return " & ".join(cells) + r" \\"


def _tex(text: str) -> str:
    """Any text as LaTeX sets it."""
    return _LATEX.sub(lambda found: _LATEX_WORDS.get(found[0], f"\\{found[0]}"), text)
