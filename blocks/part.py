"""Starts a part of a server sooner: `python -m wildloop.blocks.part MODULE ARGUMENT...`.

Nothing of what imports make is garbage; looking for it takes a sixth of their time, and later each
look would go through all of it again. What a long session keeps in memory is no garbage either, so
looks at all of it are rare.
"""

import gc
import sys
from importlib import import_module

LOOKS = (10_000, 20, 50)
"""How many objects more bring a look, and how many looks one further back, as `gc` counts them."""


def main() -> None:
    """Import the module named first, then have its `main` see the arguments after it."""
    gc.disable()
    _, name, *arguments = sys.argv
    module = import_module(name)
    gc.freeze()
    gc.set_threshold(*LOOKS)
    gc.enable()
    sys.argv = [module.__file__ or name, *arguments]
    module.main()


if __name__ == "__main__":
    main()
