"""`wakelark serve` as a process: its start line, its signals, its exit codes; the files in deploy/ name it rightly."""

from __future__ import annotations

import asyncio
import configparser
import inspect
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from wyoming.audio import AudioChunk, AudioStop
from wyoming.event import Event, read_event, write_event
from wyoming.info import Describe, Info

from wakelark.cli.serve import serve
from wakelark.errors import ConfigError
from wakelark.serve.discovery import service
from wakelark.serve.models import FiresAt, load_models
from wakelark.serve.server import Address

from .judged_pair import write_pair
from .tiny_model import write_tiny_model
from .wyoming_server import answers, client_of, loud_after_silence, running, say

REPOSITORY = Path(__file__).resolve().parents[1]
DEPLOY = REPOSITORY / "deploy"


def start(*words: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "wakelark", "serve", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_it_says_where_it_listens_and_stops_at_a_signal(tmp_path: Path) -> None:
    process = start(write_tiny_model(tmp_path / "model.onnx"), "--uri", "tcp://127.0.0.1:0", "--json")
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert told["models"] == [{"name": "loud_noise", "phrase": "loud noise", "threshold": 0.5}]
    address = Address.parse(told["uri"])
    with socket.create_connection((address.host, address.port), timeout=5) as client:
        with client.makefile("rwb") as file:
            write_event(Describe().event(), file)
            event = read_event(file)
            assert event is not None
            assert event.type == "info"
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=10)
    assert process.returncode == 0
    assert b'serving loud_noise ("loud noise", 0.50)' in error
    assert b"Traceback" not in error


def test_standard_input_and_output_are_one_client(tmp_path: Path) -> None:
    process = start(write_tiny_model(tmp_path / "model.onnx"), "--uri", "stdio://")
    assert process.stdin is not None
    assert process.stdout is not None
    write_event(Event("ping", {"text": "hello"}), process.stdin)
    event = read_event(process.stdout)  # pyright: ignore[reportArgumentType]
    process.stdin.close()
    assert process.wait(10) == 0
    assert event is not None
    assert event.data["text"] == "hello"
    process.stdout.close()
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


