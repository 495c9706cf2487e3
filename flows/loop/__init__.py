"""The steps of a session, and what each does."""
