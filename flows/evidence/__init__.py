"""Runs by configuration: what was run, whatever the seed."""
