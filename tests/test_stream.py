"""Trials, levels, noise and groups: hand-worked numbers."""

from __future__ import annotations

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE
from wakelark.errors import DataError
from wakelark.evaluation.events import Events
from wakelark.evaluation.groups import ScoredClip, ScoredStream, alarm_groups, det_curve, miss_bootstrap, miss_groups
from wakelark.evaluation.stream import (
    coloured_noise,
    draw_noise,
    hit_score,
    mix_at_snr,
    positive_trial,
    speech_level,
    stream_events,
)


def tone(seconds: float, level: float) -> np.ndarray:
    """A sine of this root mean square."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (np.sin(2 * np.pi * 500 * times) * level * np.sqrt(2)).astype(np.float32)


def level_db(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64))))


def test_a_trial_surrounds_the_clip_with_faint_noise() -> None:
    clip = tone(2.0, 0.1)
    trial = positive_trial(clip, rng=np.random.default_rng(0))
    assert len(trial.audio) == round(6.5 * SAMPLE_RATE)
    assert level_db(trial.audio[: 3 * SAMPLE_RATE]) == pytest.approx(-70, abs=0.2)
    assert np.abs(trial.audio[3 * SAMPLE_RATE : 5 * SAMPLE_RATE] - clip).max() < 0.003
    assert (trial.hit_from_s, trial.hit_until_s) == (3.0, 6.0)
    known = positive_trial(clip, rng=np.random.default_rng(0), word_end_s=1.5)
    assert (known.hit_from_s, known.hit_until_s) == pytest.approx((4.4, 5.5))


def test_only_the_hit_window_counts() -> None:
    trial = positive_trial(tone(1.0, 0.1), rng=np.random.default_rng(0), word_end_s=0.5)  # window 3.4 to 4.5 s
    for time_s, expected in ((3.3, 0.0), (3.4, 1.0), (4.5, 1.0), (4.6, 0.0)):
        scores = np.zeros(55)
        scores[round(time_s / 0.1) - 1] = 1.0
        assert hit_score(scores, trial, step_s=0.1) == expected


def test_speech_level_is_that_of_the_active_part() -> None:
    pauses = np.zeros(3 * SAMPLE_RATE, np.float32)
    spoken = np.concatenate([pauses, tone(1.0, 0.1), pauses])
    assert speech_level(spoken) == pytest.approx(0.1, rel=0.01)
    assert speech_level(positive_trial(tone(1.0, 0.1), rng=np.random.default_rng(0)).audio) == pytest.approx(
        0.1, rel=0.01
    )
    assert speech_level(np.zeros(100, np.float32)) == 0.0


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_noise_lies_below_the_speech_by_the_ratio(snr_db: float) -> None:
    trial = positive_trial(tone(1.0, 0.05), rng=np.random.default_rng(0))
    noise = coloured_noise(len(trial.audio), exponent=1.0, rng=np.random.default_rng(1))
    mixed = mix_at_snr(trial.audio, noise, snr_db=snr_db)
    assert level_db(mixed - trial.audio) == pytest.approx(20 * np.log10(0.05) - snr_db, abs=0.1)


def test_a_loud_mix_is_scaled_and_not_clipped() -> None:
    mixed = mix_at_snr(tone(1.0, 0.6), coloured_noise(SAMPLE_RATE, exponent=0, rng=np.random.default_rng(1)), snr_db=0)
    assert np.abs(mixed).max() == pytest.approx(1.0)


def test_useless_noise_is_refused() -> None:
    with pytest.raises(DataError, match="digital silence"):
        mix_at_snr(tone(1.0, 0.1), np.zeros(SAMPLE_RATE, np.float32), snr_db=10)
    with pytest.raises(DataError, match="same length"):
        mix_at_snr(tone(1.0, 0.1), tone(0.5, 0.1), snr_db=10)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_falls_by_its_exponent(exponent: float) -> None:
    noise = coloured_noise(SAMPLE_RATE * 20, exponent=exponent, rng=np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    per_hz = len(power) / (SAMPLE_RATE / 2)
    low, high = (power[round(hz * per_hz) : round(hz * 1.1 * per_hz)].mean() for hz in (400, 4000))
    assert 10 * np.log10(low / high) == pytest.approx(10 * exponent, abs=1.0)
    assert level_db(noise) == pytest.approx(-20, abs=0.01)


def test_noise_is_drawn_from_audible_parts_and_repeats_with_its_seed() -> None:
    half_silent = np.zeros(20 * SAMPLE_RATE, np.int16)
    half_silent[: 10 * SAMPLE_RATE] = 5000
    for seed in range(5):
        drawn = [
            draw_noise([half_silent], SAMPLE_RATE, coloured_share=0.0, rng=np.random.default_rng(seed))
            for _ in range(2)
        ]
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert np.abs(drawn[0]).max() > 0.1
    too_short = draw_noise([half_silent[:100]], SAMPLE_RATE, coloured_share=0.0, rng=np.random.default_rng(0))
    assert level_db(too_short) == pytest.approx(-20, abs=0.01)  # coloured noise instead


def test_a_loud_clip_is_heard_and_a_loud_moment_is_an_event() -> None:
    def loudness(audio: np.ndarray) -> np.ndarray:
        steps = audio[: len(audio) // 1600 * 1600].reshape(-1, 1600)
        return np.minimum(1, 10 * np.abs(steps).mean(axis=1))

    trial = positive_trial(tone(1.0, 0.2), rng=np.random.default_rng(0))
    assert hit_score(loudness(trial.audio), trial, step_s=0.1) == 1.0
    events = stream_events(loudness(trial.audio), step_s=0.1, smoothing_steps=1, refractory_s=1.5, floor=0.5)
    assert events.times_s.tolist() == pytest.approx([3.1])


def streams() -> list[ScoredStream]:
    parts = ((0.0, "a.wav"), (100.0, "b.wav"))
    talk = ScoredStream(
        name="talk",
        kind="speech",
        seconds=1800,
        events=Events(np.array([50.0, 130.0]), np.array([0.4, 0.9])),
        parts=parts,
    )
    songs = ScoredStream(name="songs", kind="music", seconds=5400, events=Events(np.array([7.0]), np.array([0.7])))
    return [talk, songs]


def test_groups_of_alarms_and_misses_by_hand() -> None:
    by_name = alarm_groups(streams(), lambda stream: stream.name, threshold=0.5)
    assert [(row["name"], row["hours"], row["false_alarms"], row["fa_per_hour"]) for row in by_name] == [
        ("songs", 1.5, 1, 1 / 1.5),
        ("talk", 0.5, 1, 2.0),
    ]
    clips = [ScoredClip(file="x", score=0.9, engine="piper"), ScoredClip(file="y", score=0.1, engine="kokoro")]
    rows = miss_groups(clips, lambda clip: clip.engine, threshold=0.5)
    assert [(row["name"], row["positives"], row["missed"]) for row in rows] == [("kokoro", 1, 1), ("piper", 1, 0)]
    curve = det_curve(clips, streams())
    assert (curve.hours, curve.false_alarms_at(0.5), curve.missed_at(0.5)) == (2.0, 2, 1)


def test_an_alarm_is_traced_to_its_file() -> None:
    talk, songs = streams()
    assert talk.locate(50.0) == ("a.wav", 50.0)
    assert talk.locate(130.0) == ("b.wav", 30.0)
    assert talk.locate(100.0) == ("a.wav", 100.0)
    assert songs.locate(7.0) == ("songs", 7.0)


def test_bootstrap_says_what_it_drew() -> None:
    clips = [ScoredClip(file=str(number), score=number % 2, speaker=str(number // 2)) for number in range(10)]
    rng = np.random.default_rng(0)
    # Every speaker misses one of two: whoever is drawn, it is half of them.
    assert miss_bootstrap(clips, threshold=0.5, rng=rng) == ((0.5, 0.5), "speaker")
    unlabelled = [*clips, ScoredClip(file="x", score=1.0)]
    found = miss_bootstrap(unlabelled, threshold=0.5, rng=rng)
    assert found is not None
    assert found[1] == "clip"
    assert miss_bootstrap([], threshold=0.5, rng=rng) is None
