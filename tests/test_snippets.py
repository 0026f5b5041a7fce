"""What the report plays and shows: sounds, spectrograms, and what a real model file made of them."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.cli import _run as run_cli
from wakelark.config import Config
from wakelark.config_file import dump_config
from wakelark.corpus.clip import Clip
from wakelark.corpus.manifest import write_manifest
from wakelark.corpus.streams import Piece, write_stream
from wakelark.evaluation.png import indexed_png
from wakelark.evaluation.report import MeasuredModel, build_report
from wakelark.evaluation.snippets import LONGEST_S, make_snippet, picture_uri, sound_uri
from wakelark.pipeline.clip_lists import clip_source
from wakelark.pipeline.evaluate import EVENT_FLOOR, stream_source
from wakelark.pipeline.listener import Listener
from wakelark.pipeline.report_page import rewrite_page
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.scoring import score_clips, score_streams
from wakelark.pipeline.snippets import BEFORE_ALARM_S, make_snippets
from wakelark.pipeline.sources import ClipSource, StreamSource
from wakelark.runtime.detector import Detector

from .report_material import facts
from .tiny_model import STEP, write_tiny_model

STEP_S = STEP / SAMPLE_RATE
SEED = 3


def content(uri: str, kind: str) -> bytes:
    start = f"data:{kind};base64,"
    assert uri.startswith(start)
    return base64.b64decode(uri.removeprefix(start), validate=True)


def decoded(png: bytes) -> NDArray[np.uint8]:
    """The shades of a picture that `indexed_png` wrote, with every check sum verified."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        name, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(name + data),)
        chunks[name] = data
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (4, 3)
    assert len(chunks[b"PLTE"]) == 3 * len(chunks[b"tRNS"])
    assert list(chunks[b"tRNS"]) == sorted(chunks[b"tRNS"])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()  # no filter
    return np.stack([rows[:, 1:] >> 4, rows[:, 1:] & 15], axis=2).reshape(height, -1)[:, :width].astype(np.uint8)


@pytest.mark.parametrize("width", [1, 2, 7])
def test_a_picture_can_be_read_again(width: int) -> None:
    shades = np.random.default_rng(width).integers(0, 16, (5, width)).astype(np.uint8)
    assert decoded(indexed_png(shades, levels=16)).tolist() == shades.tolist()


def test_what_does_not_fit_four_bits_is_no_picture() -> None:
    for shades, levels in ((np.full((1, 1), 16, np.uint8), 17), (np.full((1, 1), 3, np.uint8), 3)):
        with pytest.raises(ValueError, match="shades"):
            indexed_png(shades, levels=levels)


def tone(seconds: float, frequency: float) -> Float32Array:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(
        np.float32
    )


