"""`metrics.jsonl`, one line per epoch, and the same numbers for TensorBoard."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from wakelark.corpus.cache import write_atomically
from wakelark.errors import SetupError

Metrics = dict[str, float | int | str | bool | None]


class MetricsLog:
    """The lines of one stage in a JSONL file that stages share, also when they run at the same time.

    Args:
        path: the file; made when the first line is written.
        stage: goes into every line as "stage"; `replace` leaves the lines of other stages alone.
    """

    def __init__(self, path: Path, *, stage: str) -> None:
        self._path = path
        self._stage = stage

    def append(self, metrics: Metrics) -> None:
        """Add one line.

        Raises:
            SetupError: the file cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock(), open(self._path, "a", encoding="utf-8") as file:
                file.write(self._line(metrics))
        except OSError as error:
            raise SetupError(f"cannot write {self._path}: {error.strerror}; free some disk space") from error

    def replace(self, history: Sequence[Metrics]) -> None:
        """Make the lines of this stage those of `history`, after a resume or a roll-back; broken lines go, too."""
        if not self._path.exists() and not history:
            return
        with self._lock():
            kept = [line + "\n" for line in self._lines_of_others()]
            write_atomically(self._path, "".join([*kept, *map(self._line, history)]).encode())

    def _lock(self) -> FileLock:
        return FileLock(self._path.with_name(f".{self._path.name}.lock"))

    def _lines_of_others(self) -> list[str]:
        if not self._path.exists():
            return []
        others = []
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                value = json.loads(line)
            except json.JSONDecodeError:
                continue  # a line cut by a crash
            if isinstance(value, dict) and value.get("stage") != self._stage:
                others.append(line)
        return others

    def _line(self, metrics: Metrics) -> str:
        # NaN and infinity are no JSON
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in metrics.items()
        }
        return json.dumps({"stage": self._stage, **finite}) + "\n"


def tensorboard_writer(folder: Path) -> Callable[[Mapping[str, float | int | str | bool | None]], None]:
    """A function that writes the numbers of an epoch for TensorBoard.

    Raises:
        SetupError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise SetupError(
            'training.tensorboard needs the package: pip install "wakelark[tensorboard]", or set it to false'
        ) from error
    writer = SummaryWriter(str(folder))

    def write(metrics: Mapping[str, float | int | str | bool | None]) -> None:
        step = metrics["step"]
        for name, value in metrics.items():
            if isinstance(value, int | float) and name not in ("step", "epoch"):
                writer.add_scalar(name, value, step)
        writer.flush()

    return write
