"""Features of recordings: computed in segments, once, by one run at a time, whole or not at all."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from wakelark.audio import SAMPLE_RATE, to_int16
from wakelark.errors import SetupError
from wakelark.export.parity import probe_audio
from wakelark.training import stream_features
from wakelark.training.front_ends import embeddings, log_mel
from wakelark.training.stream_features import StreamFeatures, compute_stream_features

Calls = list[tuple[int, int, str]]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """135 s: a little more than one segment of 120 s, and not a whole number of steps."""
    audio = np.tile(to_int16(probe_audio(np.random.default_rng(0), seconds=9)), 15)
    np.save(tmp_path / "a.npy", audio[: 135 * SAMPLE_RATE - 777])
    return tmp_path / "a.npy"


def compute(*paths: Path, calls: Calls | None = None) -> list[StreamFeatures]:
    def progress(done: int, total: int, what: str) -> None:
        if calls is not None:
            calls.append((done, total, what))

    return compute_stream_features([(path.stem, path) for path in paths], workers=1, progress=progress)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    np.save(tmp_path / "short.npy", to_int16(probe_audio(np.random.default_rng(1), seconds=2)))
    return tmp_path / "short.npy"


def test_segments_equal_the_whole(recording: Path, cache: Path) -> None:
    calls: Calls = []
    (found,) = compute(recording, calls=calls)
    assert [call[:2] for call in calls] == [(1, 2), (2, 2)]
    audio = np.load(recording)
    whole = embeddings(audio)
    assert found.embeddings.shape == whole.shape
    np.testing.assert_allclose(found.embeddings.astype(float), whole.astype(float), atol=0.05, rtol=2e-3)
    np.testing.assert_allclose(found.logmel.astype(float), log_mel(audio).astype(float), atol=2e-3)
    assert found.samples == len(audio)


def test_what_is_there_is_only_opened(short: Path, cache: Path) -> None:
    (first,) = compute(short)
    calls: Calls = []
    (second,) = compute(short, calls=calls)
    assert calls == []
    np.testing.assert_array_equal(first.logmel, second.logmel)


def test_a_recording_that_changed_is_computed_anew(short: Path, cache: Path) -> None:
    (before,) = compute(short)
    np.save(short, to_int16(probe_audio(np.random.default_rng(2), seconds=2)))
    os.utime(short, ns=(0, 0))
    (after,) = compute(short)
    assert not np.array_equal(before.embeddings, after.embeddings)


def test_an_interrupted_computation_is_done_again(short: Path, cache: Path) -> None:
    (first,) = compute(short)
    expected = np.array(first.embeddings)
    (done,) = (cache / "features").glob("*.done")
    done.unlink()
    for file in (cache / "features").glob("short*.npy"):
        file.write_bytes(file.read_bytes()[:500])  # cut in the middle
    (again,) = compute(short)
    np.testing.assert_array_equal(again.embeddings, expected)


def test_recordings_too_short_for_an_embedding(tmp_path: Path, cache: Path) -> None:
    np.save(tmp_path / "tiny.npy", np.full(9000, 7, np.int16))
    np.save(tmp_path / "nothing.npy", np.zeros(300, np.int16))
    tiny, nothing = compute(tmp_path / "tiny.npy", tmp_path / "nothing.npy")
    assert (tiny.embeddings.shape, tiny.logmel.shape) == ((0, 96), (54, 40))
    assert np.isfinite(tiny.logmel).all()
    assert not (tiny.logmel == 0).all()
    assert (nothing.embeddings.shape, nothing.logmel.shape) == ((0, 96), (0, 40))


def test_a_second_run_waits_for_the_first(short: Path, cache: Path) -> None:
    (cache / "features").mkdir(parents=True)
    found: list[StreamFeatures] = []
    with FileLock(cache / "features" / ".lock"):
        second = threading.Thread(target=lambda: found.extend(compute(short)))
        second.start()
        second.join(0.5)
        assert found == []
    second.join(60)
    assert found[0].embeddings.shape == (16, 96)


def test_blocks_are_reserved_not_promised(tmp_path: Path) -> None:
    """A sparse file would end a worker with SIGBUS when the disk is full."""
    stream_features._reserve(tmp_path / "a.npy", (1000, 96))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 1000 * 96 * 2
    assert np.load(tmp_path / "a.npy").shape == (1000, 96)


def test_streams_of_one_package_have_features_of_their_own(tmp_path: Path, cache: Path) -> None:
    """`hedgewars-data.voices` and `hedgewars-data.music` differ only behind the dot."""
    for name, seed in (("package.voices", 1), ("package.music", 2)):
        np.save(tmp_path / f"{name}.npy", to_int16(probe_audio(np.random.default_rng(seed), seconds=seed)))
    voices, music = compute(tmp_path / "package.voices.npy", tmp_path / "package.music.npy")
    for found, name in ((voices, "package.voices"), (music, "package.music")):
        audio = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_array_equal(found.logmel, log_mel(audio))
        np.testing.assert_array_equal(found.embeddings, embeddings(audio))


def test_features_travel_by_name_to_other_processes(short: Path, cache: Path) -> None:
    (found,) = compute(short)
    sent = pickle.dumps(found)
    assert len(sent) < 2000
    received = pickle.loads(sent)
    np.testing.assert_array_equal(received.embeddings, found.embeddings)
    np.testing.assert_array_equal(received.logmel, found.logmel)


def test_a_full_disk_is_one_message(recording: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small_disk / "ballast").write_bytes(bytes(3 * 2**20))
    monkeypatch.setenv("WAKELARK_CACHE", str(small_disk / "cache"))
    with pytest.raises(SetupError, match="No space left on device") as error:
        compute(recording)
    assert "WAKELARK_CACHE" in str(error.value)
    assert not list(small_disk.rglob("*.done"))
