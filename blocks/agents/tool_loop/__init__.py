"""A small agent loop for any server that speaks OpenAI's chat completions.

It runs as a process of its own, `python -m wildloop.blocks.agents.tool_loop`: the prompt on
stdin, its settings and secrets in the environment, one JSON event a line on stdout, the `final`
one last.
Nothing here imports Prefect, so that a call starts at once.
"""
