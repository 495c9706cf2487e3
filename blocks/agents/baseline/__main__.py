"""Prompt on stdin, reply on stdout, as any command-line agent."""

import os
import sys

# Its matrices are small: more threads than one only wait for one another beside the runs.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from wildloop.blocks.agents.baseline.agent import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
