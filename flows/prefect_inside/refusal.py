"""A Prefect server that wants to know who asks."""

REFUSED = frozenset({401, 403})


def refused(url: str, status: int) -> str:
    """What is said where a server refuses a request, and what mends it."""
    return (
        f"the Prefect server at {url} refuses access ({status}): give PREFECT_API_AUTH_STRING "
        "(user:password), or PREFECT_API_KEY of Prefect Cloud, in the environment or the profile"
    )
