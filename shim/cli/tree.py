"""`wildloop tree`: the changes of a session, each below the one whose code it began with."""

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from wildloop.flows.models.tree import Outcome, TreeNode, TreeView
from wildloop.flows.text.plural import counted
from wildloop.shim.cli.here import All, Project, session_here
from wildloop.shim.cli.output import print_json
from wildloop.shim.cli.research import Json, SessionId
from wildloop.shim.cli.server import server

STYLES = {Outcome.KEPT: "green", Outcome.FAILED: "red", Outcome.DISCARDED: "dim"}


def tree(
    session: SessionId = None,
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
) -> None:
    """Show a session's changes as a tree: what each began with, gave, and what became of it."""
    client = server()
    found = client.tree(session_here(client, session, project, everywhere).session_id)
    if as_json:
        print_json(found)
        return
    console = Console()
    console.print(drawn(found))
    console.print(Text(found.headline))


def drawn(view: TreeView) -> Tree:
    """The tree as the terminal shows it."""
    root, *rest = view.nodes
    top = Tree(_told(root))
    places = {root.id: top}
    for one in rest:
        places[one.id] = places.get(one.parent or root.id, top).add(_told(one))
    return top


def _told(node: TreeNode) -> Text:
    words = [node.id] if node.outcome is Outcome.ROOT else [f"{node.id} {node.outcome.value}"]
    marks = [word for word, is_so in (("best", node.is_best), ("here", node.is_here)) if is_so]
    words += [f"({', '.join(marks)})"] if marks else []
    told = Text(" ".join(words), style="bold" if node.is_best else STYLES.get(node.outcome, ""))
    kind = f"{node.kind}: " if node.kind else ""
    told.append(f"\n{kind}{node.title}", style="default not bold not dim")
    told.append(f"\n{'; '.join(_numbers(node))}", style="dim not bold")
    return told


def _numbers(node: TreeNode) -> list[str]:
    """Value, gain, commit and price, as far as they are known."""
    said = []
    if node.value is not None and node.value.mean is not None:
        level = f" {node.level.value}" if node.level is not None else ""
        said.append(f"{node.value.text}{level}")
    if node.gain is not None:
        low, high = node.gain.low, node.gain.high
        interval = "" if low is None or high is None else f" (95 % {low:+.4g} to {high:+.4g})"
        said.append(f"{node.gain.gain:+.4g}{interval} on {node.against}")
    said.append(counted(len(node.run_ids), "run"))
    if node.cost_usd is not None:
        said.append(f"${node.cost_usd:.2f}")
    if node.commit is not None:
        said.append(f"commit {node.commit[:12]}")
    return said
