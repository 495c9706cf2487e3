"""Prompt on stdin, reply on stdout, as any command-line agent."""

import sys

from wildloop.blocks.agents.baseline.agent import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
