"""Proof of worth of the searches: `python -m bench.search`."""
