"""Takes the lines of a log in order and gives the samples in them."""

import ast
import json
import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from wildloop.flows.metrics.lines import clean, tables
from wildloop.flows.metrics.lines.form import form_of, words_plain
from wildloop.flows.metrics.lines.places import Form, Pair
from wildloop.flows.metrics.lines.tokens import is_whole, may_tell, shape_of, value_of
from wildloop.flows.metrics.lines.words import AXES, SPLITS, Sort, sort_of
from wildloop.flows.metrics.series import Sample, is_name, number

SHAPES = 4096
LINE_LENGTH = 4000
HEADER_LINES = 40
DEPTH = 3
DOCUMENT_LINES = 400
_TIMES = frozenset({"time", "timestamp", "_timestamp", "ts", "created", "_runtime"})


@dataclass
class _Known:
    """What is known of all lines of one shape."""

    form: Form
    skipped: int = 0
    header: tables.Header | None = None
    cells: tuple[str, str] | None = None
    is_rule: bool = False

    @property
    def tells(self) -> bool:
        """Whether a line of it does more than to end the entries before it."""
        form = self.form
        is_place = self.header or self.cells or self.is_rule
        return bool(is_place or form.pairs or form.is_entry or form.is_setting)


@dataclass
class _Block:
    """Entries one below the other; what they are together shows at the first metric or setting."""

    waiting: list[Sample] = field(default_factory=list)
    has_metric: bool = False
    is_config: bool = False


