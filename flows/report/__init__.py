"""The report of a session: every number in it comes from a run that it names."""
