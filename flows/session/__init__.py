"""Where a session stands: its position and its log."""
