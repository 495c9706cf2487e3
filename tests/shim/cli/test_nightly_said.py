"""What `wildloop nightly` says of a schedule, whoever has set it."""

from wildloop.shim.cli.nightly import when_told


def test_only_what_starts_every_night_is_said_to() -> None:
    assert when_told("every night", True, "22:00", "UTC") == "every night at 22:00 UTC"
    assert when_told("every night", False, "22:00", "UTC") == "off at 22:00 UTC"
    assert when_told("every night", True, "@daily", "UTC") == "on by the cron line '@daily' UTC"
    weekdays = when_told("every night", True, "0 22 * * 1-5", "Europe/Berlin")
    assert weekdays == "on by the cron line '0 22 * * 1-5' Europe/Berlin"
