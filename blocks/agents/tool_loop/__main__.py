"""`python -m wildloop.blocks.agents.tool_loop`: one call of the agent."""

import sys

from wildloop.blocks.agents.tool_loop.loop import main

sys.exit(main())