def test_a_high_tone_is_seen_above_a_low_one_and_later() -> None:
    shades = decoded(content(picture_uri(np.concatenate([tone(1.0, 200), tone(1.0, 5000)])), "image/png"))
    height, width = shades.shape
    assert (height, width) == (40, 99)  # 40 bands, a column per 20 ms
    loudest = shades.argmax(axis=0)  # from the top
    assert (loudest[: width // 2 - 2] > height * 3 / 4).all()
    assert (loudest[width // 2 + 2 :] < height / 4).all()


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1])
def test_the_shortest_sound_has_a_picture(seconds: float) -> None:
    assert decoded(content(picture_uri(tone(seconds, 300)), "image/png")).shape[0] == 40


def test_sounds_are_short_small_and_loud_enough() -> None:
    snippet = make_snippet(tone(60, 440) * np.float32(0.01), None)
    data = content(snippet.sound, "audio/mpeg")
    assert len(data) < 4_500 * LONGEST_S
    audio, rate = soundfile.read(io.BytesIO(data))
    assert rate == SAMPLE_RATE
    assert abs(len(audio) / rate - LONGEST_S) < 0.2
    assert 0.2 < np.abs(audio).max() < 0.5
    assert snippet.size > len(snippet.sound) + len(snippet.picture)
    assert not np.abs(soundfile.read(io.BytesIO(content(sound_uri(np.zeros(8000, np.float32)), "audio/mpeg")))[0]).any()


class Run:
    """A finished run in small: a model that hears loudness, a loud clip and a faint one, a recording with a burst."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.folder = RunFolder(root)
        root.mkdir()
        write_tiny_model(self.folder.accurate)
        write_tiny_model(self.folder.tiny, kind="tiny")
        clips = [self.clip(cache, name, level) for name, level in (("loud", 0.5), ("faint", 0.05))]
        rng = np.random.default_rng(1)
        audio = (rng.standard_normal(40 * SAMPLE_RATE) * 30).astype(np.int16)
        audio[20 * SAMPLE_RATE : round(20.3 * SAMPLE_RATE)] = 9000
        stream = write_stream(
            [Piece("burst.ogg", "0", audio)], name="recording", path="recordings/recording.npy", role="test",
            kind="speech", licence="CC0", package="p", version="1", skipped=[],
        )  # fmt: skip
        line = Clip(
            id=stream.sha256[:16], path=stream.path, samples=stream.samples, label=0, kind="recording", split="test"
        )
        self.folder.manifest.parent.mkdir()
        write_manifest([*clips, line], self.folder.manifest)
        self.folder.config.write_text(dump_config(Config(phrase="loud noise", seed=SEED)))
        self.clips = [clip_source(clip) for clip in clips]
        self.streams = [stream_source(stream)]
        self.report = self._measured()
        self.folder.report.write_text(json.dumps(self.report))

    def clip(self, cache: Path, name: str, level: float) -> Clip:
        audio = np.zeros(SAMPLE_RATE, np.float32)
        audio[4000:12_000] = level
        (cache / "speech").mkdir(parents=True, exist_ok=True)
        soundfile.write(cache / "speech" / f"{name}.flac", audio, SAMPLE_RATE)
        return Clip(
            id=name, path=f"speech/{name}.flac", samples=len(audio), label=1, kind="alone", text="loud noise",
            voice=f"v/{name}", engine="piper", split="test", phrase_end=12_000,
        )  # fmt: skip

    def _measured(self) -> dict[str, Any]:
        """As `pipeline.report` measures."""
        models = []
        for name, path in (("accurate", self.folder.accurate), ("tiny", self.folder.tiny)):
            options: dict[str, Any] = {"workers": 1, "progress": silent}
            clips, _ = score_clips(Listener(model=path), self.clips, noise=None, seed=SEED, **options)
            streams, _ = score_streams(Listener(model=path), self.streams, floor=EVENT_FLOOR, **options)
            models.append(
                MeasuredModel(
                    name=name, file=path.name, size_bytes=1, parameters=1, step_s=STEP_S, threshold=0.5,
                    fa_per_hour=0.5, positives=clips, streams=streams, floor=EVENT_FLOOR,
                )
            )  # fmt: skip
        return build_report(facts(), models, seed=SEED)


def silent(done: int, total: int, what: str) -> None:
    """No progress."""


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> Run:
    return Run(tmp_path / "run", cache)


def made(run: Run, clips: list[ClipSource], streams: list[StreamSource]) -> tuple[dict[str, Any], list[str]]:
    detectors = {"accurate": Detector.load(run.folder.accurate)}
    return make_snippets(run.report, detectors, clips, streams, seed=SEED, progress=silent)


def test_a_trace_peaks_where_and_as_high_as_the_report_says(run: Run) -> None:
    found, problems = made(run, run.clips, run.streams)
    assert problems == []
    model = run.report["models"][0]
    alarm, missed = model["loudest_false_alarms"][0], model["missed_clips"][0]
    trace = found[alarm["sound"]].trace
    assert max(trace.scores) == pytest.approx(alarm["score"], abs=1e-9)
    assert alarm["score"] > 0.5
    peak_s = trace.first_s + trace.step_s * int(np.argmax(trace.scores))
    assert peak_s == pytest.approx(BEFORE_ALARM_S, abs=STEP_S)
    clip = found[missed["sound"]]
    assert clip.counts_s is not None
    begin_s, end_s = clip.counts_s
    inside = [
        score for step, score in enumerate(clip.trace.scores)
        if begin_s - 1e-9 <= clip.trace.first_s + step * clip.trace.step_s <= end_s + 1e-9
    ]  # fmt: skip
    assert max(inside) == missed["score"]  # the very draw that was scored
    assert clip.trace.first_s + (len(clip.trace.scores) - 1) * clip.trace.step_s <= clip.seconds + 1e-6


def test_a_model_that_is_not_there_has_no_trace(run: Run) -> None:
    found, _ = made(run, run.clips, run.streams)
    assert all((snippet.trace is None) == name.startswith("tiny") for name, snippet in found.items())


def test_what_is_gone_is_named_once(run: Run) -> None:
    (run.clips[1].path).unlink()
    found, problems = made(run, run.clips, [])
    assert found == {}
    assert len(problems) == 2
    assert "faint" in problems[1]
    assert "recording is not among" in problems[0]


def test_the_page_is_written_again_from_the_folder(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert rewrite_page(run.folder, progress=silent) == []
    first = run.folder.report_html.read_bytes()
    assert first.count(b"<audio") == sum(
        len(model[key]) for model in run.report["models"] for key in ("loudest_false_alarms", "missed_clips")
    )
    assert b"not on this page" not in first
    assert run_cli(["report", str(run.folder.root), "--json"], debug=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"report": str(run.folder.report_html), "bytes": len(first), "left_out": []}
    assert run.folder.report_html.read_bytes() == first


def test_a_page_without_its_audio_still_has_its_figures(run: Run, cache: Path) -> None:
    (cache / "speech" / "faint.flac").unlink()
    (cache / "recordings" / "recording.json").unlink()
    problems = rewrite_page(run.folder, progress=silent)
    assert len(problems) == 2
    page = run.folder.report_html.read_text()
    assert "<audio" not in page
    assert "its sound is not on this page" in page


def test_a_run_that_is_not_finished_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.folder.report.unlink()
    assert run_cli(["report", str(run.folder.root)], debug=False) == 3
    assert "not finished" in capsys.readouterr().err
    run.folder.config.unlink()
    assert run_cli(["report", str(run.folder.root)], debug=False) == 2
    assert "no config.yaml" in capsys.readouterr().err
