"""What `import wildloop` gives."""

import subprocess
import sys
from inspect import getdoc

import pytest

import wildloop


def test_importing_wildloop_imports_nothing_else() -> None:
    code = "import sys; import wildloop; print([m for m in sys.modules if 'wildloop.' in m])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", wildloop.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getdoc(getattr(wildloop, name))
    assert name in dir(wildloop)


def test_connecting_needs_nothing_of_prefect() -> None:
    code = "import sys; from wildloop import connect; print('prefect' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'flow'"):
        _ = wildloop.flow  # type: ignore[attr-defined]
