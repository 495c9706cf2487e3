"""What Wildloop changes inside Prefect: no other module reaches past Prefect's public names.

Each module says what it is for and what it costs to leave it out; its test in
`tests/flows/prefect_inside` fails when Prefect changes underneath, or no longer needs it.
"""
