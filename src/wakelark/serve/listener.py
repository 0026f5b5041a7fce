"""What one client's stream sets off: its own detectors, fed in a worker thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.runtime.detector import Detection, Detector
from wakelark.serve.audio_stream import AudioForm, AudioStream
from wakelark.serve.models import ServedModel
from wakelark.serve.triggers import Recent, Trigger

_BATCH_SAMPLES = 640
"""Chunks shorter than the step of a tiny model wait for one another: a step is never late by that."""
_BLOCK_SAMPLES = 4000
"""A client may send a minute at once: triggers are cut within so many samples of the detection."""


@dataclass(slots=True)
class _Tracked:
    model: ServedModel
    detector: Detector
    began_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What a chunk gave: detections as (model name, milliseconds), and triggers to be kept."""

    hits: list[tuple[str, int]]
    triggers: list[Trigger]


class Listener:
    """The detectors of one client. Not for several threads at once.

    Args:
        models: all that the server has; all of them listen until `select` says otherwise.
        keep_recent: keep the last seconds of audio, for triggers.
    """

    def __init__(self, models: Sequence[ServedModel], *, keep_recent: bool) -> None:
        self._selected = list(models)
        self._tracked: dict[str, _Tracked] = {}
        self._recent = Recent() if keep_recent else None
        self._stream = AudioStream()
        self._pending: list[Float32Array] = []
        self._samples = 0
        self._clock_ms = 0

    @property
    def selected(self) -> list[str]:
        """Names of the models that listen."""
        return [model.name for model in self._selected]

    def select(self, models: Sequence[ServedModel]) -> None:
        """Listen with these models from now on; those that already did go on without a gap."""
        self._selected = list(models)
        names = self.selected
        self._tracked = {name: tracked for name, tracked in self._tracked.items() if name in names}

    def start(self, timestamp_ms: int | None) -> list[Trigger]:
        """A new stream: forget all audio. Gives the triggers that still waited."""
        waiting = self._recent.finish() if self._recent is not None else []
        self._stream = AudioStream()
        self._pending, self._samples = [], 0
        self._clock_ms = timestamp_ms or 0
        for tracked in self._tracked.values():
            tracked.detector.reset()
            tracked.began_s = 0.0
        return waiting

    def take(self, payload: bytes, form: AudioForm, timestamp_ms: int | None) -> Heard:
        """A chunk of audio, in order.

        Args:
            payload: samples.
            form: how they are stored.
            timestamp_ms: the client's time at the chunk's start; without one, the position in the stream counts.
        """
        audio = self._stream.convert(payload, form)
        pending = sum(map(len, self._pending))
        if timestamp_ms is not None:
            self._clock_ms = timestamp_ms - round(1000 * (self._samples + pending) / SAMPLE_RATE)
        self._pending.append(audio)
        return self._listen() if pending + len(audio) >= _BATCH_SAMPLES else Heard([], [])

    def stop(self) -> Heard:
        """The end of the stream: what waits is heard, too."""
        self._pending.append(self._stream.finish())
        heard = self._listen()
        return Heard(heard.hits, [*heard.triggers, *self._recent.finish()] if self._recent is not None else [])

    def _listen(self) -> Heard:
        audio = np.concatenate(self._pending)
        self._pending = []
        heard = Heard([], [])
        for start in range(0, len(audio), _BLOCK_SAMPLES):
            block = self._hear(audio[start : start + _BLOCK_SAMPLES])
            heard.hits.extend(block.hits)
            heard.triggers.extend(block.triggers)
        return heard

    def _hear(self, audio: Float32Array) -> Heard:
        hits: list[tuple[str, int]] = []
        kept: list[tuple[str, float, Detection]] = []
        for model in self._selected:
            tracked = self._tracked.get(model.name)
            if tracked is None:
                tracked = _Tracked(model, model.detector(), self._samples / SAMPLE_RATE)
                self._tracked[model.name] = tracked
            for hit in tracked.detector.process(audio):
                hits.append((model.name, self._clock_ms + round(1000 * (tracked.began_s + hit.time_s))))
                kept.append((model.name, tracked.detector.fires_at, hit))
        self._samples += len(audio)
        return Heard(hits, self._recent.add(audio, kept) if self._recent is not None else [])
