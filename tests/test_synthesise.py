"""Plans, splits by voice, and synthesis through the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wakelark.audio import SAMPLE_RATE
from wakelark.config import Config
from wakelark.corpus.clip import NEGATIVE_KINDS, POSITIVE_KINDS, Clip
from wakelark.corpus.engines import Utterance, find_engines, make_engine
from wakelark.corpus.speech_plan import cast_voices, plan_jobs
from wakelark.corpus.synthesise import Job, Spoken, synthesise
from wakelark.corpus.texts import CARRIERS, SENTENCES, sentences
from wakelark.errors import ConfigError, DataError
from wakelark.phrase import NearMiss, contains_phrase, espeak, near_misses, pronounce
from wakelark.phrase.distance import flatten


def small_config(**counts: int) -> Config:
    config = Config(phrase="hey computer")
    for engine in ("espeak", "kokoro", "piper", "flite"):
        setattr(config.corpus, f"{engine}_positives", counts.get(engine, 0))
    return config


def plan(config: Config) -> list[Job]:
    rng = np.random.default_rng(config.seed)
    said = pronounce(config.phrase, language=config.language, extra=config.pronunciations)
    misses = near_misses(said, phrase=config.phrase, language=config.language, count=40, rng=rng)
    engines, _ = find_engines(None)
    cast = cast_voices(engines, config=config, rng=rng)
    return plan_jobs(said, misses, config=config, cast=cast, engines=engines, rng=rng)


def speak(jobs: list[Job], folder: Path, *, workers: int = 1) -> Spoken:
    return synthesise(jobs, voices_dir=None, workers=workers, progress=lambda done, total, what: None, folder=folder)


def test_a_held_out_engine_that_is_not_used_is_refused() -> None:
    config = small_config(espeak=10)
    config.corpus.held_out_engine = "piper"
    with pytest.raises(ConfigError, match="held_out_engine"):
        plan(config)


def test_the_plan_has_the_numbers_of_the_configuration() -> None:
    config = small_config(espeak=200)
    jobs = plan(config)
    positives = [job for job in jobs if job.label == 1]
    hard = [job for job in jobs if job.hard_negative]
    ordinary = [job for job in jobs if job.kind == "sentence"]
    assert (len(positives), len(hard), len(ordinary)) == (200, 160, 100)
    assert {job.kind for job in positives} == {"alone", "in_sentence"}
    assert all(job.kind in (POSITIVE_KINDS if job.label else NEGATIVE_KINDS) for job in jobs)
    framed = sum(job.kind == "in_sentence" for job in positives)
    assert 0.12 < framed / 200 < 0.4
    assert all("hey computer" in job.text for job in positives)
    assert not any(job.text.split()[-2:] == ["hey", "computer"] for job in hard + ordinary)
    for split in ("dev", "test"):
        assert 0.04 < np.mean([job.split == split for job in positives]) < 0.25
        assert any(job.split == split for job in hard)
    assert len({job.voice.name for job in positives}) > 100


def test_one_voice_has_one_split_and_negatives_share_the_voices() -> None:
    jobs = plan(small_config(espeak=300))
    splits: dict[tuple[str, ...], set[str]] = {}
    for job in jobs:
        splits.setdefault(job.voice.bases, set()).add(job.split)
    assert all(len(found) == 1 for found in splits.values())
    positive = {job.voice.bases for job in jobs if job.label}
    assert {job.voice.bases for job in jobs if job.hard_negative} <= positive


def test_near_miss_texts_of_voices_that_are_not_trained_on_are_their_own() -> None:
    hard = [job for job in plan(small_config(espeak=400)) if job.hard_negative]
    spoken = {split: {job.text for job in hard if job.split == split} for split in ("train", "dev", "test")}
    assert all(len(texts) > 4 for texts in spoken.values())
    assert not spoken["train"] & (spoken["dev"] | spoken["test"])
    assert not spoken["dev"] & spoken["test"]


def test_no_voice_says_the_phrase_in_its_own_accent_where_another_says_a_near_miss() -> None:
    """In the United States "hey moaner" ends in a vowel of its own; in Britain it is the phrase."""
    config = small_config(espeak=100)
    config.phrase = "hey mona"
    config.corpus.near_miss_ratio = 2.0
    said = pronounce(config.phrase, language=config.language, extra=[])
    misses = [NearMiss(text=text, kind="near_miss", distance=2.0, phonemes="") for text in ("hey moaner", "hey moment")]
    engines = {"espeak": make_engine("espeak", voices_dir=None)}
    cast = cast_voices(engines, config=config, rng=np.random.default_rng(0))
    jobs = plan_jobs(said, misses, config=config, cast=cast, engines=engines, rng=np.random.default_rng(0))
    hard = [job for job in jobs if job.hard_negative]
    assert len(hard) == 200
    british = {job.voice.accent for job in hard} - {job.voice.accent for job in hard if "moaner" in job.text}
    assert "gmw/en" in british
    for job in hard:
        phrase, sounds = (espeak().flat(text, voice=job.voice.accent) for text in ("hey mona", job.text))
        assert not contains_phrase(sounds, phrase)


def test_training_voices_leave_out_near_misses_that_are_too_near() -> None:
    config = small_config(espeak=100)
    config.corpus.near_miss_distance = 0.0
    everything = plan(config)
    config.corpus.near_miss_distance = 0.18
    jobs = plan(config)
    said = pronounce(config.phrase, language=config.language, extra=[])
    nearest = 0.18 * max(len(flatten(p.sounds.flat)) for p in said)
    distances = {
        miss.text: miss.distance
        for miss in near_misses(
            said, phrase=config.phrase, language=config.language, count=40, rng=np.random.default_rng(config.seed)
        )
    }

    def of(found: list[Job], split: str) -> list[float]:
        return [
            distances[job.text] for job in found if job.hard_negative and job.split == split and job.text in distances
        ]

    assert min(of(jobs, "train")) >= nearest > min(of(everything, "train"))
    assert min(of(jobs, "test")) < nearest  # the others still test
    # What else is spoken stays the same, word for word.
    assert [job for job in jobs if not job.hard_negative] == [job for job in everything if not job.hard_negative]


def test_the_plan_is_a_function_of_the_seed() -> None:
    config = small_config(espeak=30)
    assert plan(config) == plan(config)
    other = config.model_copy(deep=True)
    other.seed = 1
    assert plan(config) != plan(other)


def test_texts() -> None:
    assert len(SENTENCES) == len(set(SENTENCES)) >= 150
    assert all(carrier.endswith("{}") for carrier in CARRIERS)
    short = sentences("en-us", short=True, rng=np.random.default_rng(0))
    assert len(short) > 50
    assert max(len(text.split()) for text in short) <= 5
    assert len(sentences("de", short=False, rng=np.random.default_rng(0))) > 100
    assert sentences("eo", short=False, rng=np.random.default_rng(0)) == []


def audio_of(clip: Clip, folder: Path) -> np.ndarray:
    audio, rate = soundfile.read(folder / clip.path, dtype="int16")
    assert rate == SAMPLE_RATE
    return audio


def test_clips_are_made_once_and_describe_themselves(tmp_path: Path) -> None:
    jobs = plan(small_config(espeak=12))
    spoken = speak(jobs, tmp_path)
    assert spoken.failed == []
    assert len(spoken.clips) == len(jobs)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}
    again = speak(jobs, tmp_path)
    assert again == spoken
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")} == times
    for clip, job in zip(spoken.clips, jobs, strict=True):
        audio = audio_of(clip, tmp_path)
        assert clip.samples == audio.size
        assert (clip.text, clip.voice, clip.split, clip.label) == (job.text, job.voice.name, job.split, job.label)
        assert "espeakng-loader" in clip.source
        if job.label == 0:
            assert clip.phrase_start is clip.phrase_end is None
        else:
            assert clip.phrase_end == clip.samples
        if job.kind == "alone":
            assert clip.phrase_start == 0
        if job.kind == "in_sentence" and clip.phrase_start is not None:
            assert 0 < clip.phrase_start < clip.samples


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    jobs = plan(small_config(espeak=2))
    first = speak(jobs, tmp_path)
    broken = tmp_path / first.clips[0].path
    broken.write_bytes(b"fLaC broken")
    again = speak(jobs, tmp_path)
    assert again.clips[1:] == first.clips[1:]
    assert again.clips[0].path == first.clips[0].path
    assert audio_of(again.clips[0], tmp_path).size == again.clips[0].samples


def test_processes_give_the_same_clips(tmp_path: Path) -> None:
    jobs = plan(small_config(espeak=6))
    two, one = speak(jobs, tmp_path / "two", workers=2), speak(jobs, tmp_path / "one")
    assert two.failed == one.failed == []
    # espeak's noise sources are random: the same words, not the same samples.
    assert [(c.path, c.text, c.split) for c in two.clips] == [(c.path, c.text, c.split) for c in one.clips]
    assert speak(jobs, tmp_path / "two") == two


def unspeakable(count: int) -> list[Job]:
    someone = make_engine("espeak", voices_dir=None).voices("en-us")[0]
    return [
        Job(utterance=Utterance(text=" ", seed=seed), voice=someone, kind="sentence", label=0, text="", split="train")
        for seed in range(count)
    ]


def test_a_few_failures_are_listed_and_many_are_an_error(tmp_path: Path) -> None:
    good = plan(small_config(espeak=12))
    spoken = speak(good + unspeakable(1), tmp_path)
    assert len(spoken.clips) == len(good)
    assert [failure.voice for failure in spoken.failed] == [unspeakable(1)[0].voice.name]
    with pytest.raises(DataError, match="clips could not be spoken"):
        speak(good + unspeakable(8), tmp_path)


def test_the_key_depends_on_what_is_said(tmp_path: Path) -> None:
    job = plan(small_config(espeak=1))[0]
    other = replace(job, utterance=replace(job.utterance, speed=job.utterance.speed * 1.1))
    paths = [clip.path for clip in speak([job, other, job], tmp_path).clips]
    assert len(paths) == len(set(paths)) == 2
