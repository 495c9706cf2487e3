"""What Wildloop notices about a run by itself."""
