"""What an evaluation measures of clips before any model hears them: where the phrase is, and how noisy it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wakelark.audio import SAMPLE_RATE, BadAudio, to_int16
from wakelark.corpus.speech_span import speech_span
from wakelark.corpus.worker_pool import run_in_processes
from wakelark.evaluation.sound_check import measure_sound
from wakelark.pipeline.scoring import Progress
from wakelark.pipeline.sources import ClipSource

_CLIPS_PER_TASK = 100
_FEWEST_FOR_RATES = 6
_SNR_EDGES = (10.0, 20.0, 30.0)


@dataclass(frozen=True, slots=True)
class ClipMeasure:
    """Of one clip.

    Attributes:
        word_end_s: where the phrase ends; None where nothing stands out.
        word_end_known: from the synthesis, not from the energy.
        phrase_s: how long the phrase takes; None where that is not known.
        snr_db: of the recording itself, see `SoundFigures`; None for synthetic speech, which has no room.
    """

    word_end_s: float | None
    word_end_known: bool
    phrase_s: float | None
    snr_db: float | None


def measure_clips(sources: Sequence[ClipSource], *, workers: int, progress: Progress) -> dict[str, ClipMeasure]:
    """Name -> measure of every clip that can be read."""
    tasks = [list(sources[first : first + _CLIPS_PER_TASK]) for first in range(0, len(sources), _CLIPS_PER_TASK)]
    found: dict[str, ClipMeasure] = {}
    done = 0

    def keep(number: int, measures: dict[str, ClipMeasure]) -> None:
        nonlocal done
        done += len(tasks[number])
        found.update(measures)
        progress(done, len(sources), "clips measured")

    if workers <= 1 or len(tasks) <= 2:
        for number, task in enumerate(tasks):
            keep(number, _measure(task))
    else:
        run_in_processes(_measure, tasks, workers=workers, start=_start, on_result=keep)
    return {source.name: found[source.name] for source in sources if source.name in found}


def _start() -> None:
    """Nothing to load."""


def _measure(sources: list[ClipSource]) -> dict[str, ClipMeasure]:
    found = {}
    for source in sources:
        try:
            audio = source.load()
        except BadAudio:
            continue  # scoring reports it
        span = speech_span(to_int16(audio))
        seconds = None if span is None else (span[1] - span[0]) / SAMPLE_RATE
        known = source.word_end_s is not None
        energy_end_s = None if span is None else span[1] / SAMPLE_RATE
        found[source.name] = ClipMeasure(
            word_end_s=source.word_end_s if known else energy_end_s,
            word_end_known=known and source.engine != "recording",
            phrase_s=None if source.kind == "in_sentence" else seconds,
            snr_db=measure_sound(audio).snr_db if source.engine == "recording" else None,
        )
    return found


def measured_traits(measures: Mapping[str, ClipMeasure]) -> dict[str, dict[str, str]]:
    """`speaking_rate`: thirds by how long the phrase takes; `recording_snr`: bands of the estimate. By clip name.

    A phrase at the end of a sentence has no rate: where it begins is not known exactly.
    """
    seconds = {name: measure.phrase_s for name, measure in measures.items() if measure.phrase_s is not None}
    traits: dict[str, dict[str, str]] = {}
    if len(seconds) >= _FEWEST_FOR_RATES:
        fast_s, slow_s = (float(limit) for limit in np.quantile(list(seconds.values()), [1 / 3, 2 / 3]))
        names = (f"fast, up to {fast_s:.2f} s", "medium", f"slow, above {slow_s:.2f} s")
        traits["speaking_rate"] = {
            name: names[0] if length <= fast_s else names[1] if length <= slow_s else names[2]
            for name, length in seconds.items()
        }
    bands = {name: _snr_band(measure.snr_db) for name, measure in measures.items() if measure.snr_db is not None}
    return traits | ({"recording_snr": bands} if bands else {})


def _snr_band(snr_db: float) -> str:
    low = [edge for edge in _SNR_EDGES if snr_db >= edge]
    high = [edge for edge in _SNR_EDGES if snr_db < edge]
    if not low:
        return f"below {_SNR_EDGES[0]:g} dB"
    return f"{low[-1]:g} to {high[0]:g} dB" if high else f"{low[-1]:g} dB and above"
