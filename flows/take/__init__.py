"""Taking a night home: its kept ideas as a branch that a colleague can review."""
