"""One call of an agent: made, followed, resumed."""
