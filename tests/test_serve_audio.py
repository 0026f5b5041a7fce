"""A listener hears the same however its audio is cut and stored, for a day as for a second."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event

from wakelark.runtime.backend import Backend
from wakelark.serve.audio_stream import AudioForm, AudioStream
from wakelark.serve.listener import Listener
from wakelark.serve.models import FiresAt, ServedModel
from wakelark.serve.protocol import Limits

from .tiny_model import tiny_bytes, tiny_card
from .wyoming_server import LOUD_MS, answers, client_of, loud_after_silence, running, say, two_models

MONO = AudioForm(16_000, 2, 1)


@pytest.fixture(scope="module")
def model() -> ServedModel:
    card = tiny_card(refractory_s=0.2)
    return ServedModel("loud", Backend(tiny_bytes(card), name="tiny"), judge=None, fires_at=FiresAt())


def hits_of(listener: Listener, pieces: list[bytes], form: AudioForm = MONO) -> list[tuple[str, int]]:
    listener.start(None)
    heard = [listener.take(piece, form, None) for piece in pieces]
    return [hit for part in [*heard, listener.stop()] for hit in part.hits]


def cut(pcm: bytes, sizes: list[int], frame: int) -> list[bytes]:
    """`pcm` in pieces of so many frames, again and again."""
    pieces: list[bytes] = []
    number = place = 0
    while place < len(pcm):
        size = frame * sizes[number % len(sizes)]
        pieces.append(pcm[place : place + size])
        place, number = place + size, number + 1
    return pieces


@settings(max_examples=30)
@given(st.lists(st.integers(1, 100_000) | st.integers(1, 700), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
@example([1], 0)
@example([639], 0)
@example([100_000], 1)
def test_any_chunking_gives_what_the_detector_gives_for_the_whole(
    model: ServedModel, sizes: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.random(30) < 0.3, 1600)  # 3 s, of which some tenths are loud
    audio = (rng.uniform(-1, 1, len(loud)) * np.where(loud, 32_000, 30)).astype(np.int16)
    whole = [("loud", round(1000 * hit.time_s)) for hit in model.detector().process(audio)]
    heard = hits_of(Listener([model], keep_recent=False), cut(audio.tobytes(), sizes, 2))
    assert heard == whole


@settings(max_examples=60)
@given(
    st.binary(max_size=4000),
    st.sampled_from([8_000, 11_025, 16_000, 44_100, 192_000]),
    st.sampled_from([1, 2, 3, 4]),
    st.integers(1, 8),
)
def test_any_bytes_are_audio_that_is_finite_and_in_range(data: bytes, rate: int, width: int, channels: int) -> None:
    """Integers know no NaN, whatever a client sends; nor may the resampler overshoot."""
    form = AudioForm(rate, width, channels)
    stream = AudioStream()
    whole = data[: len(data) // (width * channels) * width * channels]
    audio = np.concatenate([stream.convert(whole, form), stream.finish()])
    assert np.isfinite(audio).all()
    assert np.abs(audio).max(initial=0.0) <= 1.0


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_is_heard_at_the_same_moment(tmp_path: Path, width: int) -> None:
    wide = np.frombuffer(loud_after_silence(), "<i2").astype("<i4") << 16
    pcm = wide.view(np.uint8).reshape(-1, 4)[:, 4 - width :].tobytes()

    async def scenario() -> list[Event]:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            for start in range(0, len(pcm), 1000 * width):
                piece = pcm[start : start + 1000 * width]
                await client.write_event(AudioChunk(rate=16_000, width=width, channels=1, audio=piece).event())
            return await answers(client)

    (hit,) = asyncio.run(scenario())
    assert hit.type == "detection"
    assert LOUD_MS < hit.data["timestamp"] < LOUD_MS + 400


def test_events_out_of_order(tmp_path: Path) -> None:
    """Audio without a start, stops without audio, two starts: what docs/deploying.md says."""
    stop, start = AudioStop().event(), AudioStart(rate=16_000, width=2, channels=1).event()
    loud = AudioChunk(rate=16_000, width=2, channels=1, audio=loud_after_silence()).event()
    quiet = AudioChunk(rate=16_000, width=2, channels=1, audio=bytes(3200)).event()
    steps = {
        "a stop before anything": ([stop], ["not-detected"]),
        "audio before a start": ([loud], ["detection"]),
        "a stop after a detection": ([stop], []),
        "a second stop": ([stop], []),
        "two starts": ([start, start, stop], ["not-detected"]),
        "empty audio": ([AudioChunk(rate=16_000, width=2, channels=1, audio=b"").event(), stop], ["not-detected"]),
        "an end without a stop": ([start, quiet], []),
    }

    async def scenario() -> dict[str, list[str]]:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            got: dict[str, list[str]] = {}
            for name, (events, _) in steps.items():
                for event in events:
                    await client.write_event(event)
                got[name] = [answer.type for answer in await answers(client)]
            return got

    assert asyncio.run(scenario()) == {name: expected for name, (_, expected) in steps.items()}


def square(seconds: float) -> np.ndarray:
    return np.where(np.arange(round(16_000 * seconds)) // 20 % 2, 32_767, -32_768).astype("<i2")


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_ten_minutes_of_silence_leave_no_trace(model: ServedModel, rate: int) -> None:
    """After a loud tone, too, no denormal number stays in what the model gets, with which processors are slow."""
    form = AudioForm(rate, 2, 1)
    stream = AudioStream()
    tone = stream.convert(square(0.5).tobytes(), form)
    assert 0.9 < np.abs(tone).max() <= 1.0, "the resampler's overshoot is cut off"
    silence = [stream.convert(bytes(2 * rate), form) for _ in range(20)]
    for second in silence[1:]:
        tiny = np.abs(second[second != 0])
        assert tiny.min(initial=1.0) > np.finfo(np.float32).tiny

    listener = Listener([model], keep_recent=True)
    for _ in range(600):
        assert listener.take(bytes(2 * rate), form, None).hits == []
    assert [name for name, _ in hits_after(listener, square(1.0), rate)] == ["loud"]


def hits_after(listener: Listener, audio: np.ndarray, rate: int) -> list[tuple[str, int]]:
    form = AudioForm(rate, 2, 1)
    return [*listener.take(audio.tobytes(), form, None).hits, *listener.stop().hits]


def test_a_square_wave_at_full_scale_is_one_event(model: ServedModel) -> None:
    assert [name for name, _ in hits_of(Listener([model], keep_recent=True), [square(30.0).tobytes()])] == ["loud"]


def test_times_are_exact_after_an_hour(model: ServedModel) -> None:
    """Bursts at known samples: their times are whole steps, however long the stream is; nothing piles up."""
    second = np.zeros(16_000, np.int16)
    burst = second.copy()
    burst[6400:9600] = 20_000
    listener = Listener([model], keep_recent=True)
    listener.start(None)
    heard: list[int] = []
    for number in range(3600):
        pcm = (burst if number % 600 == 0 else second).tobytes()
        heard += [ms for _, ms in listener.take(pcm, MONO, None).hits]
    first = heard[0]
    assert heard == [first + 600_000 * number for number in range(6)]
    assert 400 < first < 600


def test_a_model_file_that_is_replaced_broken_or_gone_is_served_on(tmp_path: Path) -> None:
    """Models are read at the start, whole; what happens to the files later is nothing to clients, old or new."""

    async def scenario() -> list[list[str]]:
        heard: list[list[str]] = []
        async with running(two_models(tmp_path), limits=Limits(burst_s=100)) as server, client_of(server) as old:
            changes = [
                lambda file: None,
                lambda file: file.write_bytes(tiny_bytes(tiny_card(phrase="another", threshold=0.99))),
                lambda file: file.write_bytes(b"broken"),
                lambda file: file.unlink(),
            ]
            for change in changes:
                change(tmp_path / "loud_noise.onnx")
                async with client_of(server) as new:
                    for client in (old, new):
                        await say(client, loud_after_silence())
                        heard.append([str(event.data.get("name")) for event in await answers(client)])
        return heard

    assert asyncio.run(scenario()) == [["loud_noise"]] * 8
