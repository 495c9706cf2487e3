"""Whether a session is stuck, and what follows."""
