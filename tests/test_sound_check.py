"""What is wrong with a recording as sound: worked out on made signals, and on recordings of people."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soxr

from wakelark.audio import SAMPLE_RATE, Float32Array, read_audio
from wakelark.evaluation.sound_check import LOWEST_DBFS, REMEDIES, SAID, measure_sound, sound_faults


def noise(seconds: float, level: float, seed: int = 0) -> Float32Array:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    return (samples * level).astype(np.float32)


def spoken(level: float = 0.1, background: float = 1e-4) -> Float32Array:
    """Half a second of sound in two seconds of a room."""
    audio = noise(2.0, background)
    audio[12_000:20_000] += noise(0.5, level, seed=1)
    return audio


def codes(audio: Float32Array) -> list[str]:
    return [fault.code for fault in sound_faults(measure_sound(audio))]


def test_levels_are_those_of_the_signal() -> None:
    figures = measure_sound(spoken(level=0.1, background=0.001))
    assert figures.seconds == 2.0
    assert figures.speech_dbfs == pytest.approx(-20, abs=0.3)
    assert figures.background_dbfs == pytest.approx(-60, abs=1.0)
    assert figures.snr_db == pytest.approx(40, abs=1.0)
    assert figures.rms_dbfs == pytest.approx(-26, abs=0.3)  # a quarter of the time


def test_good_sound_has_no_fault() -> None:
    assert codes(spoken()) == []


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (np.zeros(SAMPLE_RATE, np.float32), "silent"),
        (spoken(level=5e-4, background=5e-6), "silent"),
        (spoken(level=3e-3, background=1e-5), "quiet"),
        (np.clip(spoken(level=0.5), -0.6, 0.6), "clipped"),
        (np.clip(spoken(level=0.5), -0.6, 0.6) * np.float32(0.2), "clipped"),  # turned down afterwards
        (spoken() + np.float32(0.05), "offset"),
        (spoken(level=0.1, background=0.05), "noisy"),
        (spoken()[15_000:], "cut_start"),
        (spoken()[:16_000], "cut_end"),
    ],
)
def test_every_fault_is_found(audio: Float32Array, code: str) -> None:
    assert code in codes(audio)


def test_dropouts_are_sudden_zeros_inside_the_sound() -> None:
    audio = spoken()
    audio[14_000:14_100] = 0
    audio[17_000:17_100] = 0
    assert measure_sound(audio).dropouts == 2
    assert "dropouts" in codes(audio)
    gated = spoken(background=0.0)  # a noise gate: zeros before and after the word, and the word begins softly
    gated[12_000:20_000] *= np.hanning(8_000).astype(np.float32)
    assert measure_sound(gated).dropouts == 0


def test_what_was_sampled_at_8_khz_is_narrow() -> None:
    audio = spoken()
    narrow = soxr.resample(soxr.resample(audio, SAMPLE_RATE, 8_000), 8_000, SAMPLE_RATE).astype(np.float32)
    assert "narrow" in codes(narrow)
    assert measure_sound(np.zeros(SAMPLE_RATE, np.float32)).band_drop_db == 0


def test_very_short_and_silent_sound_is_measured_too() -> None:
    figures = measure_sound(np.zeros(10, np.float32))
    assert (figures.speech_dbfs, figures.peak_dbfs) == (LOWEST_DBFS, LOWEST_DBFS)
    assert all(np.isfinite([figures.snr_db, figures.start_db, figures.end_db, figures.band_drop_db]))


def test_every_fault_has_its_words() -> None:
    assert set(SAID) == set(REMEDIES)


def test_recordings_of_people_are_mostly_fine_and_spoilt_ones_are_not(real_recordings: Path) -> None:
    with open(real_recordings / "manifest.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "dev"][::12]
    clips = [read_audio(real_recordings / row["file"], max_seconds=60) for row in rows]
    clipped = [codes(clip) for clip in clips]
    assert sum("clipped" in found for found in clipped) <= 0.02 * len(clips)
    assert sum("narrow" in found for found in clipped) == 0
    loud = [np.clip(clip / np.abs(clip).max() * 4, -1, 1) for clip in clips]
    assert sum("clipped" in codes(clip) for clip in loud) >= 0.95 * len(clips)
    telephone = [
        soxr.resample(soxr.resample(clip, SAMPLE_RATE, 8_000), 8_000, SAMPLE_RATE).astype(np.float32) for clip in clips
    ]
    assert all("narrow" in codes(clip) for clip in telephone)
