"""The papers, notes and saved pages that planning is to read: where they lie, not what they say."""

from wildloop.flows.prompt.state import PromptState

SHOWN = 20


def references_section(state: PromptState) -> str:
    """A line for each that wildloop.toml names; empty without any."""
    if state.project is None:
        return ""
    named = state.project.references
    lines = [
        *(f"paper: `{path}`" for path in named.papers),
        *(f"notes: `{path}`" for path in named.notes),
        *(f"{url}: `{path}`" for url, path in named.urls.items()),
    ]
    if not lines:
        return ""
    more = [f"{len(lines) - SHOWN} more: [references] in wildloop.toml"]
    shown = [*lines[:SHOWN], *(more if len(lines) > SHOWN else [])]
    told = "\n".join(f"- {line}" for line in shown)
    return (
        "## References of the user\n\n"
        f"{told}\n\nRead what bears on the goal before you plan; name in the notes what you take "
        "from it. They are sources of ideas: what they claim of this project is not measured.\n"
    )
