"""The sessions whose numbers are recomputed: what their project is and what their agent does."""

from dataclasses import dataclass, field
from typing import Any

Action = tuple[str, ...]
Turn = dict[str, Any]

LONG = "long night"
WAIT: Action = ("wait",)
PROGRAM = "python3 -S train.py"
NOISY = '''"""val_loss: a constant and what the seed adds."""
import os, sys
C = 2.0
seed = int(sys.argv[-1].partition("=")[2])
value = C + 0.2 * ((seed * 3) % 5 - 2)
with open(os.environ["WILDLOOP_RUN_DIR"] + "/metrics.jsonl", "a") as out:
    out.write('{"step": 1, "val_loss": %r}\\n' % value)
'''
TABLE = '''"""acc: looked up by settings and seed."""
import os, sys
VALUES = {values}
*given, last = sys.argv[1:]
value = VALUES[" ".join(given)]
value = value[int(last.partition("=")[2]) % len(value)]
with open(os.environ["WILDLOOP_RUN_DIR"] + "/metrics.jsonl", "a") as out:
    out.write('{{"step": 1, "acc": %r}}\\n' % value)
'''
CHANCE = '''"""score: only seeds do anything; three are lucky, those of Wildloop are not."""
import os, sys
LUCK = {20: 0.03, 21: 0.035, 22: 0.028}
seed = int(sys.argv[-1].partition("=")[2])
value = 0.5 + LUCK.get(seed, (seed % 7 - 3) / 250 + (0.02 if seed >= 1000 else 0.0))
with open(os.environ["WILDLOOP_RUN_DIR"] + "/metrics.jsonl", "a") as out:
    out.write('{"step": 1, "score": %r}\\n' % value)
'''
GAIN = '''"""score: a faster rate helps, and the seed does a little."""
import os, sys
rate, seed = sys.argv[1].partition("=")[2], int(sys.argv[-1].partition("=")[2])
value = {"0.1": 0.5, "0.3": 0.6}[rate] + seed * 7919 % 101 / 5000
with open(os.environ["WILDLOOP_RUN_DIR"] + "/metrics.jsonl", "a") as out:
    out.write('{"step": 1, "score": %r}\\n' % value)
'''
NIGHT = '''"""score: what the parts of the code add, and what settings and seed do."""
import os, sys
A = 0.0
B = 0.0
C = 0.0
D = 0.0
*given, last = sys.argv[1:]
seed = int(last.partition("=")[2])
arg = dict(one[2:].split("=") for one in given)
parts = {"a": A, "b": B, "c": C, "d": D}
if any(part < -1 for part in parts.values()) or seed > 90:
    raise SystemExit("nothing comes of this")
state = 7
for letter in repr((sorted(arg.items()), sorted(parts.items()), seed)):
    state = (state * 31 + ord(letter)) % 2147483647
noise = -6.0
for _ in range(12):
    state = state * 48271 % 2147483647
    noise += state / 2147483647
value = 0.5 + sum(part for name, part in parts.items() if arg.get("without") != name)
value += {"0.1": 0.0, "0.3": 0.01, "0.9": -0.2}[arg.get("lr", "0.1")] + 0.01 * noise
with open(os.environ["WILDLOOP_RUN_DIR"] + "/metrics.jsonl", "a") as out:
    for step in (1, 2):
        out.write('{"step": %d, "score": %r}\\n' % (step, value * step / 2))
'''


@dataclass(frozen=True)
class Scenario:
    """A project and what the agent does in it.

    Args:
        train: text of train.py.
        metric: name of the primary metric.
        direction: of it.
        iterations: for each iteration its turns.
        options: of the session.
        memories: what its reflections say.
        goal: of the session.
        confirmed: by how many fresh seeds Wildloop confirms; 0: it does not.
        further: how many of best and baseline it runs once all is decided.
    """

    train: str
    metric: str
    direction: str
    iterations: list[list[Turn]]
    options: dict[str, Any] = field(default_factory=dict)
    memories: str = "none"
    goal: str = "Get the metric better"
    confirmed: int = 0
    further: int = 0

    @property
    def toml(self) -> str:
        """What wildloop.toml says."""
        said = f'[metric]\nname = "{self.metric}"\ndirection = "{self.direction}"\n'
        if self.confirmed:
            said = f'protected = ["wildloop.toml"]\n{said}[train]\ncommand = "{PROGRAM}"\n'
            said += f"[confirm]\nseeds = {self.confirmed}\nfurther = {self.further}\n"
        return said

    def script(self) -> dict[str, Any]:
        """What agent.py reads."""
        return {
            "program": PROGRAM,
            "plan": plan(f"Primary metric: {self.metric} ({self.direction})"),
            "iterations": self.iterations,
            "reflection": "<reflection>Looked at it.</reflection>\n<continue>yes</continue>\n"
            f"<memories>\n{self.memories}\n</memories>\n<summary>reflected</summary>\n",
        }


