"""`python -m bench.prompts`: write `docs/prompts` anew, and print tokens by part as a table.

`python -m bench.prompts record SESSION FILE` keeps a session of the running server.
"""

import argparse
from pathlib import Path

from bench.prompts.examples import EXAMPLES, FOLDER, example, sizes
from bench.prompts.recording import record
from wildloop.shim.client.api import ApiClient


def main() -> None:
    """Write the examples, or record a session."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="record SESSION FILE")
    words = parser.parse_args().words
    if words:
        _, session, file = words
        client = ApiClient()
        found = record(client, client.full_id("session", session))
        Path(file).write_text(found.model_dump_json(exclude_defaults=True) + "\n")
        return
    FOLDER.mkdir(exist_ok=True)
    for name in EXAMPLES:
        (FOLDER / f"{name}.md").write_text(example(name) + "\n", encoding="utf-8")
    print(sizes())


if __name__ == "__main__":
    main()