class LineReader:
    """Reads metrics from lines, one after the other; the object is what the lines so far tell.

    Args:
        wanted: names that are metrics, whatever their words say.
        pattern: a regular expression with the value in group `value`, or else the first; a group
            `step` or `epoch` tells where it stands.
        name: what the pattern's value is called.
    """

    def __init__(
        self, wanted: Sequence[str] = (), pattern: str | None = None, name: str | None = None
    ) -> None:
        self._wanted = frozenset(words_plain(one) for one in wanted)
        self._pattern = re.compile(pattern) if pattern is not None and name is not None else None
        self._name = name or ""
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self.units: dict[str, str] = {}
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._epoch: float | None = None
        self._header: tables.Header | None = None
        self._header_age = 0
        self._section = ""
        self._entry = ""
        self._block = _Block()
        self._interim: list[Sample] = []
        self._document: list[str] = []
        self.is_idle = False

    def feed(self, line: str) -> list[Sample]:
        """The samples that are certain with this line.

        `is_idle` then says that the very same line, come next, would tell and change nothing.
        """
        self.is_idle = False
        if self._document or line.rstrip() == "{":
            return self._collect(line)
        return self._line(line)

    def _collect(self, line: str) -> list[Sample]:
        """A line of a JSON object that is printed over several, as json.dumps(indent=2) does."""
        self._document.append(line)
        is_end = line.startswith("}")
        is_inside = len(self._document) == 1 or line[:1].isspace()
        if is_inside and len(self._document) < DOCUMENT_LINES:
            return []
        lines, self._document = self._document, []
        told = _json("\n".join(lines)) if is_end else None
        if told is not None:
            names = [key for key, _ in _flat(told)]
            is_measured = any(sort_of(one) is Sort.METRIC for one in names)
            is_wanted = any(words_plain(one) in self._wanted for one in names)
            return self._end_block() + (self._object(told) if is_measured or is_wanted else [])
        return [sample for one in lines for sample in self._line(one)]

    def _line(self, line: str) -> list[Sample]:
        if len(line) > LINE_LENGTH and not line.startswith("{"):
            return []
        line = clean.unquoted(clean.without_colours(line).rstrip())
        if (of_list := self._of_list(line)) is not None:
            return of_list
        found = self._matched(line) if self._pattern is not None else []
        if not line.strip():
            return found + self._end_block()
        stripped = line.lstrip()
        if stripped[0] == "{" and stripped[-1] == "}":
            told = _json(stripped) or _literal(stripped)
            if told is not None:
                return found + self._end_block() + self._object(told)
        if "@[" in line and (coco := tables.coco_value(line)) is not None:
            return [*found, Sample(coco[0], number(value_of(coco[1])), self._epoch)]
        line = clean.turned(line)
        if "(" in line or "|" in line or "━" in line or "[=" in line or "█" in line:
            line = clean.plain(line)
        shape, numbers = shape_of(line)
        known = self._known.get(shape)
        if known is None:
            known = self._learn(line, shape, numbers)
        self.is_idle = not (numbers or found or known.tells or self._header)
        return found + self._read(known, line, numbers[known.skipped :])

    def _of_list(self, line: str) -> list[Sample] | None:
        """A value of a list as R prints it: `$loss`, and below it `[1] 0.312`."""
        name, self._entry = self._entry, ""
        if line.startswith("$") and is_name(line[1:]) and " " not in line:
            self._entry = line[1:]
            return self._end_block()
        if not name or (value := clean.printed_value(line)) is None:
            return None
        is_told = sort_of(name) is Sort.METRIC or words_plain(name) in self._wanted
        return [Sample(name, number(value_of(value)), self._epoch)] if is_told else []

    def flush(self) -> list[Sample]:
        """What was held back: the last entries, and a bar that stopped midway."""
        lines, self._document = self._document, []
        last = [sample for line in lines for sample in self._line(line)]
        left, self._interim = self._interim, []
        return last + left + self._end_block()

    def _learn(self, line: str, shape: str, numbers: Sequence[str]) -> _Known:
        rest = clean.without_prefix(line)
        if rest and rest[0] == "{" and rest[-1] == "}":
            # After a prefix, JSON is read as any dict is.
            rest = rest[1:-1]
        plain, left = shape_of(rest)
        is_told = bool(self._wanted) or may_tell(plain)
        form = form_of(plain, self._wanted) if is_told else Form()
        known = _Known(form, len(numbers) - len(left))
        known.is_rule = tables.is_rule(rest)
        known.cells = tables.two_cells(plain)
        head = tables.without_bar(rest)
        if not shape_of(head)[1] and not known.is_rule:
            known.header = tables.header_of(head)
        self._known[shape] = known
        if len(self._known) > SHAPES:
            self._known.popitem(last=False)
        return known

    def _matched(self, line: str) -> list[Sample]:
        assert self._pattern is not None
        found = self._pattern.search(line)
        if found is None:
            return []
        groups = found.groupdict()
        text = groups.get("value") or (found[1] if found.re.groups else found[0])
        axis = groups.get("step") or groups.get("epoch")
        try:
            value = number(value_of(text))
            step = number(value_of(axis)) if axis else self._epoch
        except (TypeError, ValueError):
            return []
        return [Sample(self._name, value, step)]

    def _read(self, known: _Known, line: str, numbers: Sequence[str]) -> list[Sample]:
        form = known.form
        if known.is_rule:
            return []
        if known.header is not None:
            self._header, self._header_age = known.header, 0
            return self._end_block()
        if known.cells is not None:
            return self._cells(known.cells, numbers)
        if self._header is not None:
            rows = tables.row_of(clean.without_prefix(line), self._header)
            if rows is not None:
                return self._row(rows)
            self._header_age += 1
            if self._header_age > HEADER_LINES:
                self._header = None
        step = self._step(form, numbers)
        if not form.pairs:
            ended = [] if form.is_entry else self._end_block()
            if form.is_setting:
                self._block.is_config = True
            return ended
        samples = [
            self._sample(pair, numbers, step)
            for pair in form.pairs
            if not (is_whole(numbers[pair.index]) and pair.name.lower() in SPLITS)
        ]
        if any(pair.sort is Sort.METRIC for pair in form.pairs) or _has_axis(form):
            return self._certain(form, samples)
        return self._wait(form, samples, numbers)

    def _certain(self, form: Form, samples: list[Sample]) -> list[Sample]:
        before = self._end_block() if not self._block.waiting or not form.is_entry else []
        block = self._block
        if not before and block.waiting and not block.is_config:
            before, block.waiting = block.waiting, []
        block.waiting, block.has_metric = [], True
        if form.total is not None and (form.is_bar or form.position is not None):
            return before + self._on_the_way(form, samples)
        self._interim = []
        return before + samples

    def _on_the_way(self, form: Form, samples: list[Sample]) -> list[Sample]:
        """Of a bar that is drawn anew within an epoch, the end counts."""
        left, self._interim = self._interim, []
        before = left if left and left[0].step != self._epoch else []
        if self._epoch is None or self._is_complete:
            return before + samples
        if not form.is_bar and form.epoch is not None:
            return before + samples
        self._interim = samples
        return before

    def _wait(self, form: Form, samples: list[Sample], numbers: Sequence[str]) -> list[Sample]:
        """Entries of names that nobody knows: metrics beside metrics, settings beside settings."""
        block = self._block
        if form.is_setting:
            block.is_config = True
        if block.has_metric:
            return samples
        kept = [
            sample
            for pair, sample in zip(form.pairs, samples, strict=False)
            if pair.sort is Sort.OTHER and not is_whole(numbers[pair.index])
        ]
        if form.is_entry:
            block.waiting += kept
            return []
        return self._end_block()

    def _end_block(self) -> list[Sample]:
        block, self._block = self._block, _Block()
        return [] if block.is_config else block.waiting

    def _step(self, form: Form, numbers: Sequence[str]) -> float | None:
        if form.epoch is not None:
            self._epoch = value_of(numbers[form.epoch])
        self._is_complete = form.total is None or (
            form.position is not None
            and value_of(numbers[form.position]) >= value_of(numbers[form.total])
        )
        if form.step is not None and (form.epoch is None or form.total is None):
            return value_of(numbers[form.step])
        if self._epoch is not None:
            return self._epoch
        place = form.position if form.position is not None else form.step
        return value_of(numbers[place]) if place is not None else None

    def _sample(self, pair: Pair, numbers: Sequence[str], step: float | None) -> Sample:
        value: float | None = value_of(numbers[pair.index])
        if pair.over is not None:
            over = value_of(numbers[pair.over])
            value = value / over if over and value is not None else None
        if pair.unit and pair.name not in self.units and len(self.units) < SHAPES:
            self.units[pair.name] = pair.unit
        return Sample(
            pair.name, number(value), step if step is None or math.isfinite(step) else None
        )

    def _cells(self, cells: tuple[str, str], numbers: Sequence[str]) -> list[Sample]:
        name, value = cells
        if not value:
            self._section = f"{name.rstrip('/')}/" if name.endswith("/") else ""
            return []
        if not tables.kept(name, numbers[0]) and words_plain(name) not in self._wanted:
            return []
        full = f"{self._section}{_one_word(name)}"
        return [Sample(full, number(value_of(numbers[0])), self._epoch)]

    def _row(self, rows: Sequence[tuple[str, str]]) -> list[Sample]:
        self._header_age = 0
        step: float | None = None
        for name, text in rows:
            axis = AXES.get(name.lower())
            if axis is None:
                continue
            if axis == "epoch":
                self._epoch = value_of(text)
            step = value_of(text) if axis == "step" or step is None else step
        step = step if step is not None else self._epoch
        return [
            Sample(_one_word(name), number(value_of(text)), step)
            for name, text in rows
            if tables.kept(name, text) or words_plain(name) in self._wanted
        ]

    def _object(self, told: dict[str, Any]) -> list[Sample]:
        """A line that is one JSON object; its settings are left out."""
        flat = list(_flat(told))
        axes = {AXES[key.lower()]: one for key, one in flat if key.lower() in AXES}
        if (epoch := number(axes.get("epoch"))) is not None:
            self._epoch = epoch
        step = number(axes.get("step", axes.get("epoch")))
        step = step if step is not None else self._epoch
        time = next((number(one) for key, one in flat if key.lower() in _TIMES), None)
        kept = []
        sorts = {key: sort_of(key) for key, _ in flat}
        is_told = bool(axes) or Sort.METRIC in sorts.values()
        for key, one in flat:
            plain = words_plain(key)
            if plain not in self._wanted and (
                sorts[key] in (Sort.SETTING, Sort.AXIS) or key.lower() in _TIMES or not is_told
            ):
                continue
            if is_name(key):
                kept.append(Sample(key, number(one), step, time))
        return kept


def _one_word(name: str) -> str:
    return name.replace(" ", "_").lower() if " " in name else name


def _has_axis(form: Form) -> bool:
    return form.step is not None or form.epoch is not None


def _json(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _literal(line: str) -> dict[str, Any] | None:
    """A dict with others in it, as Python prints it; plain ones are read as any line is."""
    if line.count("{") < 2 or line.count("{") > 50:
        return None
    try:
        found = ast.literal_eval(clean.plain(line))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return found if isinstance(found, dict) and all(isinstance(key, str) for key in found) else None


def _flat(told: dict[str, Any], prefix: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Any]]:
    """The numbers of an object, those of inner ones under `outer/inner`."""
    for key, value in told.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            inner = "" if key in ("metrics", "data", "results") and not prefix else f"{name}/"
            if depth:
                yield from _flat(value, inner, depth - 1)
        elif isinstance(value, bool):
            continue
        elif isinstance(value, int | float):
            yield name, value
        elif isinstance(value, str) and len(value) < 40:
            try:
                yield name, value_of(value)
            except ValueError:
                continue