def runs(name: str, arguments: str, seeds: range | list[int]) -> list[Action]:
    """A run for each seed."""
    return [("run", name, arguments, str(seed)) for seed in seeds]


def edit(old: str, new: str) -> Action:
    """An edit of train.py."""
    return ("edit", old, new)


def turn(say: str, *actions: Action | list[Action], waits: bool = False, start: str = "") -> Turn:
    """What one call of the agent does; `start`: where it wants the next iteration to begin."""
    flat = [one for each in actions for one in (each if isinstance(each, list) else [each])]
    return {"say": say, "do": flat, "waits": waits, "start": start}


def plan(contract: str) -> str:
    """A plan that meets every rule."""
    lines = ["## Goal", "g", "", "## Planning Notes", "none", ""]
    texts = {(2, 3): "Reflection gate: midpoint", (4, 3): "Reflection gate: final"}
    texts[4, 2] = "Ablation of the best"
    for phase in range(1, 5):
        lines.append(f"## Phase {phase} - Part {phase}")
        for task in range(1, 4):
            text = texts.get((phase, task), "Work")
            lines.append(
                f"- [ ] [P{phase}-T{task}] {text} | deliverable: a.md | done-when: it is there"
            )
    return "\n".join([*lines, "", "## Shared Metrics and Analytics Contract", contract, ""])


KEEPING = {"keep": "better", "isolation": "snapshot"}

POOLED = Scenario(
    NOISY,
    "val_loss",
    "min",
    [
        [turn("the code as it is", runs("first", "", range(3)))],
        [
            turn(
                "more seeds of the best, then less of C",
                runs("first", "", [3, 4]),
                edit("C = 2.0", "C = 1.4"),
                runs("second", "", range(5)),
            )
        ],
        [turn("nothing more")],
    ],
    KEEPING,
)
CORRECTED = Scenario(
    NOISY,
    "val_loss",
    "min",
    [
        [turn("the code as it is", runs("base", "", range(3)))],
        [
            turn(
                "far too little of C, then a little less",
                edit("C = 2.0", "C = 0.1"),
                runs("faulty", "", range(3)),
                WAIT,
                edit("C = 0.1", "C = 1.9"),
                runs("mended", "", range(3)),
            )
        ],
        [turn("nothing more")],
    ],
    KEEPING,
)
MOST_SEEDS = Scenario(
    TABLE.format(
        values={
            "--lr=0.1 --width=8": [0.70, 0.72, 0.71],
            "--lr=0.3 --width=8": [0.78, 0.79, 0.785],
            "--lr=0.9 --width=8": [0.83],
            "--lr=0.1 --width=32": [0.712, 0.716, 0.709, 0.713, 0.72, 0.714],
        }
    ),
    "acc",
    "max",
    [
        [
            turn(
                "all at once",
                runs("baseline", "--lr=0.1 --width=8", range(3)),
                runs("tuned", "--lr=0.3 --width=8", range(3)),
                runs("lucky", "--lr=0.9 --width=8", range(1)),
                runs("control", "--lr=0.1 --width=32", range(5)),
                waits=True,
            )
        ]
    ],
    goal="Get acc above 0.8",
)
TIE = Scenario(
    TABLE.format(
        values={
            "--lr=0.1 --width=8": [0.9],
            "--lr=0.9 --width=64": [1.0],
            "--lr=0.3 --width=64": [1.0 + 2e-16],
            "--lr=0.1 --width=32": [1.0],
        }
    ),
    "acc",
    "max",
    [
        [
            turn(
                "all at once",
                runs("baseline", "--lr=0.1 --width=8", range(3)),
                runs("a", "--lr=0.9 --width=64", range(1)),
                runs("b", "--lr=0.3 --width=64", range(1)),
                runs("c", "--lr=0.1 --width=32", range(1)),
                WAIT,
                edit("value = VALUES", "# This is longer.\nvalue = 0.1\nvalue = VALUES"),
                edit("[0.9]", "[1.0]"),
                runs("d", "--lr=0.1 --width=8", range(1)),
                waits=True,
            )
        ]
    ],
    goal="Get acc above 0.95",
)
NOISE = Scenario(
    CHANCE,
    "score",
    "max",
    [
        [
            turn(
                "three values of what does nothing",
                runs("baseline", "--lr=0.1", range(3)),
                *(runs(f"nothing-{i}", f"--lr=0.1 --idle={i}", range(2)) for i in range(2)),
                runs("nothing-2", "--lr=0.1 --idle=2", [20, 21, 22]),
                waits=True,
            )
        ],
        [
            turn(
                "the luckiest again, and without a part that does nothing",
                runs("nothing-2", "--lr=0.1 --idle=2", [3, 4]),
                runs("ablation-idle", "--lr=0.1 --idle=2 --without=a", range(2)),
                waits=True,
            )
        ],
    ],
    memories="- [lesson] idle=2 improves score from 0.50 to 0.53\n- [gotcha] python is python3",
    goal="Get the score above 0.6",
    confirmed=3,
)


