"""Keeps the seconds around each detection, so that the user can sort them and give them back with `wakelark add`.

Off unless asked for: it records what people say. The folder is bounded in files and bytes, the oldest go first, and
nothing is written when the disk is nearly full. Only files that carry this module's names are ever deleted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array, write_wav
from wakelark.errors import ConfigError, SetupError
from wakelark.runtime.detector import Detection

LOG = logging.getLogger("wakelark.serve")

BEFORE_S = 3.0
AFTER_S = 0.5
MAX_FILES = 500
MAX_BYTES = 100_000_000
FREE_BYTES = 500_000_000
"""So much of the disk stays free."""

_OURS = re.compile(r"\d{8}T\d{6}-\d{6}_[\w.-]+_[01]\.\d\d")


@dataclass(frozen=True, slots=True)
class Trigger:
    """One detection to keep: the model's name, what it heard, its threshold, and the audio around. Shape: `[N]`"""

    model: str
    hit: Detection
    threshold: float
    audio: Float32Array


class TriggerFolder:
    """The folder of kept detections: `<UTC time>_<model>_<score>.wav` with a `.json` beside it.

    Args:
        folder: is made when it is missing.
        max_files: as many recordings are kept; the oldest go first.
        max_bytes: the same in bytes of audio.
        free_bytes: nothing is written while less of the disk is free.

    Raises:
        ConfigError: no recording could be kept.
        SetupError: the folder cannot be made or written to.
    """

    def __init__(
        self, folder: Path, *, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES, free_bytes: int = FREE_BYTES
    ) -> None:
        if max_files < 1:
            raise ConfigError(f"max triggers {max_files} must be at least 1; leave --save-triggers out to keep none")
        self.folder = folder
        self._max_files, self._max_bytes, self._free_bytes = max_files, max_bytes, free_bytes
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise SetupError(f"cannot save triggers in {folder}: {error.strerror}; choose another folder") from error

    def save(self, trigger: Trigger) -> Path | None:
        """Write a trigger; None when it could not be, which the log says. Safe from several threads."""
        with self._lock:
            try:
                return self._save(trigger)
            except OSError as error:
                LOG.warning("a trigger was not saved in %s: %s", self.folder, error.strerror)
                return None

    def _save(self, trigger: Trigger) -> Path | None:
        if shutil.disk_usage(self.folder).free < self._free_bytes:
            LOG.warning("a trigger was not saved: less than %.1f GB free on %s", self._free_bytes / 1e9, self.folder)
            return None
        now = datetime.now(UTC)
        model = re.sub(r"[^\w.-]", "_", trigger.model)
        stem = f"{now:%Y%m%dT%H%M%S-%f}_{model}_{trigger.hit.score:.2f}"
        told = {
            "model": trigger.model,
            "phrase": trigger.hit.phrase,
            "time": now.isoformat(timespec="milliseconds"),
            "score": round(trigger.hit.score, 4),
            "threshold": trigger.threshold,
        }
        (self.folder / f"{stem}.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
        part = self.folder / f"{stem}.part"
        write_wav(part, trigger.audio)
        target = part.with_suffix(".wav")
        os.replace(part, target)
        self._delete_oldest()
        return target

    def _delete_oldest(self) -> None:
        # The names begin with the time, so that they sort by age.
        kept = sorted(path for path in self.folder.glob("*.wav") if _OURS.fullmatch(path.stem))
        sizes = [path.stat().st_size for path in kept]
        total = sum(sizes)
        while len(kept) > self._max_files or (total > self._max_bytes and len(kept) > 1):
            oldest = kept.pop(0)
            total -= sizes.pop(0)
            oldest.unlink(missing_ok=True)
            oldest.with_suffix(".json").unlink(missing_ok=True)


class Recent:
    """The last seconds of one client's audio, and the detections in it that wait for what comes after them."""

    def __init__(self) -> None:
        self._audio = np.zeros(0, np.float32)
        self._waiting: list[tuple[int, Trigger]] = []
        self._keep = round((BEFORE_S + AFTER_S) * SAMPLE_RATE)

    def add(self, audio: Float32Array, hits: list[tuple[str, float, Detection]]) -> list[Trigger]:
        """Take audio and the (model, threshold, detection)s at its end; give the triggers that are complete now."""
        self._audio = np.concatenate([self._audio[-self._keep :], audio])
        self._waiting = [(left - len(audio), trigger) for left, trigger in self._waiting]
        done = [self._cut(trigger, -left) for left, trigger in self._waiting if left <= 0]
        self._waiting = [(left, trigger) for left, trigger in self._waiting if left > 0]
        after = round(AFTER_S * SAMPLE_RATE)
        self._waiting += [(after, Trigger(name, hit, at, self._audio[:0])) for name, at, hit in hits]
        return done

    def finish(self) -> list[Trigger]:
        """The stream is over: what still waits gets what there is; nothing is kept for the next stream."""
        done = [self._cut(trigger, 0) for _, trigger in self._waiting]
        self._audio, self._waiting = self._audio[:0], []
        return done

    def _cut(self, trigger: Trigger, beyond: int) -> Trigger:
        end = len(self._audio) - beyond
        return Trigger(trigger.model, trigger.hit, trigger.threshold, self._audio[max(0, end - self._keep) : end])
