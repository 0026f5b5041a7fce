"""A run's folder: where everything lies, which stages are finished, and who works in it."""

from __future__ import annotations

import json
import os
import re
import shlex
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from wakelark.corpus.cache import content_key, write_atomically
from wakelark.errors import ConfigError
from wakelark.pipeline.folder_lock import LOCK_FILES, hold_folder
from wakelark.pipeline.learned import Learned
from wakelark.pipeline.meter import Cost, Meter


class _Record(TypedDict):
    """`stages.json`: what has finished, what everything cost, interrupted sessions included, and the user's material.

    `material` is the key of what `mine` and `add` had brought when the stages were begun, "" for nothing. `learned` is
    what the written models have learned of it, None until they are written, and `before` that of the earlier models,
    whose copies are in `checkpoints/before/`. Both are a `Learned` as plain data.
    """

    finished: list[str]
    cost: dict[str, dict[str, float]]
    material: str
    learned: dict[str, Any] | None
    before: dict[str, Any] | None


def slug(phrase: str) -> str:
    """A folder name for a phrase; phrases without Latin letters or digits get a hash.

    >>> slug("Hey, Computer!"), slug("Élan 2")
    ('hey-computer', 'elan-2')
    >>> slug("小爱").startswith("phrase-")
    True
    """
    plain = unicodedata.normalize("NFKD", phrase).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].rstrip("-")
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
        self.mined_by_scouts = root / "corpus" / "mined_by_scouts.jsonl"
        self.added = root / "corpus" / "added.jsonl"
        self.harvests = root / "mined"
        self.views = root / "corpus" / "views"
        self.checkpoints = root / "checkpoints"
        self.saved_student = self.checkpoints / "student.safetensors"
        self.saved_heads = self.checkpoints / "heads.safetensors"
        self.metrics = root / "metrics.jsonl"
        self.report = root / "report.json"
        self.report_html = root / "report.html"
        self.accurate = root / "model.onnx"
        self.tiny = root / "model_tiny.onnx"
        self.micro = root / "model_micro.safetensors"
        self.micro_card = root / "model_micro.json"
        self.micro_calibration = root / "micro_calibration.npz"
        self.micro_files = (self.micro, self.micro_calibration, self.micro_card)
        self.results = (self.accurate, self.tiny, self.report, self.report_html)
        self._stages_file = root / "stages.json"
        self.copies = self.checkpoints / "before"

    @property
    def resume_command(self) -> str:
        """What continues this run, ready for a shell."""
        return f"wakelark train --resume --out {shlex.quote(str(self.root))}"

    @property
    def created(self) -> str:
        """The day the run began, as ISO date: the same in every session of it."""
        return datetime.fromtimestamp(self.config.stat().st_mtime, UTC).date().isoformat()

    def check(self, *, resume: bool) -> None:
        """Check that the folder may be begun, or continued.

        Raises:
            ConfigError: the folder holds a run and `resume` is false, or there is nothing to resume.
        """
        if resume and not self.config.is_file():
            raise ConfigError(f"nothing to resume in {self.root}: no config.yaml there; start without --resume")
        if not resume and self.config.is_file():
            raise ConfigError(
                f"{self.root} already holds a run. Continue it with: {self.resume_command}\n"
                "or choose another folder with --out"
            )

    def check_run(self) -> None:
        """Check that the folder holds a run, finished or not.

        Raises:
            ConfigError: it does not.
        """
        if not self.config.is_file():
            raise ConfigError(f"{self.root} holds no run: no config.yaml there; name a folder of `wakelark train`")

    @contextmanager
    def hold(self, *, resume: bool) -> Iterator[None]:
        """Make the folder and hold it for this process.

        Raises:
            BusyError: another process holds it; the message names its process id.
            ConfigError: see `check`.
            SetupError: the folder cannot be made or written.
        """
        with hold_folder(self.root):
            self.check(resume=resume)
            yield

    def keep_config(self, text: str) -> None:
        """Write the configuration; where targets were added to a run, its day (`created`) stays what it was."""
        begun = self.config.stat() if self.config.is_file() else None
        write_atomically(self.config, text.encode())
        if begun is not None:
            os.utime(self.config, ns=(begun.st_atime_ns, begun.st_mtime_ns))

    @property
    def has_micro(self) -> bool:
        """Whether the folder holds a model for devices."""
        return all(file.is_file() for file in self.micro_files)

    def forget(self) -> None:
        """Undo the beginning of a run that made nothing, so that the corrected command finds no run in its way."""
        if self.stages():
            return
        for file in (self.config, self._stages_file, *(self.root / name for name in LOCK_FILES)):
            file.unlink(missing_ok=True)
        for folder in (self.manifest.parent, self.root):
            with suppress(OSError):  # something else lies in it
                folder.rmdir()

    def begin(self, material: str) -> None:
        """Begin the stages with this material of the user; what was finished with other material counts no more.

        The models and the report of before stay until they are written anew, and copies of them in
        `checkpoints/before/` for as long as they are what the next ones are compared with.
        """
        record = self._read_record()
        if record["material"] == material:
            return
        if record["learned"] is not None:  # the models were written; else those of before are still the ones there
            record["before"] = (
                record["learned"] if self._copy_models(is_reported="report" in record["finished"]) else None
            )
        self.metrics.unlink(missing_ok=True)  # its steps begin again
        record = _Record(finished=[], cost={}, material=material, learned=None, before=record["before"])
        self._write_record(record)

    def exported(self, learned: Learned) -> None:
        """Record that the models are written, and what they have learned."""
        record = self._read_record()
        record["learned"] = learned.to_json()
        self._write_record(record)

    @property
    def material(self) -> str:
        """Key of the material that the stages were begun with."""
        return self._read_record()["material"]

    @property
    def learned(self) -> Learned | None:
        """What the models have learned that were written with `material`; None where they are not written yet."""
        return _learned(self._read_record()["learned"])

    @property
    def before(self) -> Learned | None:
        """What the earlier models have learned; None where there are none, or their copies are not whole."""
        return _learned(self._read_record()["before"]) if self._copies_are_whole() else None

    def copy_of(self, file: Path) -> Path:
        """Where the copy of a file of the earlier models lies."""
        return self.copies / file.name

    def restore(self, model: str) -> None:
        """Make the files of "accurate" or "tiny" those of the earlier model, to the byte."""
        for file in self._model_files(model):
            content = self.copy_of(file).read_bytes()
            if not file.is_file() or file.read_bytes() != content:
                write_atomically(file, content)

    def _model_files(self, model: str) -> tuple[Path, ...]:
        path, network = {
            "accurate": (self.accurate, self.saved_heads), "tiny": (self.tiny, self.saved_student),
        }[model]  # fmt: skip
        return path, path.with_name(f"{path.name}.json"), network

    def _all_model_files(self) -> tuple[Path, ...]:
        return *self._model_files("accurate"), *self._model_files("tiny")

    def _copies_are_whole(self) -> bool:
        return all(self.copy_of(file).is_file() for file in self._all_model_files())

    def _copy_models(self, *, is_reported: bool) -> bool:
        """Copy both models, and the report where it is of these models; False where they are not whole."""
        files = self._all_model_files()
        if not all(file.is_file() for file in files):
            return False
        for file in [*files, *([self.report] if is_reported and self.report.is_file() else [])]:
            write_atomically(self.copy_of(file), file.read_bytes())
        return True

    def is_finished(self, material: str) -> bool:
        """Whether all results are there and were made with this material."""
        record = self._read_record()
        whole = "report" in record["finished"] and all(file.is_file() for file in self.results)
        return whole and record["material"] == material

    def checkpoints_of(self, material: str) -> Path:
        """Where trainings with this material of the user keep their checkpoints: each begins its own."""
        return self.checkpoints / f"with-{material}" if material else self.checkpoints

    def stages(self) -> dict[str, dict[str, float]]:
        """Finished stages with what they cost, in all sessions together."""
        record = self._read_record()
        return {name: record["cost"][name] for name in record["finished"]}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage, and record it as finished when it ends without an error."""
        finished = False
        meter = Meter()
        try:
            with meter:
                yield
            finished = True
        finally:
            self._record(name, meter.cost, finished=finished)

    def _record(self, name: str, cost: Cost, *, finished: bool) -> None:
        record = self._read_record()
        before = record["cost"].get(name, {"wall_s": 0.0, "cpu_s": 0.0, "peak_mb": 0.0})
        record["cost"][name] = {
            "wall_s": round(before["wall_s"] + cost.wall_s, 2),
            "cpu_s": round(before["cpu_s"] + cost.cpu_s, 2),
            "peak_mb": max(before["peak_mb"], cost.peak_mb),
        }
        if finished and name not in record["finished"]:
            record["finished"].append(name)
        self._write_record(record)

    def _write_record(self, record: _Record) -> None:
        write_atomically(self._stages_file, json.dumps(record, indent=1).encode())

    def _read_record(self) -> _Record:
        if not self._stages_file.is_file():
            return {"finished": [], "cost": {}, "material": "", "learned": None, "before": None}
        record: _Record = json.loads(self._stages_file.read_text())
        record.setdefault("material", "")  # written before there was any
        record.setdefault("learned", Learned().to_json() if "export" in record["finished"] else None)
        record.setdefault("before", None)
        return record


def _learned(values: dict[str, Any] | None) -> Learned | None:
    return None if values is None else Learned.from_json(values)
