"""`wakelark listen`: listen on the microphone, with a level meter and the score."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.cli.options import Judge, JudgeThreshold, Preset, Threshold, say_if_unknown
from wakelark.cli.output import emit, note
from wakelark.errors import ConfigError
from wakelark.runtime.memory_limit import limited_memory

if TYPE_CHECKING:
    from wakelark.runtime.detector import Detection, Detector

_QUIET_DBFS = -75.0
_QUIET_S = 5.0
_BAR = 16


@limited_memory()
def listen(
    model: Annotated[
        Path | None, typer.Argument(help="model.onnx or model_tiny.onnx of a run.", metavar="MODEL")
    ] = None,
    threshold: Threshold = None,
    preset: Preset = None,
    judge: Judge = None,
    judge_threshold: JudgeThreshold = None,
    device: Annotated[str | None, typer.Option(help="Number or part of the name of the microphone.")] = None,
    devices: Annotated[bool, typer.Option("--devices", help="List the microphones and stop.")] = False,
    seconds: Annotated[float | None, typer.Option(help="Stop after this time; else with Ctrl-C.", min=0.1)] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, at the end.")] = False,
) -> None:
    """Listen on the microphone and say when the phrase is heard."""
    from wakelark.runtime.detector import Detector
    from wakelark.runtime.microphone import Microphone, list_microphones

    if devices:
        found = list_microphones()
        lines = [f"{row['index']}  {row['name']}{'  (default)' if row['default'] else ''}" for row in found]
        emit({"devices": found}, json_output=json_output, text="\n".join(lines) or "no microphone found")
        return
    if model is None:
        raise ConfigError("which model? `wakelark listen runs/<phrase>/model.onnx`")
    detector = Detector.load(model, threshold, preset=preset, judge=judge, judge_threshold=judge_threshold)
    if detector.judge is not None:
        say_if_unknown(is_known=detector.judge.is_known)
    with Microphone(device) as microphone:
        note(f'listening on {microphone.name} for "{detector.phrase}", threshold {detector.fires_at:.2f}; Ctrl-C stops')
        meter = Meter(detector, live=sys.stderr.isatty())

        def heard(hit: Detection) -> None:
            meter.clear()
            if not json_output:
                print(f"{hit.time_s:8.2f} s  score {hit.score:.2f}  {hit.phrase}", flush=True)

        hits = follow(detector, microphone, seconds=seconds, heard=heard, show=meter.show)
        meter.clear()
    data: dict[str, object] = {
        "detections": [{"time_s": hit.time_s, "score": hit.score, "phrase": hit.phrase} for hit in hits],
        "threshold": detector.fires_at,
        "seconds": detector.seconds,
        "dropped_chunks": microphone.dropped,
    }
    count = f"{len(hits)} time{'s' * (len(hits) != 1)}"
    emit(data, json_output=json_output, text=f'heard "{detector.phrase}" {count} in {detector.seconds:.0f} s')


def follow(
    detector: Detector,
    chunks: Iterable[Float32Array],
    *,
    seconds: float | None,
    heard: Callable[[Detection], None],
    show: Callable[[Float32Array], None],
) -> list[Detection]:
    """Process chunks until they end, `seconds` have been heard, or Ctrl-C, which is how listening normally ends."""
    hits: list[Detection] = []
    try:
        for chunk in chunks:
            for hit in detector.process(chunk):
                hits.append(hit)
                heard(hit)
            show(chunk)
            if seconds is not None and detector.seconds >= seconds:
                break
    except KeyboardInterrupt:
        pass
    return hits


class Meter:
    """One line on stderr that shows the level and the score; says once when nothing at all is heard.

    Args:
        detector: whose score is shown.
        live: redraw the line (a terminal); else only the warning is printed.
    """

    def __init__(self, detector: Detector, *, live: bool) -> None:
        self._detector = detector
        self._live = live
        self._quiet_s = 0.0
        self._warned = False

    def show(self, chunk: Float32Array) -> None:
        """Draw the line for the newest chunk. Shape: `[N]`"""
        level = level_dbfs(chunk)
        self._quiet_s = self._quiet_s + len(chunk) / SAMPLE_RATE if level < _QUIET_DBFS else 0.0
        if self._quiet_s > _QUIET_S and not self._warned:
            self.clear()
            note("nothing but silence arrives: is the microphone muted, or another one the right one (--devices)?")
            self._warned = True
        if self._live:
            score = self._detector.last_score
            mark = "!" if score >= self._detector.fires_at else " "
            line = f"level {bar((level + 60) / 60)} {level:4.0f} dB   score {bar(score)} {score:.2f} {mark}"
            print(f"\r{line}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, so that something else can be printed."""
        if self._live:
            print("\r" + " " * 72 + "\r", end="", file=sys.stderr, flush=True)


def level_dbfs(chunk: Float32Array) -> float:
    """Root mean square in dB below full scale, at least -99.

    >>> round(level_dbfs(np.full(100, 0.1, np.float32)))
    -20
    """
    power = float(np.mean(np.square(chunk, dtype=np.float64))) if len(chunk) else 0.0
    return max(-99.0, 10 * math.log10(power)) if power > 0 else -99.0


def bar(share: float) -> str:
    """A bar of fixed width.

    >>> bar(0.5)
    '########........'
    """
    full = round(_BAR * min(1.0, max(0.0, share)))
    return "#" * full + "." * (_BAR - full)
