"""The changes of a session as a tree, and where to go on from."""
