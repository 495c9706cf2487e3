"""The loop: ask the model, run what it asks for, until it has said its last word."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from wildloop.blocks.agents.streams import clean
from wildloop.blocks.agents.tool_loop import prompts
from wildloop.blocks.agents.tool_loop.client import (
    NO_HTTP,
    ContextOverflow,
    ModelClient,
    ModelFault,
    Request,
    ToolsRefused,
)
from wildloop.blocks.agents.tool_loop.events import (
    Answered,
    Events,
    Failed,
    Final,
    Note,
    Output,
    Started,
)
from wildloop.blocks.agents.tool_loop.files import Files
from wildloop.blocks.agents.tool_loop.history import History, PromptTooLong
from wildloop.blocks.agents.tool_loop.in_text import fenced_call, marked_call, without_thoughts
from wildloop.blocks.agents.tool_loop.messages import Answer, Call, Kind, Message
from wildloop.blocks.agents.tool_loop.settings import Clock, LoopSettings, Secrets, take_environment
from wildloop.blocks.agents.tool_loop.shell import Shell
from wildloop.blocks.agents.tool_loop.tools import Repeats, ToolResult, Tools, offered

MOST_ADMONITIONS = 3
MOST_OVERFLOWS = 6

Why = Literal["steps", "time", "repetition"]


class ToolLoop:
    """One call of the agent."""

    def __init__(
        self,
        settings: LoopSettings,
        client: ModelClient,
        tools: Tools,
        clock: Clock,
        events: Events,
    ) -> None:
        self._settings = settings
        self._client = client
        self._tools = tools
        self._clock = clock
        self._events = events
        self._offered = offered()
        self._repeats = Repeats()
        self._admonitions = 0
        self._tools_work = False

    def run(self, prompt: str) -> Final:
        """Work on the prompt to the end.

        Raises:
            ModelFault: the server does not answer, or the model has said nothing at all.
            PromptTooLong: the prompt does not fit the model's context.
        """
        history, text = self._history(prompt), ""
        for step in range(1, self._settings.max_steps + 1):
            why = self._wrap_up(step)
            if why is not None and step > 1:
                history.add(Message(Kind.NOTE, prompts.wrap_up(why)))
            answer = self._ask(history, tool_use=why is None)
            said = without_thoughts(answer.text).strip()
            text = said or text
            if why is not None:
                return _final(text, why, step)
            added = self._work(answer, said)
            if added is None:
                return _final(text, "model", step)
            # An answer of nothing at all is refused by some servers.
            kept = said or ("" if answer.calls else prompts.NOTHING)
            history.add(Message(Kind.ANSWER, kept, answer.calls), *added)
        raise AssertionError("the last step wraps up")

    def _wrap_up(self, step: int) -> Why | None:
        """Why this step is to be the last, if it is."""
        if self._repeats.is_stuck:
            return "repetition"
        if self._clock.left_for_work() <= 0:
            return "time"
        return "steps" if step == self._settings.max_steps else None

    def _work(self, answer: Answer, said: str) -> Sequence[Message] | None:
        """Do what the answer asks for; None: it asks for nothing, it is the last one."""
        if answer.calls:
            self._tools_work = True
            return [self._output(call, call.id) for call in answer.calls]
        found = marked_call(said)
        if found is None and not self._tools_work:
            # Some servers take the tools and never show them to the model.
            found = fenced_call(said, strict=self._client.features.tools)
        if found is not None:
            output = self._output(found.call, None)
            extra = prompts.ONE_BLOCK.format(count=found.others + 1)
            return [output, Message(Kind.NOTE, extra)] if found.others else [output]
        if (not said or answer.finish_reason == "length") and self._admonitions < MOST_ADMONITIONS:
            self._admonitions += 1
            return [Message(Kind.NOTE, prompts.CUT if said else prompts.EMPTY)]
        return None

    def _output(self, call: Call, call_id: str | None) -> Message:
        late = self._clock.left_for_work() <= 0
        result = ToolResult(prompts.NOT_RUN) if late else self._tools.run(call)
        result = self._repeats.note(call, result)
        text = clean(self._events.redact(result.text))
        self._events.emit(
            Output(name=call.name, call=call.id, text=text, exit_code=result.exit_code)
        )
        if call_id is None:
            text = f"Output of your command:\n{text}"
        return Message(Kind.OUTPUT, text, call_id=call_id)

    def _ask(self, history: History, tool_use: bool) -> Answer:
        """The next answer; the conversation is made to fit first, and again if need be."""
        for _ in range(MOST_OVERFLOWS):
            if (done := history.fit()) is not None:
                self._events.emit(Note(text=done))
            characters = history.characters
            try:
                answer = self._client.ask(Request(history.messages, self._offered, tool_use))
            except ContextOverflow as overflow:
                self._events.emit(Note(text=f"too long for the server: {overflow}"))
                history.overflowed()
                continue
            except ToolsRefused:
                history.messages[0] = self._system()
                self._events.emit(Note(text="from now on without tools: commands in fenced blocks"))
                continue
            answer = with_ids(answer, len(history.messages))
            self._events.emit(Answered.of(answer))
            if answer.usage is not None:
                sent = answer.usage.input + answer.usage.cache_read
                history.learn(characters, sent)
            return answer
        raise PromptTooLong(
            "the server finds the prompt too long, however much is left out: use a model (or a "
            "server setting) with a longer context"
        )

    def _history(self, prompt: str) -> History:
        room = self._settings.context_tokens - self._settings.answer_tokens
        messages = [self._system(), Message(Kind.PROMPT, prompt)]
        return History(messages, room, len(json.dumps(self._offered)))

    def _system(self) -> Message:
        tools = self._client.features.tools
        text = prompts.system_text(self._tools.files.workdir, self._settings.max_steps, tools)
        return Message(Kind.SYSTEM, text)


def _final(text: str, ended_by: str, steps: int) -> Final:
    if not text:
        raise ModelFault(
            "the model has answered with no text at all: try another model, or a server that "
            "knows its chat template",
            NO_HTTP,
        )
    return Final(text=text, ended_by=ended_by, steps=steps)


def with_ids(answer: Answer, number: int) -> Answer:
    """The answer with an id on every call; not every server sends one."""
    calls = tuple(
        call if call.id else Call(f"call_{number}_{i}", call.name, call.arguments)
        for i, call in enumerate(answer.calls)
    )
    return Answer(answer.text, calls, answer.finish_reason, answer.usage, answer.model)


def run_call(settings: LoopSettings, secrets: Secrets, clock: Clock, prompt: str) -> int:
    """One call, its events on stdout; returns the process's exit code."""
    hidden = [secrets.api_key or "", *secrets.headers.values()]
    hidden += [os.environ.get(name, "") for name in settings.hidden_variables]
    events, workdir, cut = Events(hidden), Path.cwd(), settings.output_characters
    events.emit(Started(model=settings.model))
    try:
        with (
            ModelClient(settings, secrets, clock, events) as client,
            Shell(workdir, os.environ, cut, clock) as shell,
        ):
            files = Files(workdir, settings.files_outside_workdir, cut)
            tools = Tools(shell, files, settings.command_timeout_seconds)
            events.emit(ToolLoop(settings, client, tools, clock, events).run(prompt))
    except ModelFault as fault:
        events.emit(Failed(error=str(fault), status=fault.status, retry_after=fault.retry_after))
        return 1
    except PromptTooLong as fault:
        events.emit(Failed(error=str(fault), status=NO_HTTP))
        return 1
    return 0


def main() -> int:
    """Read the prompt from stdin and the rest from the environment; returns the exit code."""
    settings, secrets, clock = take_environment()
    prompt = sys.stdin.buffer.read().decode("utf-8", "replace")
    return run_call(settings, secrets, clock, prompt)
