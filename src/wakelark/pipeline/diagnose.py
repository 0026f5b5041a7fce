"""`wakelark diagnose`: why a model fired on a recording, or did not."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array, audio_facts, printable, read_audio, to_int16
from wakelark.errors import ConfigError, SetupError
from wakelark.evaluation.events import Float64Array, live_alarms, log_odds, smooth
from wakelark.evaluation.sound_check import measure_sound, sound_faults
from wakelark.evaluation.stream import SILENCE_DBFS, TAIL_S
from wakelark.model_card import CardPreset
from wakelark.pipeline.diagnosis import Facts, Neighbours, WhatIf, explain
from wakelark.runtime.detector import Detector

Progress = Callable[[int, int, str], None]

MAX_S = 600.0
NEAREST = 5
NORMAL_DBFS = -20.0
"""Level of speech in a good recording."""
_SHORT_S = 10.0
_BEFORE_S, _AFTER_S = 6.0, 2.0
_LEAST_GAIN_DB = 6.0
_RUMBLE_HZ = 70.0
_EARLY_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisRequest:
    """What is to be explained.

    Attributes:
        model: a wakelark model file.
        file: a recording of at most ten minutes.
        threshold, preset, judge, judge_threshold: as in `Detector.load`.
        run: the folder of the run that made the model, whose clips the recording is compared with; None for the folder
            in which the model lies, if it is one.
    """

    model: Path
    file: Path
    threshold: float | None = None
    preset: str | None = None
    judge: Path | None = None
    judge_threshold: float | None = None
    run: Path | None = None

    def detector(self, *, with_judge: bool = True) -> Detector:
        """What is asked about; without its judge for what wakes that.

        Raises:
            ModelError, ConfigError: as `Detector.load` says.
        """
        if not with_judge:
            return Detector.load(self.model)
        return Detector.load(
            self.model, self.threshold, preset=self.preset, judge=self.judge, judge_threshold=self.judge_threshold
        )


def diagnose(request: DiagnosisRequest, *, progress: Progress) -> dict[str, Any]:
    """Listen, measure, compare and explain; docs/diagnose.md has the keys.

    Raises:
        ModelError: the model cannot be used.
        BadAudio: the recording cannot.
        ConfigError: `run` is no run, or there is no such preset.
    """
    detector = request.detector()
    audio = read_audio(request.file, max_seconds=MAX_S)
    raw, decisive = _scores(detector, audio)
    # Where all is 0, the judge slept or the gate was shut all the time.
    peak = int((decisive if decisive.any() else raw).argmax())
    peak_s = (peak + 1) * detector.step_s
    part, part_from_s = _around(audio, peak_s)
    figures = measure_sound(part)
    neighbours, left_out = _neighbours(request, audio, peak_s, progress)
    fired = live_alarms(
        decisive, threshold=detector.fires_at, step_s=detector.step_s, refractory_s=detector.card.refractory_s
    )
    facts = Facts(
        phrase=detector.phrase, threshold=detector.fires_at, fired_s=tuple(((fired + 1) * detector.step_s).tolist()),
        peak_s=peak_s, peak=float(decisive[peak]), raw_peak=float(raw.max()),
        raw_peak_s=(int(raw.argmax()) + 1) * detector.step_s,
        ungated_peak=float(smooth(raw, detector.card.smoothing_steps).max()),
        wakes_at=None if detector.judge is None else detector.threshold,
        own_peak=float(decisive.max()) if detector.judge is None else _own_peak(request, audio),
        presets=tuple((preset.name, preset.threshold) for preset in _presets(detector)),
        above_s=float((decisive >= detector.fires_at).sum() * detector.step_s),
        seconds=len(audio) / SAMPLE_RATE, faults=tuple(sound_faults(figures)),
        what_if=tuple(_what_if(detector, part, figures.speech_dbfs, peak_s - part_from_s)), neighbours=neighbours,
        run=None if (folder := _run_of(request)) is None else printable(folder), file=printable(request.file),
    )  # fmt: skip
    return {
        "file": facts.file,
        "model": {"file": printable(request.model), "phrase": facts.phrase, "kind": detector.card.kind},
        "format": dataclasses.asdict(audio_facts(request.file)),
        "seconds": facts.seconds,
        "fired": bool(facts.fired_s), "fired_s": list(facts.fired_s),
        "threshold": detector.fires_at,
        "judge": _judge(request, facts),
        "presets": [
            {"name": name, "threshold": limit, "would_fire": facts.peak >= limit} for name, limit in facts.presets
        ],
        "gate_db": detector.card.gate_db,
        "peak": {
            "time_s": peak_s, "smoothed": facts.peak, "ungated": facts.ungated_peak, "raw": facts.raw_peak,
            "raw_time_s": facts.raw_peak_s, "above_s": facts.above_s,
            "log_odds_above_threshold": _odds(facts.peak) - _odds(detector.fires_at),
        },
        "sound": {"from_s": part_from_s, **dataclasses.asdict(figures)},
        "faults": [dataclasses.asdict(fault) for fault in facts.faults],
        "what_if": [dataclasses.asdict(change) for change in facts.what_if],
        "neighbours": neighbours and dataclasses.asdict(neighbours),
        "neighbours_left_out": left_out,
        "verdict": explain(facts),
        "trace": {"step_s": detector.step_s, "scores": decisive.tolist()},
    }  # fmt: skip


def _scores(detector: Detector, audio: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Raw scores of a recording with silence after it, and what decides: smoothed, 0 behind a shut gate; with a judge,
    its verdict."""
    padded = np.concatenate([audio, np.zeros(round(TAIL_S * SAMPLE_RATE), np.float32)])
    detector.reset()
    raw = np.array(detector.score(padded), np.float64)
    detector.reset()
    return raw, np.array(detector.follow(padded), np.float64)


