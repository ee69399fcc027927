"""Show the progress of a chapter or a sweep."""

import sys
import threading
import time
from pathlib import Path
from typing import Self


class Progress:
    """Lines such as ``04-stopping  cell 7/21  levels 12/40  0:12``, from a thread of their own.

    A terminal gets one line that is rewritten every second, and anything else a line every ten
    seconds. Chapters that run side by side take turns: every line names its chapter. Beside the cell
    stands the last line of the file ``inner``, where a cell says how many of its tasks are done.
    """

    def __init__(
        self, name: str, cells: int, unit: str = "cell", inner: Path | None = None
    ) -> None:
        self.name, self.unit, self.inner = name, unit, inner
        self.cell, self.cells, self.failed = 0, cells, False
        self._terminal = sys.stderr.isatty()
        self._begin = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        done = kind is None and not self.failed and self.cell >= self.cells
        state = "done" if done else f"stopped in {self.unit} {self.cell}/{self.cells}"
        self._say(state, last=True)

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._begin

    def _tick(self) -> None:
        while not self._stopped.wait(1 if self._terminal else 10):
            self._say(f"{self.unit} {self.cell}/{self.cells}{self._inner()}")

    def _inner(self) -> str:
        try:
            lines = self.inner.read_text("utf-8").splitlines() if self.inner else []
        except (OSError, UnicodeDecodeError):
            return ""
        return "".join([f"  {line.strip()}" for line in lines if line.strip()][-1:])

    def _say(self, state: str, last: bool = False) -> None:
        line = f"{self.name}  {state}  {int(self.seconds) // 60}:{int(self.seconds) % 60:02d}"
        if self._terminal:
            line = f"\r\033[K{line}"
        print(line, end="\n" if last or not self._terminal else "", file=sys.stderr, flush=True)
