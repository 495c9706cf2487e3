"""The report as Markdown: subjects side by side, growth with history, failures, what was cut."""

from bench.figures import Figure, Report, Row, aims

MISSING = "-"


def markdown(report: Report) -> str:
    """The whole report."""
    facts = report.facts
    others = "" if facts.others is None else f"; others kept {facts.others:.2f} cores busy"
    lines = [
        f"`{report.command}`",
        "",
        f"{facts.cores} cores, Python {facts.python}, Prefect {facts.prefect}, {facts.platform}, "
        f"{facts.date}; load average before: {facts.load_before:.1f}{others}.",
        "Cells are median / p99 / max (number of values); one number where there is but one.",
        "",
        *side_by_side(report),
        *growth(report),
    ]
    if notes := notes_of(report):
        lines += ["", "Notes:", *notes]
    lines += ["", *(f"- **cut**: {cut}" for cut in report.cuts)] if report.cuts else []
    if report.failures:
        lines += ["", "**Not measured**:"]
        lines += [
            f"- {one.subject}, {one.measure}, {one.recorded} recorded: {one.reason}"
            for one in report.failures
        ]
    return "\n".join(lines) + "\n"


def side_by_side(report: Report) -> list[str]:
    """A line per row, a column per subject, with no history."""
    aimed = aims()
    rows = [row for row in Row if any(f.row is row for f in report.figures if not f.recorded)]
    if not rows:
        return []
    lines = table_head(["", *report.subjects, "aim", "met by wildloop"])
    for row in rows:
        figures = [report.find(row, subject, 0) for subject in report.subjects]
        aim, ours = aimed.get(row), report.find(row, "wildloop", 0)
        met = MISSING if aim is None or ours is None else ("yes" if aim.met_by(ours) else "no")
        cells = [row.value, *map(cell, figures), str(aim) if aim else MISSING, met]
        lines.append(table_row(cells))
    return lines


def growth(report: Report) -> list[str]:
    """A line per row and subject, a column per number of recorded runs."""
    sizes = sorted({figure.recorded for figure in report.figures})
    grown = [
        (row, subject)
        for row in Row
        for subject in report.subjects
        if any(report.find(row, subject, size) for size in sizes if size)
    ]
    if not grown:
        return []
    lines = ["", *table_head(["with so many recorded runs", *(f"{size:,}" for size in sizes)])]
    for row, subject in grown:
        cells = [cell(report.find(row, subject, size)) for size in sizes]
        lines.append(table_row([f"{subject}: {row.value}", *cells]))
    return lines


def notes_of(report: Report) -> list[str]:
    """What a reader must know of single figures."""
    noted = (figure for figure in report.figures if figure.note)
    return [
        f"- {one.subject}, {one.row.value}, {one.recorded:,} recorded: {one.note}" for one in noted
    ]


def cell(figure: Figure | None) -> str:
    """A figure's cell; `-` where it was not or could not be measured."""
    if figure is None or not figure.values:
        return MISSING
    shown = [number(value) for value in (figure.median, figure.p99, figure.worst)]
    text = shown[0] if len(figure.values) == 1 else f"{' / '.join(shown)} ({len(figure.values)})"
    return f"{text}, {figure.failures} failed" if figure.failures else text


def number(value: float) -> str:
    """Three digits are what a benchmark can tell."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table_head(cells: list[str]) -> list[str]:
    """The head of a table: names to the left, figures to the right."""
    return [table_row(cells), table_row(["---", *["---:"] * (len(cells) - 1)])]


def table_row(cells: list[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"