def _judge(request: DiagnosisRequest, facts: Facts) -> dict[str, object] | None:
    """What the model said to its judge; None without one."""
    if request.judge is None or facts.wakes_at is None:
        return None
    return {
        "file": printable(request.judge), "wake_threshold": facts.wakes_at, "own_peak": facts.own_peak,
        "woken": facts.own_peak >= facts.wakes_at,
    }  # fmt: skip


def _own_peak(request: DiagnosisRequest, audio: Float32Array) -> float:
    """The highest smoothed score of a model whose judge decides: what may wake that."""
    return float(_scores(request.detector(with_judge=False), audio)[1].max())


def _presets(detector: Detector) -> Sequence[CardPreset]:
    """Of the model, or of the pair; none where the judge is not the one that the card was chosen with."""
    if detector.judge is None:
        return detector.card.presets
    known = detector.card.judged if detector.judge.is_known else None
    return () if known is None else known.presets


def _around(audio: Float32Array, time_s: float) -> tuple[Float32Array, float]:
    """The recording if it is short, else what surrounds a moment; and where that begins."""
    if len(audio) <= _SHORT_S * SAMPLE_RATE:
        return audio, 0.0
    stop = min(len(audio), round((time_s + _AFTER_S) * SAMPLE_RATE))
    start = max(0, min(round((time_s - _BEFORE_S) * SAMPLE_RATE), stop - SAMPLE_RATE))
    return audio[start:stop], start / SAMPLE_RATE


def _what_if(detector: Detector, part: Float32Array, speech_dbfs: float, peak_s: float) -> list[WhatIf]:
    """What the same sound would score if it were recorded better: every change that applies, and as it is."""
    as_it_is = float(_scores(detector, part)[1].max())
    changed: list[tuple[str, Float32Array]] = []
    gain_db = NORMAL_DBFS - speech_dbfs
    peak = float(np.abs(part).max())
    if peak > 0 and abs(gain_db) >= _LEAST_GAIN_DB:
        gain = min(10 ** (gain_db / 20), 0.99 / peak)
        changed.append((f"{20 * np.log10(gain):+.0f} dB", part * np.float32(gain)))
    changed.append(("without rumble and offset", _without_rumble(part)))
    if peak_s < _EARLY_S:
        quiet = np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32)
        changed.append(
            ("with two seconds before it", np.concatenate([quiet * np.float32(10 ** (SILENCE_DBFS / 20)), part]))
        )
    return [
        WhatIf(change=change, peak=float(_scores(detector, sound)[1].max()), as_it_is=as_it_is)
        for change, sound in changed
    ]


def _without_rumble(audio: Float32Array) -> Float32Array:
    """Everything below 70 Hz taken out. Shape: `[N] -> [N]`"""
    spectrum = np.fft.rfft(audio)
    spectrum[: int(_RUMBLE_HZ * len(audio) / SAMPLE_RATE) + 1] = 0
    return np.fft.irfft(spectrum, len(audio)).astype(np.float32)


def _run_of(request: DiagnosisRequest) -> Path | None:
    folder = request.run or request.model.parent
    if (folder / "corpus" / "manifest.jsonl").is_file():
        return folder
    if request.run is not None:
        raise ConfigError(
            f"--run {printable(folder)}: no corpus/manifest.jsonl there; name a folder of `wakelark train`"
        )
    return None


def _neighbours(
    request: DiagnosisRequest, audio: Float32Array, peak_s: float, progress: Progress
) -> tuple[Neighbours | None, str]:
    """The nearest clips of the run, or why they are left out."""
    folder = _run_of(request)
    if folder is None:
        return None, (
            "the model does not lie in the folder of its run (no corpus/manifest.jsonl beside it), so there is nothing "
            "to compare with; name the run with --run"
        )
    from wakelark.corpus.manifest import read_manifest

    try:
        from wakelark.pipeline.known_sounds import (
            OF_A_TEXT,
            SAID_AS,
            choose_known,
            describe,
            index_sounds,
            stretch_ending_at,
        )

        clips = read_manifest(folder / "corpus" / "manifest.jsonl")
        known = index_sounds(choose_known(clips, of_a_text=OF_A_TEXT), progress=progress)
        start = max(0, round((peak_s - _BEFORE_S) * SAMPLE_RATE))
        heard = to_int16(audio[start : round((peak_s + _AFTER_S) * SAMPLE_RATE)])
        asked = stretch_ending_at(known.index, describe(heard), peak_s - start / SAMPLE_RATE)
    except (ModuleNotFoundError, SetupError) as error:
        return None, f"comparing with the run's clips needs the training part: {error}"
    alike = known.index.similarities(asked)[0]
    nearest = np.argsort(-alike, kind="stable")[:NEAREST]
    rows = [
        {
            "text": known.clips[number].text or known.clips[number].voice,
            "what": SAID_AS[known.clips[number].kind],
            "holds_phrase": known.clips[number].label == 1,
            "voice": known.clips[number].voice,
            "similarity": float(alike[number]),
        }
        for number in nearest.tolist()
    ]  # fmt: skip
    (text, what), votes = Counter((row["text"], row["what"]) for row in rows).most_common(1)[0]
    return (
        Neighbours(
            nearest=tuple(rows), compared_with=len(known.clips), text=text, what=what, votes=votes,
            phrase_votes=sum(bool(row["holds_phrase"]) for row in rows),
            phrase_similarity=float(alike[known.labels == 1].max(initial=-1.0)),
        ),
        "",
    )  # fmt: skip


def _odds(score: float) -> float:
    return float(log_odds(np.asarray(score, np.float64)))