BORNE_OUT = Scenario(
    GAIN,
    "score",
    "max",
    [
        [
            turn(
                "two rates",
                runs("baseline", "--lr=0.1", range(3)),
                runs("fast", "--lr=0.3", range(3)),
                waits=True,
            )
        ]
    ],
    goal="Get the score above 0.55",
    confirmed=3,
    further=3,
)


def night(tries: int) -> Scenario:
    """Keeps, discards, fix and rerun, failures, an ablation, a withdrawal, then `tries` at a part.

    The fourth of them is a gain; the fifth and the tenth have two seeds.
    """
    plain, now = "--lr=0.1", {part: f"{part} = 0.0" for part in "ABCD"}

    def change(part: str, value: str, keeps: bool) -> list[Action]:
        """An edit; what is not kept is edited from the old value the next time."""
        old, new = now[part], f"{part} = {value}"
        if keeps:
            now[part] = new
        return [edit(old, new)]

    first = [
        [turn("the code as it is", runs("baseline", plain, range(3)))],
        [turn("A: a large gain", change("A", "0.1", True), runs("a", plain, range(3)))],
        [turn("B: nothing", change("B", "0.001", False), runs("b", plain, range(2)))],
        [
            turn(
                "B: broken, then mended",
                edit("B = 0.0", "B = -2.0"),
                runs("b", plain, range(2)),
                WAIT,
                edit("B = -2.0", "B = 0.1"),
                runs("b", plain, range(3)),
            )
        ],
        [turn("a faster rate", runs("fast", "--lr=0.3", range(2)))],
        [turn("a still faster rate", runs("faster", "--lr=0.9", range(1)))],
        [
            turn(
                "three at once",
                *(runs(f"idle{i}", f"{plain} --idle={i}", range(1)) for i in (1, 2, 3)),
            )
        ],
        [turn("more seeds of the best", runs("b-again", plain, range(3, 4)))],
    ]
    now["B"] = "B = 0.1"
    second = [
        [turn("C: nothing", change("C", "0.005", False), runs("c", plain, range(1)))],
        [turn("C: a large gain", change("C", "0.12", True), runs("c", plain, range(3)))],
        [
            turn(
                "what each part is worth",
                *(
                    runs(f"ablation-{part}", f"{plain} --without={part}", range(2))
                    for part in "abcd"
                ),
            )
        ],
        [turn("only thought")],
        [turn("D: a seed fails", change("D", "0.1", False), runs("d", plain, [0, 99]))],
        [
            turn(
                "D: by mistake on the wrong data",
                change("D", "0.3", False),
                runs("d", plain, range(1)),
                WAIT,
                ("withdraw", "d-s0", "ran on the wrong data"),
            )
        ],
    ]
    gain, seeds = 18, {15: 2, 18: 3, 19: 2, 24: 2}
    rest = [
        [
            turn(
                f"D: try {number}",
                change(
                    "D", f"{0.15 * (number >= gain) + number % gain / 9000:.4f}", number == gain
                ),
                runs("d", plain, range(seeds.get(number, 1))),
            )
        ]
        for number in range(15, 15 + tries)
    ]
    return Scenario(
        NIGHT,
        "score",
        "max",
        [*first, *second, *rest, [turn("nothing more")]],
        KEEPING,
        goal="Get the score above 0.8",
    )


def trial(say: str, old: str, new: str, start: str = "") -> list[Turn]:
    """An iteration of one edit of C on five seeds."""
    made = (edit(f"C = {old}", f"C = {new}"), runs(f"c{new}", "", range(1, 6)), WAIT)
    return [turn(say, *made, start=start)]


GONE_BACK = Scenario(
    NOISY,
    "val_loss",
    "min",
    [
        [turn("the baseline", runs("base", "", range(1, 6)), WAIT)],
        trial("a hair less", "2.0", "1.95", start="best"),
        trial("half", "2.0", "1.0", start="iteration-02"),
        trial("a hair less, then much", "1.95", "0.3", start="iteration-03"),
        trial("half, then a hair", "1.0", "0.95", start="feedfeed"),
        trial("a bit", "0.3", "0.28"),
    ],
    {"keep": "better", "explore": "tree"},
)
SCENARIOS = {
    "gone back": GONE_BACK,
    "pooled code": POOLED,
    "corrected code": CORRECTED,
    "most seeds": MOST_SEEDS,
    "tie": TIE,
    "noise": NOISE,
    "borne out": BORNE_OUT,
    "night": night(tries=5),
    LONG: night(tries=15),
}
