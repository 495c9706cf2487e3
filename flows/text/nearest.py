"""Names that people mistype."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 12


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """That `name` is no known one, with the nearest that is, else with all of them.

    Args:
        kind: what it is the name of, as `key` or `parameter`.
        name: as it was given.
        known: the names that are understood.
    """
    names = sorted(known)
    said = f"{kind} {name[:80]!r} is not known"
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"{said}: did you mean {near[0]!r}?"
    if not names:
        return f"{said}: none is taken here, leave it out"
    more = ", ..." if len(names) > SHOWN else ""
    return f"{said}: leave it out, or use one of {', '.join(names[:SHOWN])}{more}"
