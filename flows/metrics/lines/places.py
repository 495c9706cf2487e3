"""Where in the run a line stands: its step, its epoch, how far a bar has come."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from wildloop.flows.metrics.lines.tokens import Kind, Token
from wildloop.flows.metrics.lines.words import AXES, SPLITS, Sort


@dataclass(frozen=True)
class Pair:
    """A name and where its value stands.

    Args:
        name: as it is to be called.
        index: the value's place among the line's numbers.
        over: the place of the number that it is divided by, of `9911/10000`.
        sort: what the name stands for.
        unit: as printed, `%` or 'ms'.
    """

    name: str
    index: int
    over: int | None = None
    sort: Sort = Sort.OTHER
    unit: str = ""


@dataclass
class Form:
    """What a line of some shape says."""

    pairs: list[Pair] = field(default_factory=list)
    step: int | None = None
    epoch: int | None = None
    position: int | None = None
    total: int | None = None
    is_bar: bool = False
    is_setting: bool = False
    is_entry: bool = False
    columns: list[Token] = field(default_factory=list)


class Places:
    """The tokens of a line, of which those in `used` are understood; reads step and epoch.

    A word that says which data the line is of is kept in `split`.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.used: set[int] = set()
        self.found = Form()
        self.split = ""

    def read_places(self) -> None:
        """Find what tells where the line stands."""
        self._positions()
        self._axes()

    def _kind(self, place: int) -> Kind | None:
        return self.tokens[place].kind if 0 <= place < len(self.tokens) else None

    def _text(self, place: int) -> str:
        return self.tokens[place].text if 0 <= place < len(self.tokens) else ""

    def _is_number(self, place: int) -> bool:
        return self._kind(place) is Kind.NUMBER

    def _positions(self) -> None:
        """`50%|▕| 30/60 [`, `30/60` or `[30/60 (50%)]` at the start, `[3]`, `[1, 2000]`, `3:`."""
        for place in range(len(self.tokens) - 4):
            if [self._text(place + n) for n in (1, 2)] == ["%", "|"] and self._is_number(place):
                self._bar(place)
                return
        start = 1 if self._text(0) in ("[", "(") else 0
        if not self._is_number(start):
            return
        after = self._text(start + 1)
        if after == "/" and self._is_number(start + 2):
            self._take_position(start)
        elif start and after == "," and self._is_number(start + 2):
            self.found.epoch = self.tokens[start].place
            self.used |= {start, start + 2}
        elif (start and after in "])") or (
            not start and after == ":" and not self._is_number(start + 2)
        ):
            self.found.step = self.tokens[start].place
            self.used |= {start, start + 1}

    def _bar(self, place: int) -> None:
        self.found.is_bar = True
        self.used |= {place, place + 1, place + 2}
        for other in range(place + 3, min(place + 8, len(self.tokens) - 2)):
            if self._is_number(other) and self._text(other + 1) == "/":
                self._take_position(other)
                return

    def _take_position(self, place: int) -> None:
        self.found.position = self.tokens[place].place
        self.found.total = self.tokens[place + 2].place
        self.used |= {place, place + 1, place + 2}
        if [self._text(place + 3), self._text(place + 5)] == ["(", "%"]:
            self.used |= {place + 3, place + 4, place + 5, place + 6}

    def _axes(self) -> None:
        self._epoch_of_split()
        for place, token in enumerate(self.tokens):
            if token.kind not in (Kind.WORD, Kind.QUOTED):
                continue
            axis = AXES.get(token.text.lower())
            number = self._number_after(place) if axis is not None else None
            if number is None or axis is None:
                continue
            if getattr(self.found, axis) is None:
                setattr(self.found, axis, self.tokens[number].place)
            self.used |= set(range(place, number + 1))
            self._rest_of_axis(axis, number)

    def _epoch_of_split(self) -> None:
        """`Train: 3 [ 100/1251 (8%)]`."""
        signs = [self._text(place) for place in (1, 3, 5)]
        if self._text(0).lower() not in SPLITS or signs != [":", "[", "/"]:
            return
        if all(self._is_number(place) for place in (2, 4, 6)):
            self.split = self._text(0).lower()
            self.found.epoch = self.tokens[2].place
            self.used |= {0, 1, 2, 3}
            self._take_position(4)

    def _number_after(self, place: int) -> int | None:
        """`Epoch 3`, `epoch=3`, `Epoch: [3`, `Epoch #3`, `epoch (3`."""
        for other in range(place + 1, min(place + 6, len(self.tokens))):
            if self._is_number(other):
                glued = self.tokens[other + 1] if other + 1 < len(self.tokens) else None
                is_word = glued is not None and glued.gap == 0 and glued.kind is Kind.JUNK
                return None if is_word else other
            between = self._text(other)
            is_data = self._text(other - 1) == "(" and between.lower() in SPLITS
            if is_data:
                self.split = between.lower()
            elif between not in (":", "=", "[", "(", ")", "#", "|", "'", '"'):
                return None
        return None

    def _rest_of_axis(self, axis: str, number: int) -> None:
        """`/10`, `of 10`, `][ 10/391]`, `[640/60000 (1%)]` after it."""
        after = number + 1
        if self._text(after) in ("/", "of") and self._is_number(after + 1):
            self.used |= {after, after + 1}
            if axis == "step" and self.found.total is None:
                self.found.position = self.tokens[number].place
                self.found.total = self.tokens[after + 1].place
            after += 2
        while self._text(after) in ("]", ")", "[", "(", ",", ":", "|", "-"):
            after += 1
            if self._is_number(after) and self._text(after + 1) == "/":
                if self._is_number(after + 2) and self.found.total is None:
                    self._take_position(after)
                return
