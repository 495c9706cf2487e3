"""The schema of job variables is checked once, not for each flow run."""

from pathlib import Path

from tests.support.probe import printed_by

PROBE = """
from prefect.utilities.schema_tools import ValidationError, validate, validation
from prefect.utilities.schema_tools.validation import is_valid_schema
from wildloop.flows.prefect_inside.schemas import check_once

made = []
validator = validation._VALIDATOR
original = validator.check_schema
validator.check_schema = lambda schema, *_, **__: made.append(schema) or original(schema)

def asked():
    made.clear()
    for _ in range(3):
        schema = {"type": "object", "properties": {"slots": {"type": "integer"}}}
        is_valid_schema(schema, preprocess=False)
        validate({"slots": 1}, schema, raise_on_error=True)
    return len(made)

print("as it comes", asked())
check_once()
print("ours", asked())
for wrong in ({"type": "nothing"}, {"type": object}):
    for _ in range(2):
        try:
            is_valid_schema(wrong, preprocess=False)
        except ValueError as error:
            print("refused")
try:
    validate({"slots": "many"}, {"properties": {"slots": {"type": "integer"}}}, raise_on_error=True)
except ValidationError as error:
    print(error)
"""


def test_a_schema_is_checked_once_and_what_is_given_always(tmp_path: Path) -> None:
    """Once Prefect does so by itself, the patch is needless."""
    # The schema that is checked against is the given one, prepared: two.
    assert printed_by(PROBE, tmp_path) == [
        "as it comes 6",
        "ours 2",
        *["refused"] * 4,
        "Validation failed for field 'slots'. Failure reason: 'many' is not valid under any of the "
        "given schemas",
    ]
