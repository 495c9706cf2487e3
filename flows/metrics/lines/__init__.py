"""Metrics as researchers print them: one line at a time, whatever wrote it.

`LineReader` takes the lines of a log in order and gives samples. It cleans a line (`clean`), tells
its form once for all lines of the same form (`form`), and reads tables (`tables`); which names
are metrics and which are settings is told by `words`.
"""

from wildloop.flows.metrics.lines.reader import LineReader

__all__ = ["LineReader"]
