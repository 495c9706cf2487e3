"""What lies on disk, and where."""
