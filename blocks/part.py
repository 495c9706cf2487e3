"""Starts a part of a server sooner: `python -m wildloop.blocks.part MODULE ARGUMENT...`.

Nothing of what imports make is garbage; looking for it takes a sixth of their time, and later each
look would go through all of it again.
"""

import gc
import sys
from importlib import import_module


def main() -> None:
    """Import the module named first, then have its `main` see the arguments after it."""
    gc.disable()
    _, name, *arguments = sys.argv
    module = import_module(name)
    gc.freeze()
    gc.enable()
    sys.argv = [module.__file__ or name, *arguments]
    module.main()


if __name__ == "__main__":
    main()