def test_a_broken_model_and_a_taken_port_have_their_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    broken = start(tmp_path / "broken.onnx")
    _, error = broken.communicate(timeout=20)
    assert (broken.returncode, b"is not a usable ONNX model" in error) == (4, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = start(write_tiny_model(tmp_path / "model.onnx"), "--uri", f"tcp://127.0.0.1:{port}")
        _, error = busy.communicate(timeout=20)
    assert (busy.returncode, b"another program already listens" in error) == (6, True)


def test_more_clients_than_open_files_are_refused_at_the_start(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model.onnx")
    words = [sys.executable, "-m", "wakelark", "serve", str(model), "--uri", "tcp://127.0.0.1:0"]

    def run(clients: int, limits: str) -> tuple[int, str]:
        # As a shell would: the limit of a child, not of the tests.
        command = f"{limits}; exec {shlex.join([*words, '--max-clients', str(clients)])}"
        with subprocess.Popen(["sh", "-c", command], stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            line = process.stderr.readline().decode()
            if "serving" in line:
                process.send_signal(signal.SIGTERM)
            process.wait(10)
        return process.returncode, line

    code, line = run(400, "ulimit -n 256")
    assert (code, "--max-clients 400 needs 500 open files, and this system allows 256" in line) == (2, True)
    code, line = run(400, "ulimit -Sn 256")  # what a user may raise is raised
    assert (code, "serving" in line) == (0, True)


def asked(uri: str) -> tuple[str, str]:
    """The version of the only model, as a new client is told it, and the answer to a tone that scores 0.61."""
    address = Address.parse(uri)
    audio = AudioChunk(rate=16_000, width=2, channels=1, audio=loud_after_silence(0.35))
    with (
        socket.create_connection((address.host, address.port), timeout=5) as client,
        client.makefile("rwb") as file,
    ):
        for event in (Describe().event(), audio.event(), AudioStop().event()):
            write_event(event, file)
        told, answer = read_event(file), read_event(file)
        assert told is not None
        assert answer is not None
        return Info.from_event(told).wake[0].models[0].version or "", answer.type


def until(process: subprocess.Popen[bytes], words: bytes) -> None:
    """Read stderr up to a line with these words."""
    assert process.stderr is not None
    while words not in (line := process.stderr.readline()):
        assert line, f"the server ended without {words!r}"


def test_hangup_loads_all_models_again_or_none(tmp_path: Path) -> None:
    file = write_tiny_model(tmp_path / "wake.onnx")
    process = start("--custom-model-dir", tmp_path, "--uri", "tcp://127.0.0.1:0", "--json")
    assert process.stdout is not None
    uri = json.loads(process.stdout.readline())["uri"]
    until(process, b"Ctrl-C stops")
    first = asked(uri)
    assert first[1] == "detection"

    file.write_bytes(b"half a model")
    process.send_signal(signal.SIGHUP)
    until(process, b"the old ones are served on")
    assert asked(uri) == first

    write_tiny_model(file, threshold=0.75)
    address = Address.parse(uri)
    with socket.create_connection((address.host, address.port), timeout=5) as old, old.makefile("rwb") as said:
        write_event(Describe().event(), said)
        assert read_event(said) is not None
        process.send_signal(signal.SIGHUP)
        until(process, b'loaded again: wake ("loud noise", 0.75)')
        assert read_event(said) is None, "it is disconnected, so that it comes back to the new model"
    version, answer = asked(uri)
    assert (version != first[0], answer) == (True, "not-detected")

    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=10)
    assert (process.returncode, b"Traceback" in error) == (0, False)


def test_only_this_machine_can_connect_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    default = inspect.signature(serve).parameters["uri"].default
    assert Address.parse(default).is_loopback
    open_to_all = start(write_tiny_model(tmp_path / "model.onnx"), "--uri", "tcp://0.0.0.0:0")
    until(open_to_all, b"anybody on the network can connect")
    open_to_all.send_signal(signal.SIGTERM)
    open_to_all.communicate(timeout=10)
    assert open_to_all.returncode == 0


def test_a_judge_is_shared_and_has_the_last_word(tmp_path: Path) -> None:
    tiny, judge = write_pair(tmp_path)
    (model,) = load_models([tiny], judges=[judge], fires_at=FiresAt(preset="strict"))
    assert (model.is_judged, model.knows_judge, model.fires_at) == (True, True, 0.6)

    async def scenario() -> list[str]:
        async with running([model]) as server, client_of(server) as client:
            await say(client, loud_after_silence(0.95))
            return [event.type for event in await answers(client)]

    assert asyncio.run(scenario()) == ["detection"]
    (first, second) = model.detector(), model.detector()
    assert first.judge is not None
    assert first.judge is not second.judge


def test_zeroconf_announces_only_what_others_can_reach() -> None:
    announced = service("kitchen", Address.parse("tcp://192.0.2.7:10400"))
    assert announced.name == "kitchen._wyoming._tcp.local."
    assert (announced.port, announced.addresses) == (10400, [bytes([192, 0, 2, 7])])
    with pytest.raises(ConfigError, match="cannot reach"):
        service("kitchen", Address.parse("tcp://127.0.0.1:10400"))
    with pytest.raises(ConfigError, match="without dots"):
        service("kitchen.local", Address.parse("tcp://192.0.2.7:10400"))


def options_of_serve() -> set[str]:
    app = typer.Typer(add_completion=False)
    app.command()(serve)
    parameters = typer.main.get_command(app).params
    return {option for parameter in parameters for option in parameter.opts if option.startswith("--")}


def deployed_commands() -> dict[str, list[str]]:
    """What each file of deploy/ runs, without the program's path."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    unit.read(DEPLOY / "wakelark.service")
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    entry = re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", dockerfile, re.MULTILINE)
    assert len(entry) == 2
    docker = [word for part in entry for word in json.loads(part)]
    return {
        "wakelark.service": shlex.split(unit["Service"]["ExecStart"])[1:],
        "compose.yaml": ["serve", *map(str, compose["services"]["wakelark"]["command"])],
        "Dockerfile": docker[1:],
    }


@pytest.mark.parametrize("name", ["wakelark.service", "compose.yaml", "Dockerfile"])
def test_the_commands_in_deploy_exist(name: str) -> None:
    verb, *words = deployed_commands()[name]
    assert verb == "serve"
    assert {word for word in words if word.startswith("--")} <= options_of_serve()
    assert Address.parse(words[words.index("--uri") + 1]).port == 10400


def test_the_commands_in_the_deployment_page_exist() -> None:
    text = (REPOSITORY / "docs" / "deploying.md").read_text(encoding="utf-8")
    commands = re.findall(r"^wakelark serve (.*?)(?:#.*)?$", text, re.MULTILINE)
    assert len(commands) >= 3
    used = {word for command in commands for word in command.split() if word.startswith("--")}
    assert used <= options_of_serve()
    assert options_of_serve() - {"--help"} <= set(re.findall(r"`(--[a-z-]+)", text)), "every option has its row"


def test_compose_publishes_the_port_that_the_dockerfile_exposes() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    assert compose["services"]["wakelark"]["ports"] == ["10400:10400"]
    assert "EXPOSE 10400" in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
