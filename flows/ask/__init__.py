"""What a person asks of a session, answered by its agent from the record."""
