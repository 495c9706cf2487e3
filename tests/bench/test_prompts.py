"""The examples of prompts: made by a command, and true of what is sent now."""

import re

import pytest

from bench.prompts.examples import EXAMPLES, FOLDER, FREE, example
from wildloop.flows.prompt.tokens import parts_of, token_count

OF_THE_PLAN = ("Phase", "Planning Notes", "Shared Metrics", "Goal (2)")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_as_the_prompts_are_now(name: str) -> None:
    """`python -m bench.prompts` writes them anew."""
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == example(name) + "\n"


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_keep_the_budget(name: str) -> None:
    parts = parts_of((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    own = {
        title: text
        for title, text in parts.items()
        if title not in FREE and not title.startswith(OF_THE_PLAN)
    }
    assert sum(map(token_count, own.values())) <= 2500


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_prompt_names_the_plans_file_by_its_path(name: str) -> None:
    """An agent that cannot read its environment finds it all the same."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert re.search(r"`/\S+/tasks\.md`", text)
