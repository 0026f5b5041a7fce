"""The user's own folders: what is taken, what is refused with a reason, and how voices are kept whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wakelark.audio import SAMPLE_RATE, write_wav
from wakelark.corpus.clip import Clip
from wakelark.corpus.ingest import IngestReport, VoiceFrom, ingest
from wakelark.corpus.manifest import read_manifest, write_manifest
from wakelark.corpus.speech_span import speech_span
from wakelark.errors import ConfigError, DataError


def word(seed: int, seconds: float = 0.6) -> np.ndarray:
    """Half a second of quiet, a loud stretch, half a second of quiet."""
    rng = np.random.default_rng(seed)
    quiet = rng.normal(0, 10, SAMPLE_RATE // 2)
    return (
        np.concatenate([quiet, rng.normal(0, 5000, round(seconds * SAMPLE_RATE)), quiet])
        .clip(-30000, 30000)
        .astype(np.int16)
    )


def take(folder: Path, label: int, *, seed: int = 0, voice_from: VoiceFrom = "auto") -> IngestReport:
    return ingest(
        folder, label=label, dev_share=0.2, test_share=0.2, split_seed=seed, voice_from=voice_from, workers=1,
        progress=lambda done, total, what: None,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:
    path = tmp_path / "mine"
    path.mkdir()
    return path


def test_positives(folder: Path, cache: Path, tmp_path: Path) -> None:
    write_wav(folder / "anna_01.wav", word(1))
    soundfile.write(folder / "anna_02.flac", np.repeat(word(2), 3), 48000)
    write_wav(folder / "copy.wav", word(1))
    soundfile.write(folder / "same.flac", word(1), SAMPLE_RATE)  # other bytes, the same audio
    write_wav(folder / "short.wav", word(3)[8000:10000])
    write_wav(folder / "long.wav", np.tile(word(4), 8))
    write_wav(folder / "silent.wav", np.zeros(16000, np.int16))
    write_wav(folder / "chatter.wav", word(5, seconds=5))
    (folder / "broken.wav").write_bytes(b"RIFF")
    report = take(folder, 1)
    assert {error.path.name: error.reason for error in report.skipped} == {
        "short.wav": "too-short",
        "long.wav": "too-long",
        "silent.wav": "silent",
        "chatter.wav": "unclear",
        "broken.wav": "unreadable",
    }
    assert [(a.name, b.name) for a, b in report.duplicates] == [
        ("copy.wav", "anna_01.wav"),
        ("same.flac", "anna_01.wav"),
    ]
    first, second = report.clips
    assert (first.kind, first.label, first.voice, first.source) == ("own_positive", 1, "own/anna", "mine")
    assert abs((first.phrase_start or 0) - 8000) < 800
    assert abs((first.phrase_end or 0) - 17600) < 800
    audio, _ = soundfile.read(cache / first.path, dtype="int16")
    assert (audio == word(1)).all()
    assert second.samples == pytest.approx(len(word(2)), abs=1)
    write_manifest(report.clips, tmp_path / "manifest.jsonl")
    assert tuple(read_manifest(tmp_path / "manifest.jsonl")) == report.clips


def test_a_second_run_reads_the_cache_and_agrees(folder: Path, cache: Path) -> None:
    for index in range(3):
        write_wav(folder / f"{index}.wav", word(index))
    first = take(folder, 1)
    times = {path: path.stat().st_mtime_ns for path in (cache / "own").iterdir()}
    assert take(folder, 1) == first
    assert {path: path.stat().st_mtime_ns for path in (cache / "own").iterdir()} == times


def test_negatives_short_and_long(folder: Path, cache: Path) -> None:
    write_wav(folder / "cough.wav", word(1))
    for index in range(12):
        write_wav(folder / f"radio{index}.wav", np.tile(word(10 + index), 20))
    report = take(folder, 0)
    (clip,) = report.clips
    assert (clip.kind, clip.label, clip.phrase_start) == ("own_negative", 0, None)
    assert len(report.streams) == 12
    assert {stream.role for stream in report.streams} == {"train", "dev"}
    stream = report.streams[0]
    assert (stream.load() == np.tile(word(10), 20)).all()
    assert (stream.package, stream.licence) == ("mine", "own recording")
    assert take(folder, 0) == report


def splits(clips: tuple[Clip, ...]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for clip in clips:
        found.setdefault(clip.voice, set()).add(clip.split)
    return found


def test_voices_are_sub_folders_and_stay_in_one_split(folder: Path) -> None:
    for voice in range(20):
        (folder / f"speaker{voice}").mkdir()
        for index in range(2):
            write_wav(folder / f"speaker{voice}" / f"{index}.wav", word(2 * voice + index))
    report = take(folder, 1)
    found = splits(report.clips)
    assert set(found) == {f"own/speaker{voice}" for voice in range(20)}
    assert all(len(split) == 1 for split in found.values())
    assert {clip.split for clip in report.clips} == {"train", "dev", "test"}
    assert report.notes == ()
    assert splits(take(folder, 1, seed=1).clips) != found


def test_a_new_speaker_moves_nobody(folder: Path) -> None:
    for voice in "abcdefgh":
        write_wav(folder / f"{voice}_1.wav", word(ord(voice)))
    before = splits(take(folder, 1).clips)
    write_wav(folder / "zoe_1.wav", word(999))
    after = splits(take(folder, 1).clips)
    assert {voice: split for voice, split in after.items() if voice in before} == before


def test_one_voice_is_trained_on_and_said(folder: Path) -> None:
    for index in range(4):
        write_wav(folder / f"{index}.wav", word(index))
    for seed in range(5):
        report = take(folder, 1, seed=seed)
        assert {clip.split for clip in report.clips} == {"train"}
        assert "one voice" in report.notes[0]
    assert len(splits(take(folder, 1, voice_from="file").clips)) == 4


def test_folders_that_cannot_be_used(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        take(tmp_path / "absent", 1)
    (folder / "readme.txt").write_text("hello")
    with pytest.raises(DataError, match="holds no audio files"):
        take(folder, 1)
    (folder / "a.wav").write_bytes(b"")
    (folder / "b.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    with pytest.raises(DataError, match=r"none of the 2 files(.|\n)*a\.wav(.|\n)*empty-file(.|\n)*ffmpeg"):
        take(folder, 0)


def test_a_file_that_is_written_to_while_it_is_read_is_not_kept(folder: Path, cache: Path) -> None:
    write_wav(folder / "anna_1.wav", word(1))
    write_wav(folder / "bert_1.wav", word(2))

    def record_on(done: int, total: int, what: str) -> None:
        write_wav(folder / "anna_1.wav", word(3))

    report = ingest(
        folder, label=1, dev_share=0.2, test_share=0.2, split_seed=0, voice_from="auto", workers=1, progress=record_on
    )
    assert [(error.path.name, error.reason) for error in report.skipped] == [("anna_1.wav", "changed")]
    assert len(list((cache / "own").glob("*.flac"))) == 1
    assert len(take(folder, 1).clips) == 2  # when it is at rest, it is read


def test_what_is_no_file_is_listed_beside_the_clips(folder: Path) -> None:
    write_wav(folder / "anna_1.wav", word(1))
    os.mkfifo(folder / "pipe.wav")
    (folder / "again").symlink_to(folder)
    report = take(folder, 1)
    assert len(report.clips) == 1
    assert [(error.path.name, error.reason) for error in report.skipped] == [
        ("again", "not-a-file"), ("pipe.wav", "not-a-file"),
    ]  # fmt: skip


def test_span_ignores_a_click_and_a_hum() -> None:
    audio = word(1).astype(np.float64)
    audio[1000:1040] += 20000
    audio += 800 + 100 * np.sin(np.arange(len(audio)) * 2 * np.pi * 50 / SAMPLE_RATE)
    start, end = speech_span(audio.clip(-32000, 32000).astype(np.int16)) or (0, 0)
    assert abs(start - 8000) < 800
    assert abs(end - 17600) < 800


def test_span_of_real_recordings(real_recordings: Path) -> None:
    from wakelark.audio import read_audio, to_int16

    paths = sorted((real_recordings / "snowboy").rglob("*.flac"))[:40]
    spans = [speech_span(to_int16(read_audio(path, max_seconds=None))) for path in paths]
    lengths = [(span[1] - span[0]) / SAMPLE_RATE for span in spans if span is not None]
    assert len(lengths) >= 38
    assert 0.5 < np.median(lengths) < 1.1
