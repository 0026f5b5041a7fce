"""The web target's folder in a real browser: the module gives the golden vectors, the page hears as Python does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wakelark.audio import read_audio, to_float, to_int16
from wakelark.errors import ModelError, SetupError
from wakelark.export.parity import probe_audio
from wakelark.export.web import runtime_files
from wakelark.export.web.chromium import find_browser
from wakelark.export.web.folder import WebModel, page_file, write_folder
from wakelark.export.web.trial import PageTrial, opened
from wakelark.pipeline.targets.web import WebTarget, compared
from wakelark.runtime.backend import read_model

from .test_golden import CASES, EXPECTED, GOLDEN

CHROMIUM = find_browser()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or shutil.which("npm") is None,
    reason="no Chromium or no npm is installed: the web target is not tried in a browser",
)
WAV = GOLDEN / EXPECTED["audio"]
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def model() -> WebModel:
    file = GOLDEN / EXPECTED["model"]
    return WebModel("tiny", "model_tiny.onnx", file.read_bytes(), read_model(file).card)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: WebModel) -> Path:
    """The same model twice, so that there is a switch."""
    folder = tmp_path_factory.mktemp("web")
    twin = WebModel("accurate", "model.onnx", model.data, model.card)
    write_folder(folder, [model, twin])
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[PageTrial]:
    """One page for all tests; at its end it must have complained of nothing and asked for nothing from elsewhere."""
    assert CHROMIUM is not None
    with opened(folder, CHROMIUM, microphone=WAV) as trial:
        yield trial


# Gives a case's audio to the module in chunks, as floats or as int16.
MODULE = """
(async () => {
  const { Detector } = await import("./wakelark.js");
  const model = new Uint8Array(await (await fetch("model_tiny.onnx")).arrayBuffer());
  const card = { ...(await (await fetch("model_tiny.onnx.json")).json()), ...CHANGES };
  const detector = await Detector.of(model, card, OPTIONS);
  const samples = Int16Array.from(SAMPLES);
  const audio = KIND === "int16" ? samples : Float32Array.from(samples, (value) => value / 32768);
  const made = [];
  for (const again of [1, 2]) { // the second time after a reset
    made.length = 0;
    for (let at = 0, size = 1; at < audio.length; at += size, size = (size * 7) % 4001) {
      made.push(...(await detector.steps(audio.slice(at, at + size))));
    }
    if (again === 1) await detector.reset();
  }
  return { threshold: detector.threshold, steps: made };
})()
"""


def in_module(page: PageTrial, case: dict[str, Any], audio: np.ndarray, kind: str) -> dict[str, Any]:
    options = {} if case["preset"] is None else {"preset": case["preset"]}
    script = MODULE.replace("CHANGES", json.dumps(case["card"])).replace("OPTIONS", json.dumps(options))
    return page.browser.run(script.replace("SAMPLES", json.dumps(audio.tolist())).replace("KIND", json.dumps(kind)))


@pytest.mark.parametrize("kind", ["int16", "float"])
@pytest.mark.parametrize("case", [case for case in CASES if case["judge"] is None], ids=lambda case: case["name"])
def test_the_module_gives_the_golden_vectors(page: PageTrial, case: dict[str, Any], kind: str) -> None:
    audio = to_int16(read_audio(WAV, max_seconds=None))
    made = in_module(page, case, audio, kind)
    hits = [step["detection"] for step in made["steps"] if step["detection"]]
    assert made["threshold"] == pytest.approx(case["fires_at"], abs=1e-9)
    assert [step["score"] for step in made["steps"]] == pytest.approx(case["scores"], abs=TOLERANCE)
    assert [step["decisive"] for step in made["steps"]] == pytest.approx(case["decisive"], abs=TOLERANCE)
    assert [hit["time"] for hit in hits] == pytest.approx([hit["time_s"] for hit in case["detections"]], abs=1e-9)
    assert [hit["score"] for hit in hits] == pytest.approx([hit["score"] for hit in case["detections"]], abs=TOLERANCE)


def test_a_recording_on_the_page_is_scored_as_in_python(page: PageTrial, model: WebModel) -> None:
    for name in ("accurate", "tiny"):
        page.choose_model(name)
        checks = compared(model, page.score_file(WAV), read_audio(WAV, max_seconds=None), name)
        assert all(check.figure <= TOLERANCE for check in checks)
    assert page.browser.run("document.querySelectorAll('#detections li').length") == len(CASES[0]["detections"])
    assert "heard" in page.browser.run("document.getElementById('state').textContent")


def test_the_microphone_is_scored_as_in_python_and_sounds_as_played(page: PageTrial, model: WebModel) -> None:
    page.choose_model("tiny")
    heard = page.listen(2.5)
    assert all(check.figure <= TOLERANCE for check in compared(model, heard, heard.audio, "microphone"))
    played = np.tile(read_audio(WAV, max_seconds=None).astype(np.float64), 2)
    piece = heard.audio[4_000:20_000].astype(np.float64)
    size = len(played) + len(piece)
    match = np.fft.irfft(np.fft.rfft(played, size) * np.conj(np.fft.rfft(piece, size)), size)[: len(played) // 2]
    energy = np.concatenate([[0.0], np.cumsum(played**2)])
    energy = energy[len(piece) : len(piece) + len(match)] - energy[: len(match)]
    assert np.max(match / np.sqrt(np.maximum(energy, 1e-9)) / np.linalg.norm(piece)) > 0.95


def test_another_rate_is_decoded_by_the_browser(page: PageTrial, tmp_path: Path) -> None:
    """A stereo float file of 48 kHz gives as many scores as the same seconds at 16 kHz."""
    import soundfile

    sound = np.repeat(probe_audio(np.random.default_rng(2), seconds=2), 3)
    soundfile.write(tmp_path / "stereo.wav", np.stack([sound, sound], axis=1), 48_000, subtype="FLOAT")
    page.choose_model("tiny")
    assert len(page.score_file(tmp_path / "stereo.wav").scores) == 2 * 16_000 // 640


def test_what_is_no_audio_is_said(folder: Path, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    (tmp_path / "text.wav").write_text("this is no sound")
    with pytest.raises(ModelError, match="no audio that this browser can decode"), opened(folder, CHROMIUM) as page:
        page.score_file(tmp_path / "text.wav")


RESAMPLE = """
(async () => {
  const { Resampler } = await import("./wakelark.js");
  const resampler = new Resampler(RATE);
  const tone = Float32Array.from({ length: RATE }, (_, index) => Math.sin((2 * Math.PI * HZ * index) / RATE));
  const made = [];
  for (let at = 0; at < tone.length; at += 1000) made.push(...resampler.process(tone.slice(at, at + 1000)));
  return made;
})()
"""


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_the_resampler_keeps_a_tone_where_it_is(page: PageTrial, rate: int) -> None:
    made = np.array(page.browser.run(RESAMPLE.replace("RATE", str(rate)).replace("HZ", "1000")))
    assert 15_800 < len(made) <= 16_000
    expected = np.sin(2 * np.pi * 1000 * np.arange(len(made)) / 16_000)
    assert np.abs(made - expected)[200:].max() < 5e-3


def test_the_resampler_lets_nothing_through_that_would_fold_back(page: PageTrial) -> None:
    made = np.array(page.browser.run(RESAMPLE.replace("RATE", "48000").replace("HZ", "9500")))
    assert np.abs(made)[200:].max() < 0.02


REFUSALS = {
    "steps(new Float64Array(10))": "Int16Array, or a Float32Array",
    "steps(Float32Array.of(0, 2000))": "divide int16 values by 32768",
    "usePreset('loud')": 'no preset "loud"',
    "setThreshold(0)": "must be above 0",
}


@pytest.mark.parametrize("call", REFUSALS)
def test_the_module_says_what_it_does_not_take(page: PageTrial, call: str) -> None:
    script = "import('./wakelark.js').then(({ Detector }) => Detector.load('model_tiny.onnx')).then((d) => d.CALL)"
    with pytest.raises(ModelError, match=REFUSALS[call]):
        page.browser.run(script.replace("CALL", call))


def test_broken_audio_is_left_out_and_counted(page: PageTrial) -> None:
    script = """
    import('./wakelark.js').then(({ Detector }) => Detector.load('model_tiny.onnx')).then(async (d) => {
      const steps = await d.steps(Float32Array.of(0, NaN));
      return [steps.length, d.ignoredChunks, d.seconds];
    })"""
    assert page.browser.run(script) == [0, 1, 0]


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(page: PageTrial, width: int) -> None:
    page.browser.resize(width, 844)
    assert page.browser.run("document.documentElement.scrollWidth") <= width


def test_a_page_that_does_not_load_is_an_error(folder: Path, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    broken = shutil.copytree(folder, tmp_path / "web")
    (broken / "model_tiny.onnx").unlink()
    with pytest.raises(ModelError, match=r"model_tiny\.onnx"), opened(broken, CHROMIUM):
        pass


def test_a_page_that_differs_from_python_is_an_error(page: PageTrial, model: WebModel) -> None:
    page.choose_model("tiny")
    other = to_float(to_int16(probe_audio(np.random.default_rng(9), seconds=6)))
    with pytest.raises(ModelError, match="difference of a score"):
        compared(model, page.score_file(WAV), other, "page")


def test_only_the_pinned_runtime_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in runtime_files.FILES:
        (tmp_path / name).write_text("something else")
    monkeypatch.setenv(runtime_files.FOLDER_VARIABLE, os.fspath(tmp_path))
    with pytest.raises(SetupError, match="SHA-256"):
        runtime_files.runtime_files()
    assert "SHA-256" in runtime_files.why_missing()


def test_a_machine_without_a_browser_or_npm_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CHROMIUM is not None
    monkeypatch.setenv("WAKELARK_CACHE", os.fspath(tmp_path / "cache"))
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert "apt install chromium" in WebTarget().missing_package()
    (tmp_path / Path(CHROMIUM).name).symlink_to(CHROMIUM)
    assert "apt install npm" in WebTarget().missing_package()
    assert runtime_files.FOLDER_VARIABLE in WebTarget().missing_package()


def test_the_page_allows_nothing_from_elsewhere() -> None:
    text = page_file("index.html").decode()
    assert "default-src 'none'" in text
    assert "unsafe-inline" not in text
    assert "<script>" not in text
    assert " style=" not in text
