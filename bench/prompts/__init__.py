"""Prompts of recorded sessions: the examples of `docs/prompts`, and how long their parts are."""
