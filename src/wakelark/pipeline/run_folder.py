"""A run's folder: where everything lies, which stages are finished, and who works in it."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from wakelark.corpus.cache import content_key, write_atomically
from wakelark.errors import BusyError, ConfigError, SetupError
from wakelark.pipeline.meter import Cost, Meter


def slug(phrase: str) -> str:
    """A folder name for a phrase; phrases without Latin letters or digits get a hash.

    >>> slug("Hey, Computer!"), slug("Élan 2")
    ('hey-computer', 'elan-2')
    >>> slug("小爱").startswith("phrase-")
    True
    """
    plain = unicodedata.normalize("NFKD", phrase).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return name or f"phrase-{content_key(phrase)[:8]}"


class RunFolder:
    """Paths of one run and the record of its finished stages (`stages.json`).

    Args:
        root: the run's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.yaml"
        self.manifest = root / "corpus" / "manifest.jsonl"
        self.mined = root / "corpus" / "mined.jsonl"
        self.views = root / "corpus" / "views"
        self.checkpoints = root / "checkpoints"
        self.metrics = root / "metrics.jsonl"
        self.report = root / "report.json"
        self.report_html = root / "report.html"
        self._stages_file = root / "stages.json"

    def open(self, *, resume: bool) -> None:
        """Make the folder, or check that it may be continued.

        Raises:
            ConfigError: the folder holds a run and `resume` is false, or there is nothing to resume.
            SetupError: the folder cannot be made or written.
        """
        if resume and not self.config.is_file():
            raise ConfigError(f"nothing to resume in {self.root}: no config.yaml there; start without --resume")
        if not resume and self.config.is_file():
            raise ConfigError(
                f"{self.root} already holds a run. Continue it with --resume, or choose another folder with --out"
            )
        try:
            (self.root / "corpus").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"cannot make {self.root}: {error.strerror}; choose another folder with --out") from error
        if not os.access(self.root, os.W_OK):
            raise SetupError(f"cannot write in {self.root}: permission denied; choose another folder with --out")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            BusyError: another process holds it; the message names its process id.
        """
        owner = self.root / ".owner"
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            who = owner.read_text() if owner.is_file() else "unknown"
            raise BusyError(f"{self.root} is in use by process {who}; wait for it or stop it") from error
        try:
            owner.write_text(str(os.getpid()))
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    def stages(self) -> dict[str, dict[str, float]]:
        """Finished stages with what they cost."""
        return json.loads(self._stages_file.read_text()) if self._stages_file.is_file() else {}

    def is_done(self, stage: str) -> bool:
        """Whether a stage finished in this or an earlier session."""
        return stage in self.stages()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage and record it as finished when it ends without an error."""
        with Meter() as meter:
            yield
        self._record(name, meter.cost)

    def _record(self, name: str, cost: Cost) -> None:
        stages = self.stages() | {name: asdict(cost)}
        write_atomically(self._stages_file, json.dumps(stages, indent=1).encode())
