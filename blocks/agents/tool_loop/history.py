"""Keeps the conversation inside the model's context."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from wildloop.blocks.agents.tool_loop.messages import Kind, Message
from wildloop.blocks.agents.tool_loop.output import cut_middle

CHARACTERS_PER_TOKEN = 3.5
LEAST_CHARACTERS_PER_TOKEN = 1.0
# Below this the fixed parts of a request blur the ratio.
TELLING_CHARACTERS = 8_000
# Shortened below the limit, so that not every step shortens again and spoils the server's cache.
TARGET_SHARE = 0.75
# After the server itself has called the conversation too long.
OVERFLOW_SHARE = 0.7
SHORT_CHARACTERS = 300
FRESH_CHARACTERS = 1_500
LEFT_OUT = "[Earlier steps of this work were left out here to save room.]"


class PromptTooLong(Exception):
    """System text and prompt alone do not fit."""


class History:
    """The messages of a call, shortened where they outgrow the context.

    Args:
        messages: system text and prompt.
        context_tokens: the model's context, less the room for its answer.
        extra_characters: what goes out with every request beside the messages.
    """

    def __init__(
        self, messages: Sequence[Message], context_tokens: int, extra_characters: int
    ) -> None:
        self.messages = list(messages)
        self._context_tokens = float(context_tokens)
        self._extra = extra_characters
        self._ratio = CHARACTERS_PER_TOKEN

    @property
    def characters(self) -> int:
        """What the next request takes."""
        return self._extra + sum(message.characters for message in self.messages)

    def add(self, *messages: Message) -> None:
        """Append messages."""
        self.messages.extend(messages)

    def learn(self, characters: int, tokens: int) -> None:
        """Take note of how many tokens the server counted for a request of so many characters."""
        if tokens > 0 and characters >= TELLING_CHARACTERS:
            self._ratio = max(LEAST_CHARACTERS_PER_TOKEN, min(self._ratio, characters / tokens))

    def overflowed(self) -> None:
        """The server finds the conversation too long: count on less room from now on."""
        self._context_tokens = min(
            self._context_tokens, OVERFLOW_SHARE * self.characters / self._ratio
        )

    def fit(self) -> str | None:
        """Shorten the conversation if it is too long; returns what was done.

        First old outputs of tools go, then what old answers held, then the newest outputs are
        cut, and at last the oldest steps are left out.

        Raises:
            PromptTooLong: not even that is enough.
        """
        limit = self._context_tokens * self._ratio
        if self.characters <= limit:
            return None
        before, done = self.characters, []
        target = limit * TARGET_SHARE
        for name, shorten in _WAYS:
            if self._each(shorten, target):
                done.append(name)
            if self.characters <= target:
                break
        else:
            if self._drop_steps(target):
                done.append("the oldest steps")
        if self.characters > limit:
            raise PromptTooLong(
                f"the prompt alone takes about {self.characters / self._ratio:.0f} tokens, and "
                f"there is room for {self._context_tokens:.0f}: use a model (or a server setting) "
                "with a longer context and say so in context_tokens, or shorten what goes into "
                "the prompt"
            )
        what = " and ".join(done)
        return (
            f"shortened {what}, from {before} to {self.characters} characters, to fit the context"
        )

    def _each(self, shorten: Callable[[Message, bool], Message], target: float) -> bool:
        """Shorten message by message, oldest first, until the target is met."""
        answers = [i for i, message in enumerate(self.messages) if message.kind is Kind.ANSWER]
        newest = answers[-1] if answers else len(self.messages)
        changed = False
        for i, message in enumerate(self.messages):
            if self.characters <= target:
                break
            self.messages[i] = shorten(message, i >= newest)
            changed = changed or self.messages[i] is not message
        return changed

    def _drop_steps(self, target: float) -> bool:
        """Leave out whole steps, an answer with all that follows it, but never the newest."""
        starts = [i for i, message in enumerate(self.messages) if message.kind is Kind.ANSWER]
        if len(starts) < 2:
            return False
        first = starts[0]
        cut = next(
            (
                i
                for i in starts[1:]
                if self.characters - sum(m.characters for m in self.messages[first:i]) <= target
            ),
            starts[-1],
        )
        del self.messages[first:cut]
        prompt = self.messages[first - 1]
        if LEFT_OUT not in prompt.text:
            self.messages[first - 1] = replace(prompt, text=f"{prompt.text}\n\n{LEFT_OUT}")
        return True


def _old_output(message: Message, is_new: bool) -> Message:
    if message.kind is not Kind.OUTPUT or is_new or len(message.text) <= SHORT_CHARACTERS:
        return message
    note = f"[an output of {len(message.text)} characters was left out to save room]"
    return replace(message, text=note)


def _old_answer(message: Message, is_new: bool) -> Message:
    if message.kind is not Kind.ANSWER or is_new or message.characters <= SHORT_CHARACTERS:
        return message
    note = json.dumps({"note": "left out to save room"})
    calls = tuple(
        call if len(call.arguments) <= SHORT_CHARACTERS else replace(call, arguments=note)
        for call in message.calls
    )
    return replace(message, text=cut_middle(message.text, SHORT_CHARACTERS), calls=calls)


def _new_output(message: Message, is_new: bool) -> Message:
    if message.kind is not Kind.OUTPUT or len(message.text) <= FRESH_CHARACTERS:
        return message
    return replace(message, text=cut_middle(message.text, FRESH_CHARACTERS))


def _new_answer(message: Message, is_new: bool) -> Message:
    return _old_answer(message, False)


_WAYS: tuple[tuple[str, Callable[[Message, bool], Message]], ...] = (
    ("old outputs", _old_output),
    ("old answers", _old_answer),
    ("new outputs", _new_output),
    ("the newest answer", _new_answer),
)
