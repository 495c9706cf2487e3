"""Gates: that runs are there at once is made certain by a file they wait for, not by their time."""

from pathlib import Path
from shlex import quote

from tests.support.waiting import wait_for


class Gate:
    """Keeps the runs that come to it until the test opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open = folder / "open"
        folder.mkdir(parents=True)

    @property
    def wait(self) -> str:
        """Shell: wait until it is open."""
        return f"until [ -e {quote(str(self._open))} ]; do sleep 0.1; done"

    @property
    def command(self) -> str:
        """Shell: note the arrival, and wait."""
        return f": > {quote(str(self.folder))}/came-$$; {self.wait}"

    def came(self) -> int:
        """How many have come so far."""
        return len(list(self.folder.glob("came-*")))

    def await_runs(self, count: int) -> None:
        """Wait until `count` runs wait here; no more may come."""
        wait_for(lambda: self.came() >= count, f"{count} runs come to the gate {self.folder.name}")
        assert self.came() == count

    def open(self) -> None:
        """Let all go, those that come later too."""
        self._open.touch()
