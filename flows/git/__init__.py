"""What Wildloop does with git."""
