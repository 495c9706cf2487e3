"""`wildloop init`: drafts wildloop.toml from what is found in a repository.

`scripts` reads what options Python scripts take and what they report, `repository` how the project
is run and what must stay as it is, `draft` writes the file with its reasons.
"""
