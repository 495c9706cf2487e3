"""What the loop itself says to the model."""

from pathlib import Path

_SYSTEM = """\
You work on a machine by yourself: nobody reads along or answers questions while you do. The user \
message tells your task and the form of your last message.

Your project is the folder {workdir}; commands start there. {how}

- Look before you change: read the files and the state that your task names first.
- After each change, check that it does what it should.
- An error is news: read it, then do something else than before.
- Nothing waits for a command that outlives its time limit. Start no long work in the background: \
what still runs when you end is ended with you. Have long work done in the way your task describes.
- Secrets are in the environment. Use them by name, as in "$NAME"; never print them.
- You have {steps} steps, one answer each, and the time that your task allows.

When your work is done, answer with {ending}: it is your last message, and all that is kept of \
what you said."""

_TOOLS = (
    "Work with the tools that you are offered. You may make several calls in one answer; they run "
    "one after the other."
)
_FENCE = """\
To run a command, put it into a fenced block and end your message with it:

```bash
ls -la
```

One block a message; its output is the next message that you get. Files are read and written in \
the same way, with cat, sed or a heredoc. The folder is kept between commands, variables are not."""

WRAP_UP = {
    "steps": "You have no steps left.",
    "time": "Your time is nearly over.",
    "repetition": "You repeat yourself without effect, so this is the end.",
}
LAST = (
    "Use no more tools and run no more commands. Write your last message now, in the form that "
    "the task asks for, with what you have; say plainly what is not done."
)
EMPTY = "Your answer was empty. Go on with your work, or write your last message."
CUT = (
    "Your answer was cut off at its length limit. Send it again, shorter; write long files in "
    "several pieces."
)
NOTHING = "(nothing)"
NOT_RUN = "not run: the call had come to its end"
ONE_BLOCK = "[only the first of your {count} commands was run: send one a message]"


def system_text(workdir: Path, steps: int, with_tools: bool) -> str:
    """The system message."""
    return _SYSTEM.format(
        workdir=workdir,
        steps=steps,
        how=_TOOLS if with_tools else _FENCE,
        ending="a text and no tool call" if with_tools else "a text and no such block",
    )


def wrap_up(why: str) -> str:
    """The request for a last message."""
    return f"{WRAP_UP[why]} {LAST}"
