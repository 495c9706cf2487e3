"""The form of a line: which of its numbers are values of what, and which is step or epoch.

The form is told from the line's shape alone, so it holds for all lines of that shape.
"""

import re
from collections.abc import Container, Sequence

from wildloop.flows.metrics.lines import words
from wildloop.flows.metrics.lines.places import Form, Pair, Places
from wildloop.flows.metrics.lines.tokens import Kind, Token, tokens_of
from wildloop.flows.metrics.lines.vocabulary import HEADINGS, OF_WORDS, PROSE, SIZES, TIMES, UNITS
from wildloop.flows.metrics.lines.words import AXES, SPLITS, Sort, word_set

PHRASE = 5
MIXED_WORDS = 3
_ASIDE = word_set("best std avg mean sd prev previous ± +/- was min max new")
_OPENING = frozenset("[('\"")
_OPEN = {")": "(", "]": "[", "}": "{"}


def form_of(shape: str, wanted: Container[str] = ()) -> Form:
    """The form of a line's shape.

    Args:
        shape: the line, cleaned, its numbers out (see `tokens.shape_of`).
        wanted: plain names (see `names.plain_name`) that are metrics whatever their words say.
    """
    return _Reading(list(tokens_of(shape)), wanted).form()


class _Reading(Places):
    """One pass over the tokens of a shape; `used` are those that are understood."""

    def __init__(self, tokens: Sequence[Token], wanted: Container[str]) -> None:
        super().__init__(tokens)
        self.wanted = wanted
        self.is_junk = False
        self.spaced: set[int] = set()
        self.pairs: list[tuple[int, Pair]] = []
        self.texts = 0

    def form(self) -> Form:
        self.read_places()
        for place, token in enumerate(self.tokens):
            if token.kind is Kind.WORD and place not in self.used and self._is_heading_split(place):
                self.split = token.text.lower().rstrip("%")
            if token.kind is Kind.NUMBER and place not in self.used:
                self._pair(place)
        self._texts()
        self._judge()
        return self.found

    # Names and values.

    def _is_heading_split(self, place: int) -> bool:
        """Whether a word says which data the values after it are of: 'Test set:', 'val |'."""
        if self._text(place).lower() not in SPLITS:
            return False
        following = self._text(place + 1).lower()
        if self._kind(place + 1) is Kind.SEP and not self._is_number(place + 2):
            return True
        return self._kind(place + 1) is not Kind.SEP and following != "="

    def _pair(self, place: int) -> None:
        before = place - 1
        if self._text(before) in _OPENING and self._kind(before - 1) is Kind.SEP:
            before -= 1
        if self._kind(before) is Kind.SEP:
            named = self._name_before(before - 1) or self._name_before_axis(before - 1)
            spaced = False
        else:
            named = self._name_before(before) if self._is_spaced_name(before) else None
            if named is None and self._text(before) == ")" and not self._is_number(before - 1):
                # 'f1-score (micro avg)  0.91'
                bracketed = self._bracketed(before)
                is_told = bracketed is not None and words.is_metric_word(bracketed[0])
                named = bracketed if is_told else None
            spaced = True
        over, unit, is_value = self._after(place)
        if named is None:
            return
        name, used = named
        self.used |= used | {place, before}
        if not is_value:
            return
        sort = Sort.METRIC if words_plain(name) in self.wanted else words.sort_of(name)
        if over is not None and sort is not Sort.METRIC:
            return
        if unit.lower() in SIZES | TIMES and sort is not Sort.METRIC:
            return
        if unit.lower() in SIZES - {"b", "m"} and words_plain(name) not in self.wanted:
            return
        if spaced:
            self.spaced.add(len(self.pairs))
        self.pairs.append((place, Pair(name, self.tokens[place].place, over, sort, unit)))

    def _is_spaced_name(self, place: int) -> bool:
        """Whether the word before a number, without a sign between, names a metric."""
        if self._kind(place) is not Kind.WORD or place in self.used:
            return False
        return words.is_metric_word(self._text(place)) or (
            words_plain(self._text(place)) in self.wanted
        )

    def _name_before(self, place: int) -> tuple[str, set[int]] | None:
        """The name that ends at `place`, and the tokens that it takes."""
        kind, text = self._kind(place), self._text(place)
        if place in self.used and kind is not Kind.SIGN:
            return None
        if kind is Kind.QUOTED:
            return text, {place}
        if kind is Kind.SIGN and text in _OPEN:
            return self._bracketed(place)
        if kind is Kind.SIGN and text in ("*", "`") and self._kind(place - 1) is not None:
            return self._name_before(place - 1)
        if kind is not Kind.WORD:
            return None
        first = self._phrase_start(place)
        parts = [self._text(one) for one in range(first, place + 1)]
        if not any(words.is_metric_word(part) for part in parts):
            sentence = self._of_phrase(place)
            if sentence is not None:
                return sentence
        name = _joined(parts)
        return self._with_split(name, parts), set(range(first, place + 1))

    def _name_before_axis(self, place: int) -> tuple[str, set[int]] | None:
        """'Validation accuracy after epoch 3: 0.91'."""
        if not self._is_number(place) or place not in self.used:
            return None
        while place >= 0 and place in self.used:
            place -= 1
        joint = (
            {place} if self._text(place).lower() in ("after", "at", "in", "for", "on") else set()
        )
        found = self._name_before(place - len(joint))
        if found is None or words.sort_of(found[0]) is not Sort.METRIC:
            return None
        return found[0], found[1] | joint

    def _phrase_start(self, place: int) -> int:
        first = place
        if not words.is_phrase_word(self._text(place)) and "_" not in self._text(place):
            # 'learning rate' is one name, too.
            before = self._text(place - 1).lower()
            is_compound = before in ("learning", "batch", "weight", "hidden", "best") or (
                self._text(place).lower() in ("rate", "ratio")
                and self._kind(place - 1) is Kind.WORD
                and before not in PROSE
            )
            return place - 1 if is_compound else place
        while first > 0 and place - first < PHRASE - 1:
            if self._kind(first - 1) is not Kind.WORD or first - 1 in self.used:
                break
            if not words.is_phrase_word(self._text(first - 1).replace("'s", "")):
                break
            first -= 1
        return first

    def _bracketed(self, place: int) -> tuple[str, set[int]] | None:
        """`Accuracy (val)`, `acc [%]`."""
        opened = place - 1
        while opened > 0 and place - opened < 5 and self._text(opened) != _OPEN[self._text(place)]:
            opened -= 1
        if self._text(opened) != _OPEN[self._text(place)]:
            return None
        inner = [self._text(one) for one in range(opened + 1, place)]
        found = self._name_before(opened - 1)
        if found is None:
            return None
        name, used = found
        for one in inner:
            if one.lower() in SPLITS:
                name = name if _has_split([name]) else _joined([one, name])
            elif words.is_phrase_word(one):
                name = _joined([name, one])
            elif one not in ("%", "↑", "↓", "higher", "lower", "is", "better", "avg", "n"):
                return None
        return name, used | set(range(opened, place + 1))

    def _of_phrase(self, place: int) -> tuple[str, set[int]] | None:
        """'Accuracy of the network on the 10000 test images'."""
        metric, split, one = None, "", place
        while one >= 0 and place - one < 14:
            text = self._text(one).lower()
            if self._kind(one) is Kind.WORD and words.is_metric_word(text):
                metric = one
                break
            if text in SPLITS:
                split = split or text
            elif text not in OF_WORDS and not self._is_number(one):
                return None
            one -= 1
        if metric is None or metric == place:
            return None
        first = self._phrase_start(metric)
        parts = [self._text(each) for each in range(first, metric + 1)]
        name = _joined([split, *parts] if split and not _has_split(parts) else parts)
        return name, set(range(first, place + 1))

    def _with_split(self, name: str, parts: Sequence[str]) -> str:
        if _has_split([name]):
            leading = parts[0].lower()
            if leading in SPLITS and len(parts) > 1:
                self.split = leading
            return name
        if self.split and words.sort_of(name) is Sort.METRIC:
            return _joined([self.split, name])
        return name

    def _after(self, place: int) -> tuple[int | None, str, bool]:
        """What follows a value: its divisor, its unit, and whether it is a value at all."""
        over, unit, after = None, "", place + 1
        text, kind = self._text(after), self._kind(after)
        glued = after < len(self.tokens) and self.tokens[after].gap == 0
        if text == "/" and self._is_number(after + 1):
            over = self.tokens[after + 1].place
            self.used |= {after, after + 1}
            after += 2
        elif text == "%":
            unit = "%"
            self.used.add(after)
            after += 1
        elif kind is Kind.WORD and (glued or text.lower() in UNITS):
            if text.lower() not in UNITS:
                self.is_junk = True
                return None, "", False
            unit = text
            self.used.add(after)
            after += 1
        elif glued and (kind is Kind.JUNK or text == "x"):
            self.is_junk = kind is Kind.JUNK
            return None, "", False
        elif glued and self._is_split_number(after):
            self.is_junk = self.is_junk or text == "." or self._kind(after + 1) is Kind.JUNK
            return None, "", False
        self._spread(after)
        return over, unit, True

    def _end(self, place: int, length: int) -> int:
        return min(place + length, len(self.tokens))

    def _is_split_number(self, place: int) -> bool:
        """Whether a version, date, time or range goes on here."""
        text, following = self._text(place), self._kind(place + 1)
        if text == ".":
            return following is Kind.JUNK
        return text in (":", "-", "/") and following in (Kind.NUMBER, Kind.JUNK, Kind.WORD)

    def _spread(self, after: int) -> None:
        """`± 0.02`, `(0.95)`, `(99%)`, `(best 0.9)`, `(±0.02)` behind a value."""
        if self._text(after) in ("±", "+/-", "+-", "+") and self._is_number(after + 1):
            self.used |= {after, after + 1}
            after += 2
            if self._text(after) == "%":
                self.used.add(after)
            return
        if self._text(after) not in ("(", "["):
            return
        closed = next(
            (
                one
                for one in range(after, min(after + 7, len(self.tokens)))
                if self._text(one) in ")]"
            ),
            None,
        )
        if closed is None:
            return
        inner = range(after + 1, closed)
        if all(self._may_be_aside(one) for one in inner):
            self.used |= set(range(after, closed + 1))

    def _may_be_aside(self, place: int) -> bool:
        text = self._text(place).lower()
        if self._is_number(place) or place in self.used or self._kind(place) is Kind.SEP:
            return True
        return text in "%±+-/,n~" or text in _ASIDE

    # What the line as a whole is.

    def _texts(self) -> None:
        """Entries that are no numbers, as `optimizer: adam`."""
        for place in range(len(self.tokens) - 2):
            if self._kind(place + 1) is not Kind.SEP or place in self.used:
                continue
            if self._kind(place) not in (Kind.WORD, Kind.QUOTED) or self._is_number(place + 2):
                continue
            if self._text(place).lower() in SPLITS or self._kind(place + 2) not in (
                Kind.WORD, Kind.QUOTED, Kind.PATH,
            ):  # fmt: skip
                continue
            following = self._kind(place + 3)
            if self._kind(place + 2) is Kind.WORD and following in (
                Kind.WORD,
                Kind.NUMBER,
                Kind.SEP,
            ):
                continue
            self.texts += 1
            self.used |= {place, place + 2}

    def _judge(self) -> None:
        odd_places = self._odd_places()
        odd = [self._text(place).lower() for place in odd_places]
        pairs = [pair for _, pair in self.pairs]
        has_metric = any(pair.sort is Sort.METRIC for pair in pairs)
        if self.is_junk and odd:
            pairs = []
        is_config = _is_config(self.tokens) or (
            not has_metric and any(pair.sort is Sort.SETTING for pair in pairs)
        )
        if is_config and _is_config(self.tokens):
            pairs = []
        elif odd:
            prose = any(one in PROSE for one in odd) or len(odd) > MIXED_WORDS
            part = self._parts()
            odd_parts = {part[place] for place in odd_places} if part[-1] > 1 else set(part)
            pairs = [
                pair
                for number, (place, pair) in enumerate(self.pairs)
                if pair.sort is Sort.METRIC
                and pairs
                and (part[place] not in odd_parts or (not prose and number not in self.spaced))
            ]
        self.found.is_entry = bool(self.pairs or self.texts) and not odd
        self.found.is_setting = (
            self.found.is_entry and not has_metric and (is_config or bool(self.texts))
        )
        self.found.pairs = [
            pair
            for pair in pairs
            if pair.sort not in (Sort.SETTING, Sort.AXIS)
            and not (pair.sort is Sort.RESOURCE and words.is_clock(pair.name))
        ]

    def _odd_places(self) -> list[int]:
        """The words that nothing explains."""
        has_axis = self.found.step is not None or self.found.epoch is not None
        found = []
        for place, token in enumerate(self.tokens):
            if place in self.used or token.kind not in (Kind.WORD, Kind.JUNK):
                continue
            word = token.text.lower()
            is_known = word in HEADINGS or _is_plain_word(word)
            if not is_known and not (has_axis and self._is_number(place + 1)):
                found.append(place)
        return found

    def _parts(self) -> list[int]:
        """By token: how many bars stand before it; what they divide stands alone."""
        found, count = [], 0
        for token in self.tokens:
            count += token.text == "|"
            found.append(count)
        return found


