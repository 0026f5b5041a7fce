"""Views: where clips lie, what surrounds them, stores that resume and give back what was rendered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from wakelark.audio import SAMPLE_RATE, Float32Array, to_float, to_int16
from wakelark.augment.beds import BedLibrary
from wakelark.config import AugmentConfig
from wakelark.corpus.clip import Clip
from wakelark.corpus.streams import Piece, Stream, write_stream
from wakelark.errors import DataError
from wakelark.features.embedding import SpeechEmbedding
from wakelark.features.logmel_torch import LogMel
from wakelark.training.clip_audio import ClipReader, Neighbours
from wakelark.training.recording_windows import recording_windows
from wakelark.training.render import Progress, bed_sources, render_views
from wakelark.training.view_store import RECORD, ViewStore
from wakelark.training.views import WINDOW_SAMPLES, render_view

QUIET = {
    "speed_probability": 0.0, "room_probability": 0.0, "noise_probability": 0.0, "tilt_db_per_octave": 0.0,
    "low_pass_probability": 0.0, "high_pass_probability": 0.0, "codec_probability": 0.0, "clip_probability": 0.0,
    "gain_db_min": -6.0, "gain_db_max": -6.0, "speech_before_probability": 0.0, "speech_after_probability": 0.0,
}  # fmt: skip
"""Nothing but placing and level (and up to two bumps of colour)."""


def tone(seconds: float, frequency_hz: float = 500.0) -> Float32Array:
    times_s = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.3 * np.sin(2 * np.pi * frequency_hz * times_s)).astype(np.float32)


def positive(audio: Float32Array, **changes: object) -> Clip:
    values = {
        "id": "00000000000000aa", "path": "speech/aa/x.flac", "samples": audio.size, "label": 1, "kind": "alone",
        "voice": "piper/joe", "engine": "piper", "phrase_start": 0, "phrase_end": audio.size,
    }  # fmt: skip
    return Clip(**(values | changes))


def negative(audio: Float32Array, kind: str = "sentence", **changes: object) -> Clip:
    hard = int(kind in ("near_miss", "partial", "swap"))
    base = {"label": 0, "kind": kind, "hard_negative": hard, "phrase_start": None, "phrase_end": None}
    return positive(audio, **(base | changes))


def view_of(audio: Float32Array, clip: Clip, view: int = 0, neighbour: Float32Array | None = None, **config: object):
    return render_view(
        audio,
        clip=clip,
        view=view,
        seed=1,
        beds=BedLibrary([]),
        config=AugmentConfig(**(QUIET | config)),
        neighbour=lambda clip, rng: neighbour,
    )


def loud_span(view) -> tuple[float, float]:
    loud = np.flatnonzero(np.abs(to_float(view)) > 0.05)
    return loud[0] / SAMPLE_RATE, loud[-1] / SAMPLE_RATE


class TestPlacing:
    def test_phrases_end_between_1_3_and_1_8_s(self) -> None:
        ends = [loud_span(view_of(tone(0.6), positive(tone(0.6)), view))[1] for view in range(60)]
        assert 1.29 < min(ends) < 1.4
        assert 1.7 < max(ends) < 1.81

    def test_a_change_of_speed_moves_the_end_with_the_phrase(self) -> None:
        audio = np.concatenate([tone(0.6), tone(0.2) * np.float32(0.01)])
        clip = positive(audio, phrase_end=int(0.6 * SAMPLE_RATE))
        for view in range(30):
            begin, end = loud_span(view_of(audio, clip, view, speed_probability=1.0, speed_range=0.3))
            assert 1.29 < end < 1.81
            assert 0.6 / 1.31 < end - begin < 0.6 * 1.31

    def test_a_phrase_that_is_too_long_is_cut_at_its_start(self) -> None:
        audio = np.concatenate([tone(2.0, 300), tone(0.5, 2000)])
        for view in range(20):
            begin, end = loud_span(view_of(audio, positive(audio), view))
            assert begin < 0.02
            assert 1.29 < end < 1.81

    def test_near_misses_lie_like_positives_and_sentences_anywhere(self) -> None:
        audio = np.pad(tone(0.6), (0, 4000))
        near = [loud_span(view_of(audio, negative(audio, "near_miss"), view))[1] for view in range(40)]
        assert min(near) > 1.28
        assert max(near) < 1.82
        ends = [v[1] for v in (loud_span(w) for w in _with_speech(audio, 60))]
        assert min(ends) < 1.0

    def test_a_recording_fills_the_window(self) -> None:
        audio = tone(2.3)
        for view in range(10):
            begin, end = loud_span(view_of(audio, negative(audio, "recording"), view, speed_probability=1.0))
            assert begin < 0.01
            assert end > 1.99


def _with_speech(audio: Float32Array, views: int) -> list:
    rendered = [view_of(audio, negative(audio), view) for view in range(views)]
    return [view for view in rendered if np.abs(to_float(view)).max() > 0.05]


class TestSurroundings:
    def test_speech_before_and_after_keeps_its_distance(self) -> None:
        audio, other = tone(0.6, 500), tone(3.0, 2000)
        for view in range(20):
            rendered = view_of(audio, positive(audio), view, other, speech_before_probability=1.0,
                               speech_after_probability=1.0)  # fmt: skip
            frames = to_float(rendered).reshape(-1, 160)
            silent = np.sqrt(np.mean(np.square(frames), axis=1)) < 0.02
            edges = np.flatnonzero(np.diff(silent.astype(int)))
            assert silent[:3].sum() == 0
            gaps = [stop - start for start, stop in zip(edges[::2], edges[1::2], strict=False)]
            assert len(gaps) in (1, 2)  # the second gap may reach the end of the window
            assert all(3 <= gap <= 42 for gap in gaps)

    def test_without_neighbours_nothing_is_added(self) -> None:
        audio = tone(0.6)
        with_none = view_of(audio, positive(audio), speech_before_probability=1.0)
        assert loud_span(with_none)[0] > 0.6

    def test_same_voice_first_and_never_another_split(self, cache: Path) -> None:
        clips = []
        for index, (voice, split) in enumerate([("piper/joe", "train"), ("flite/slt", "train"), ("piper/joe", "test")]):
            path = cache / f"speech/{index}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, to_int16(tone(0.1 * (index + 1))), SAMPLE_RATE)
            samples = int(0.1 * (index + 1) * SAMPLE_RATE)
            clips.append(negative(tone(0.1), voice=voice, split=split, path=f"speech/{index}.flac", samples=samples))
        pick = Neighbours(clips, reader=ClipReader(cache))
        drawn = [pick(clips[0], np.random.default_rng(n)) for n in range(100)]
        sizes = [speech.size for speech in drawn if speech is not None]
        assert set(sizes) == {1600, 3200}
        assert sizes.count(1600) > 75
        assert Neighbours([], reader=ClipReader(cache))(clips[0], np.random.default_rng(0)) is None


class TestPurity:
    def test_same_arguments_same_samples_other_view_other_samples(self) -> None:
        audio = tone(0.7)
        full = {"noise_probability": 1.0, "room_probability": 1.0, "speed_probability": 1.0}
        first = view_of(audio, positive(audio), 3, **full)
        assert first.dtype == np.int16
        assert first.shape == (WINDOW_SAMPLES,)
        assert np.array_equal(first, view_of(audio, positive(audio), 3, **full))
        assert not np.array_equal(first, view_of(audio, positive(audio), 4, **full))

    def test_positives_stay_audible(self) -> None:
        audio = tone(0.6)
        config = {"gain_db_min": -80.0, "gain_db_max": -70.0, "room_probability": 1.0, "low_pass_probability": 1.0}
        for view in range(20):
            rendered = to_float(view_of(audio, positive(audio), view, **config))
            loudest = np.sort(np.square(rendered).reshape(-1, 320).mean(axis=1))[-25:]  # half a second of 0.6 s
            assert 10 * np.log10(loudest.mean()) > -45.5


@pytest.fixture
def corpus(cache: Path) -> tuple[list[Clip], list[Stream]]:
    """Three spoken clips and 20 s of a recording in the cache."""
    (cache / "speech").mkdir(parents=True)
    rng = np.random.default_rng(0)
    clips = []
    for index, kind in enumerate(("alone", "near_miss", "sentence")):
        audio = to_int16(tone(0.6 + 0.1 * index, 300 * (index + 1)))
        soundfile.write(cache / f"speech/{index}.flac", audio, SAMPLE_RATE)
        make = positive if index == 0 else negative
        changes = {} if index == 0 else {"kind": kind}
        clips.append(make(tone(0.6 + 0.1 * index), id=f"{index:016x}", path=f"speech/{index}.flac", **changes))
    noise = (rng.standard_normal(20 * SAMPLE_RATE) * 800).astype(np.int16)
    noise[6 * SAMPLE_RATE : 11 * SAMPLE_RATE] = 0
    stream = write_stream(
        [Piece("a.wav", "00", noise)], name="a", path="recordings/a.npy", role="train", kind="speech", licence="CC0",
        package="a", version="1", skipped=[],
    )  # fmt: skip
    return clips, [stream]


def silent(done: int, total: int, what: str) -> None:
    """No progress is shown."""


def render(
    clips: list[Clip], streams: list[Stream], out: Path, workers: int = 1, progress: Progress = silent
) -> ViewStore:
    return render_views(
        clips,
        neighbours=clips,
        beds=bed_sources(streams),
        config=AugmentConfig(views_per_positive=3, views_per_negative=2),
        seed=0,
        out=out,
        workers=workers,
        progress=progress,
    )


class TestStore:
    def test_windows_cover_the_speech_once_without_silence(self, corpus: tuple[list[Clip], list[Stream]]) -> None:
        windows = recording_windows(corpus[1], seed=0, speed_range=0.12)
        assert 6 <= len(windows) <= 8  # 15 s of 20 are not silent
        starts = np.array([clip.start for clip in windows])
        assert (np.diff(starts) % WINDOW_SAMPLES == 0).all()
        assert all(clip.kind == "recording" and clip.label == 0 and clip.samples <= 35_840 for clip in windows)
        assert len({clip.id for clip in windows}) == len(windows)

    def test_what_is_read_is_what_was_rendered(
        self, corpus: tuple[list[Clip], list[Stream]], tmp_path: Path, cache: Path
    ) -> None:
        clips, streams = corpus
        store = render(clips + recording_windows(streams, seed=0, speed_range=0.12), streams, tmp_path)
        assert len(store) == 3 + 2 + 2 + sum(clip.kind == "recording" for clip in store.clips)
        order = np.random.default_rng(0).permutation(len(store))
        assert store.audio(order).shape == (len(store), WINDOW_SAMPLES)
        assert np.array_equal(store.audio(order), store.audio(np.arange(len(store)))[order])
        assert store.logmel().shape == (len(store), 40, 198)
        assert store.embeddings().shape == (len(store), 16, 96)
        assert (store.labels.sum(), store.hard.sum()) == (3, 2)
        self._check_views(store, order[:6], cache, clips, streams)

    def _check_views(
        self, store: ViewStore, order: np.ndarray, cache: Path, clips: list[Clip], streams: list[Stream]
    ) -> None:
        import torch

        audio, logmel, embeddings = store.audio(order), store.logmel()[order], store.embeddings()[order]
        reader = ClipReader(cache)
        for place, index in enumerate(order):
            clip = store.clips[store.clip[index]]
            expected = render_view(
                reader.read(clip), clip=clip, view=int(store.view[index]), seed=0,
                beds=BedLibrary([(stream.load(), stream.kind) for stream in streams]),
                config=AugmentConfig(views_per_positive=3, views_per_negative=2),
                neighbour=Neighbours(clips, reader=reader),
            )  # fmt: skip
            assert np.array_equal(audio[place], expected)
            heard = to_float(expected)[None]
            assert logmel[place] == pytest.approx(LogMel()(torch.from_numpy(heard))[0].numpy(), rel=1e-3, abs=1e-3)
            assert embeddings[place] == pytest.approx(SpeechEmbedding().embed(heard)[0], rel=2e-3, abs=2e-2)

    def test_a_second_run_renders_nothing_and_a_lost_shard_only_itself(
        self, corpus: tuple[list[Clip], list[Stream]], tmp_path: Path
    ) -> None:
        clips, streams = corpus
        clips = clips + recording_windows(streams, seed=0, speed_range=0.12)
        first = render(clips, streams, tmp_path)
        assert len(first.shards) == 2
        before = {path: path.stat().st_mtime_ns for path in first.shards}
        content = first.shards[1].read_bytes()
        first.shards[1].write_bytes(content[:1000])
        render(clips, streams, tmp_path)
        assert first.shards[0].stat().st_mtime_ns == before[first.shards[0]]
        assert first.shards[1].read_bytes() == content
        assert np.load(first.shards[0]).dtype == RECORD

    def test_an_interrupted_run_keeps_what_it_has(
        self, corpus: tuple[list[Clip], list[Stream]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("wakelark.training.render.SHARD_VIEWS", 2)
        clips, streams = corpus

        def interrupt(done: int, total: int, what: str) -> None:
            if done == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            render(clips, streams, tmp_path, progress=interrupt)
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
        assert len(kept) == 2
        counts: list[int] = []
        store = render(clips, streams, tmp_path, progress=lambda done, total, what: counts.append(done))
        assert counts == [4, 6, 7]
        assert len(store.shards) == 4
        assert all(path.stat().st_mtime_ns == time for path, time in kept.items())

    def test_recordings_keep_their_shards_when_the_phrase_changes(
        self, corpus: tuple[list[Clip], list[Stream]], tmp_path: Path
    ) -> None:
        clips, streams = corpus
        windows = recording_windows(streams, seed=0, speed_range=0.12)
        first = render([*clips, *windows], streams, tmp_path)
        second = render([*clips[:2], *windows], streams, tmp_path)
        assert set(first.shards) & set(second.shards) == {first.shards[0]}

    def test_worker_processes_make_the_same_bytes(
        self, corpus: tuple[list[Clip], list[Stream]], tmp_path: Path
    ) -> None:
        clips, streams = corpus
        clips = clips + recording_windows(streams, seed=0, speed_range=0.12)
        alone, shared = render(clips, streams, tmp_path / "a"), render(clips, streams, tmp_path / "b", workers=2)
        for one, other in zip(alone.shards, shared.shards, strict=True):
            assert one.name == other.name
            assert one.read_bytes() == other.read_bytes()

    def test_concat_and_select(self, corpus: tuple[list[Clip], list[Stream]], tmp_path: Path) -> None:
        clips, streams = corpus
        one, two = render(clips[:1], streams, tmp_path), render(clips[1:], streams, tmp_path)
        both = ViewStore.concat([one, two])
        assert len(both) == len(one) + len(two)
        assert np.array_equal(both.audio([len(one)]), two.audio([0]))
        hard = both.select(both.hard)
        assert len(hard) == 2
        assert np.array_equal(hard.audio([1]), both.audio(np.flatnonzero(both.hard)[1:]))
        assert len(ViewStore.concat([])) == 0

    def test_a_changed_cache_is_reported(self, corpus: tuple[list[Clip], list[Stream]], tmp_path: Path) -> None:
        clips, streams = corpus
        store = render(clips, streams, tmp_path)
        store.shards[0].unlink()
        with pytest.raises(DataError, match="vanished"):
            store.audio([0])
        clips[0] = positive(tone(3.0), id="ab", path="speech/0.flac")
        with pytest.raises(DataError, match="cache was changed"):
            render(clips, streams, tmp_path)
