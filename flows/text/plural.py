"""Numbers of things in words."""


def counted(number: int, noun: str) -> str:
    """The number with its noun: `1 run`, `2 runs`."""
    return f"{number} {noun}" + "s" * (number != 1)