def words_plain(name: str) -> str:
    """A name as it is compared with wanted ones: its letters and digits."""
    return re.sub(r"[\W_]+", "", name.lower())


def _is_plain_word(word: str) -> bool:
    return (
        word in SPLITS
        or word in AXES
        or word in UNITS
        or word in words.MODIFIERS
        or (words.is_phrase_word(word) or words.sort_of(word) is Sort.RESOURCE)
    )


def _has_split(parts: Sequence[str]) -> bool:
    return any(one in SPLITS for part in parts for one in words.tokens(part))


def _joined(parts: Sequence[str]) -> str:
    """One name of several words: 'Test accuracy' is test_accuracy; a single one stays as it is."""
    kept = [part.replace("'s", "").rstrip("%") for part in parts if part]
    return kept[0] if len(kept) == 1 else "_".join(part.lower() for part in kept)


def _is_config(tokens: Sequence[Token]) -> bool:
    """`Namespace(lr=0.1, ...)`, `config: {...}`: all of it is settings."""
    heads = [token.text.lower() for token in tokens[:3]]
    known = {"namespace", "config", "configuration", "args", "arguments", "hparams", "settings"}
    known |= {"hyperparameters", "hyperparams", "trainingarguments", "params", "options", "cfg"}
    known |= {"parameters"}
    if not heads:
        return False
    first = heads[0].rstrip(":")
    return any(
        head in known and index + 1 < len(heads) and heads[index + 1] in ("(", ":", "=", "{")
        for index, head in enumerate([first, *heads[1:]])
    ) or first.endswith(("config", "arguments"))
