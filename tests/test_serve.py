"""The Wyoming server, as the `wyoming` package's own client meets it over a real socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from wyoming.audio import AudioChunk, AudioStart
from wyoming.client import AsyncClient
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.wake import Detect, Detection

from wakelark.audio import read_audio
from wakelark.errors import BusyError, ConfigError, DataError, ModelError, SetupError
from wakelark.runtime.detector import Detector
from wakelark.serve.models import FiresAt, find_models, load_models
from wakelark.serve.server import Address, WakeServer
from wakelark.serve.triggers import TriggerFolder

from .tiny_model import write_tiny_model
from .wyoming_server import LOUD_MS, answers, client_of, loud_after_silence, running, say, two_models


def kinds(events: list[Event]) -> list[str]:
    return [event.type for event in events]


def detections(events: list[Event]) -> list[tuple[str | None, int | None]]:
    found = [Detection.from_event(event) for event in events if Detection.is_type(event.type)]
    return [(hit.name, hit.timestamp) for hit in found]


def test_describe_names_the_program_and_its_models(tmp_path: Path) -> None:
    async def scenario() -> Info:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            await client.write_event(Describe().event())
            event = await client.read_event()
            assert event is not None
            return Info.from_event(event)

    (program,) = asyncio.run(scenario()).wake
    assert (program.name, program.version, program.installed) == ("wakelark", "1.2.3", True)
    easy, hard = program.models
    assert (easy.name, easy.phrase, easy.languages) == ("loud_noise", "loud noise", ["en-us"])
    assert (hard.name, hard.phrase, hard.installed) == ("very_loud", "very loud", True)
    assert easy.version != hard.version
    assert program.attribution.name == "wakelark"


def test_a_detection_names_the_model_and_the_moment_the_detector_gives(tmp_path: Path) -> None:
    pcm = loud_after_silence()

    async def scenario() -> list[Event]:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            await say(client, pcm)
            return await answers(client)

    events = asyncio.run(scenario())
    (hit,) = Detector.load(tmp_path / "loud_noise.onnx").process(as_int16(pcm))
    assert kinds(events) == ["detection"]
    assert detections(events) == [("loud_noise", round(1000 * hit.time_s))]
    assert LOUD_MS < round(1000 * hit.time_s) < LOUD_MS + 400


def as_int16(pcm: bytes):
    import numpy as np

    return np.frombuffer(pcm, np.int16)


def test_the_time_of_a_detection_is_the_clients_own_when_it_gives_one(tmp_path: Path) -> None:
    async def scenario() -> tuple[list[Event], list[Event]]:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            await say(client, loud_after_silence())
            plain = await answers(client)
            await say(client, loud_after_silence(), timestamps=500_000)
            return plain, await answers(client)

    plain, stamped = map(detections, asyncio.run(scenario()))
    assert stamped[0][1] == pytest.approx((plain[0][1] or 0) + 500_000, abs=1)


def test_audio_stop_without_a_detection_is_answered(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            await say(client, bytes(32_000))
            return kinds(await answers(client))

    assert asyncio.run(scenario()) == ["not-detected"]


def test_audio_start_forgets_what_came_before(tmp_path: Path) -> None:
    """Each stream detects once, at the same moment; within one stream the refractory time would have stopped it."""

    async def scenario() -> list[Event]:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            for _ in range(3):
                await say(client, loud_after_silence())
            return await answers(client)

    hits = detections(asyncio.run(scenario()))
    assert len(hits) == 3
    assert len(set(hits)) == 1


@pytest.mark.parametrize(
    ("names", "heard"),
    [
        (None, ["loud_noise", "very_loud"]),
        ([], ["loud_noise", "very_loud"]),
        (["very_loud"], ["very_loud"]),
        (["Very Loud"], ["very_loud"]),
        (["hey_jarvis", "loud_noise"], ["loud_noise"]),
        (["hey_jarvis"], []),
    ],
)
def test_detect_selects_models(tmp_path: Path, names: list[str] | None, heard: list[str]) -> None:
    async def scenario() -> list[Event]:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            await client.write_event(Detect(names=names).event())
            await say(client, loud_after_silence(0.95))
            return await answers(client)

    events = asyncio.run(scenario())
    assert sorted(str(name) for name, _ in detections(events)) == heard
    assert ("not-detected" in kinds(events)) == (not heard)


def test_detect_can_change_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    """The model that joins in late tells times of the whole stream, not of its own."""
    pcm = loud_after_silence(0.95)

    async def scenario() -> list[Event]:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            await client.write_event(Detect(names=["loud_noise"]).event())
            await client.write_event(AudioStart(rate=16_000, width=2, channels=1).event())
            await client.write_event(AudioChunk(rate=16_000, width=2, channels=1, audio=pcm[:16_000]).event())
            await client.write_event(Detect(names=["very_loud"]).event())
            await client.write_event(AudioChunk(rate=16_000, width=2, channels=1, audio=pcm[16_000:]).event())
            return await answers(client)

    ((name, milliseconds),) = detections(asyncio.run(scenario()))
    assert name == "very_loud"
    assert LOUD_MS < (milliseconds or 0) < LOUD_MS + 400


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2), (48_000, 1), (16_000, 2)])
def test_any_form_of_audio_is_heard_at_the_same_moment(tmp_path: Path, rate: int, channels: int) -> None:
    async def scenario() -> list[Event]:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            await say(client, loud_after_silence())
            await say(client, loud_after_silence(rate=rate, channels=channels), rate=rate, channels=channels, size=4096)
            return await answers(client)

    first, second = detections(asyncio.run(scenario()))
    assert first[0] == second[0]
    assert abs((first[1] or 0) - (second[1] or 0)) <= 40  # a step


def test_the_form_of_audio_may_change_between_two_chunks(tmp_path: Path) -> None:
    quiet, loud = loud_after_silence(rate=48_000)[:96_000], loud_after_silence()[32_000:]

    async def scenario() -> list[Event]:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            await client.write_event(AudioChunk(rate=48_000, width=2, channels=1, audio=quiet).event())
            await client.write_event(AudioChunk(rate=16_000, width=2, channels=1, audio=loud).event())
            return await answers(client)

    ((_, milliseconds),) = detections(asyncio.run(scenario()))
    assert LOUD_MS < (milliseconds or 0) < LOUD_MS + 400


def test_many_clients_hear_only_themselves(tmp_path: Path) -> None:
    """Eight at once, every other one silent: states do not mix."""

    async def one(client: AsyncClient, *, loud: bool) -> list[str]:
        async with client:
            await say(client, loud_after_silence() if loud else bytes(64_000))
            return kinds(await answers(client))

    async def scenario() -> list[list[str]]:
        async with running(two_models(tmp_path)) as server:
            return await asyncio.gather(*(one(client_of(server), loud=number % 2 == 0) for number in range(8)))

    assert asyncio.run(scenario()) == [["detection"], ["not-detected"]] * 4


def test_ping_and_what_is_not_known(tmp_path: Path) -> None:
    async def scenario() -> Event | None:
        async with running(two_models(tmp_path)) as server, client_of(server) as client:
            await client.write_event(Event("transcribe", {"name": "x"}))
            await client.write_event(Event("ping", {"text": "are you there"}))
            return await client.read_event()

    event = asyncio.run(scenario())
    assert event is not None
    assert (event.type, event.data["text"]) == ("pong", "are you there")


def test_a_unix_socket_serves_too_and_leaves_no_file(tmp_path: Path) -> None:
    address = Address.parse(f"unix://{tmp_path}/wake.sock")

    async def scenario() -> list[str]:
        async with WakeServer(two_models(tmp_path), address, version="1", workers=1) as server:
            with pytest.raises(BusyError, match="already listens"):
                await WakeServer([], address, version="1").__aenter__()
            async with AsyncClient.from_uri(server.address.uri) as client:
                await say(client, bytes(3200))
                return kinds(await answers(client))

    assert asyncio.run(scenario()) == ["not-detected"]
    assert not (tmp_path / "wake.sock").exists()


def test_the_socket_of_a_killed_server_is_taken_over(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "wake.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def scenario() -> None:
        async with WakeServer([], Address.parse(f"unix://{path}"), version="1", workers=1):
            assert path.exists()

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(two_models(tmp_path)) as first, WakeServer([], first.address, version="1"):
            pass

    with pytest.raises(BusyError, match="another program already listens"):
        asyncio.run(scenario())


def test_an_address_of_another_machine_is_refused() -> None:
    async def scenario() -> None:
        async with WakeServer([], Address.parse("tcp://192.0.2.1:10400"), version="1"):
            pass

    with pytest.raises(SetupError, match="cannot listen on tcp://192.0.2.1:10400"):
        asyncio.run(scenario())


@pytest.mark.parametrize("uri", ["tcp://127.0.0.1", "http://x:1", "tcp://x:99999", "10400", "unix://", "tcp://:5"])
def test_wrong_uris_are_usage_errors(uri: str) -> None:
    with pytest.raises(ConfigError, match="it looks like tcp://"):
        Address.parse(uri)


def test_triggers_are_kept_with_what_was_around_them(tmp_path: Path) -> None:
    folder = tmp_path / "triggers"

    async def scenario() -> None:
        kept = TriggerFolder(folder, free_bytes=0)
        async with running(two_models(tmp_path), triggers=kept) as server, client_of(server) as client:
            await say(client, loud_after_silence())
            await answers(client)
            # This one has no half second after it: what there is, is kept when the client stops.
            await say(client, loud_after_silence()[: 2 * (16_000 + 6400)])
            await answers(client)

    asyncio.run(scenario())
    first, second = sorted(folder.glob("*.wav"))
    told = json.loads(first.with_suffix(".json").read_text())
    assert (told["model"], told["phrase"], told["threshold"]) == ("loud_noise", "loud noise", 0.5)
    assert f"_loud_noise_{told['score']:.2f}" in first.name
    (heard,) = Detector.load(tmp_path / "loud_noise.onnx").process(read_audio(first, max_seconds=None))
    assert heard.phrase == "loud noise"
    assert 1.5 < len(read_audio(first, max_seconds=None)) / 16_000 <= 3.5
    assert len(read_audio(second, max_seconds=None)) == 16_000 + 6400


def test_a_trigger_is_found_inside_a_long_chunk(tmp_path: Path) -> None:
    """The phrase is at the beginning of 20 s that come as one message."""
    kept = TriggerFolder(tmp_path / "triggers", free_bytes=0)
    pcm = loud_after_silence() + bytes(2 * 18 * 16_000)

    async def scenario() -> None:
        async with running(two_models(tmp_path), triggers=kept) as server, client_of(server) as client:
            await say(client, pcm, size=len(pcm))
            await answers(client)

    asyncio.run(scenario())
    (saved,) = kept.folder.glob("*.wav")
    assert float(abs(read_audio(saved, max_seconds=None)).max()) > 0.3


def test_the_oldest_triggers_go_first_and_no_other_file(tmp_path: Path) -> None:
    from wakelark.audio import Float32Array, write_wav
    from wakelark.runtime.detector import Detection as Hit
    from wakelark.serve.triggers import Trigger

    audio: Float32Array = as_int16(loud_after_silence()).astype("float32") / 32768
    (tmp_path / "t").mkdir()
    write_wav(tmp_path / "t" / "0 my own recording.wav", audio)
    folder = TriggerFolder(tmp_path / "t", max_files=2, free_bytes=0)
    saved = [folder.save(Trigger("m", Hit(1.0, 0.9, "p"), 0.5, audio)) for _ in range(4)]
    left = sorted(path.name for path in (tmp_path / "t").glob("*.wav"))
    assert left == ["0 my own recording.wav", *(path.name for path in saved[2:] if path is not None)]
    assert len(list((tmp_path / "t").glob("*.json"))) == 2

    by_size = TriggerFolder(tmp_path / "t", max_bytes=1, free_bytes=0)
    newest = by_size.save(Trigger("m", Hit(1.0, 0.9, "p"), 0.5, audio))
    assert newest is not None
    assert [path.name for path in sorted((tmp_path / "t").glob("2*.wav"))] == [newest.name]


def test_a_full_disk_keeps_no_trigger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from wakelark.runtime.detector import Detection as Hit
    from wakelark.serve.triggers import Trigger

    folder = TriggerFolder(tmp_path, free_bytes=2**62)
    trigger = Trigger("m", Hit(1.0, 0.9, "p"), 0.5, as_int16(bytes(640)).astype("float32"))
    assert folder.save(trigger) is None
    assert "GB free" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_models_are_called_as_their_file_or_as_their_phrase(tmp_path: Path) -> None:
    for name in ("hey_you.onnx", "model_tiny.onnx"):
        write_tiny_model(tmp_path / name)
    loaded = load_models(find_models([], [tmp_path]), judges=[], fires_at=FiresAt(threshold=0.7))
    assert [model.name for model in loaded] == ["hey_you", "loud_noise"]
    assert {model.fires_at for model in loaded} == {0.7}
    assert [model.name for model in loaded if model.answers_to("Loud-Noise ")] == ["hey_you", "loud_noise"]


def test_what_cannot_be_served_is_said(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model.onnx")
    twin = write_tiny_model(tmp_path / "model_tiny.onnx")
    other = write_tiny_model(tmp_path / "other.onnx", phrase="something else")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")

    with pytest.raises(ConfigError, match="both called 'loud_noise'"):
        load_models([model, twin], judges=[], fires_at=FiresAt())
    with pytest.raises(ConfigError, match="as no model to serve does"):
        load_models([model], judges=[other], fires_at=FiresAt())
    with pytest.raises(ConfigError, match="not both"):
        load_models([model], judges=[], fires_at=FiresAt(threshold=0.5, preset="strict"))
    with pytest.raises(ConfigError, match="needs a judge"):
        load_models([model], judges=[], fires_at=FiresAt(judge_threshold=0.5))
    with pytest.raises(ModelError, match=r"broken\.onnx is not a usable ONNX model"):
        load_models([broken], judges=[], fires_at=FiresAt())
    with pytest.raises(ConfigError, match="no model to serve"):
        find_models([], [])
    with pytest.raises(DataError, match="is no folder"):
        find_models([], [tmp_path / "missing"])


def test_refractory_seconds_replace_those_of_the_card(tmp_path: Path) -> None:
    (model,) = load_models(
        [write_tiny_model(tmp_path / "a.onnx")], judges=[], fires_at=FiresAt(refractory_s=0.1)
    )  # fmt: skip
    audio = as_int16(loud_after_silence())
    assert len(model.detector().process(audio.repeat(1))) == 1
    twice = as_int16(loud_after_silence()[32_000:] * 2)
    assert len(model.detector().process(twice)) == 2
    assert len(Detector.load(tmp_path / "a.onnx").process(twice)) == 1
