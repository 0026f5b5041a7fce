"""`wakelark serve`: a Wyoming wake service. Flags that wyoming-openwakeword has are called as there."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wakelark import __version__
from wakelark.cli.options import JudgeThreshold, Preset, Threshold, say_if_unknown
from wakelark.cli.output import note
from wakelark.errors import ConfigError, SetupError, WakelarkError

if TYPE_CHECKING:
    from wakelark.serve.models import ServedModel
    from wakelark.serve.server import Address, WakeServer

_OTHER_FILES = 100
"""Open files besides the connections: libraries, models, triggers, those who are being turned away."""
_INSTALL = 'pip install "wakelark[wyoming]"'


def serve(
    models: Annotated[
        list[Path] | None, typer.Argument(help="model.onnx or model_tiny.onnx of runs.", metavar="MODEL...")
    ] = None,
    uri: Annotated[
        str, typer.Option(help="tcp://HOST:PORT, unix://PATH or stdio://; only this machine reaches the default.")
    ] = "tcp://127.0.0.1:10400",
    custom_model_dir: Annotated[
        list[Path] | None, typer.Option(help="Serve every wakelark .onnx file of this folder, too.", metavar="DIR")
    ] = None,
    threshold: Threshold = None,
    preset: Preset = None,
    judge: Annotated[
        list[Path] | None,
        typer.Option(help="A second model that checks what the model of its phrase hears.", metavar="MODEL2"),
    ] = None,
    judge_threshold: JudgeThreshold = None,
    refractory_seconds: Annotated[
        float | None, typer.Option(help="The score must stay low for so long before it fires again.", min=0.0)
    ] = None,
    zeroconf: Annotated[
        str | None, typer.Option(help="Announce the server by this name on the local network.", metavar="NAME")
    ] = None,
    save_triggers: Annotated[
        Path | None, typer.Option(help="Keep the seconds around each detection here, as WAV files.", metavar="DIR")
    ] = None,
    max_triggers: Annotated[int, typer.Option(help="Keep so many of them; the oldest go first.", min=1)] = 500,
    max_clients: Annotated[int, typer.Option(help="Connections at a time.", min=1)] = 64,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what clients do, as --debug does.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout when it listens.")] = False,
) -> None:
    """Serve wake words over the Wyoming protocol, to Home Assistant and satellites, until Ctrl-C or SIGTERM."""
    try:
        from wakelark.serve.models import FiresAt, find_models, load_models
        from wakelark.serve.protocol import Limits
        from wakelark.serve.server import Address, WakeServer
        from wakelark.serve.triggers import TriggerFolder
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("wakelark"):
            raise
        raise SetupError(f"serving needs the package {error.name}, which is not installed; {_INSTALL}") from error

    # --debug is the outermost command's, which takes it out of the words of every verb.
    level = logging.DEBUG if verbose or "--debug" in sys.argv else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("wakelark").setLevel(level)
    address = Address.parse(uri)
    if address.scheme == "stdio" and (json_output or zeroconf is not None):
        raise ConfigError("stdio:// is for one client: it goes with neither --json nor --zeroconf")
    fires_at = FiresAt(
        threshold=threshold, preset=preset, judge_threshold=judge_threshold, refractory_s=refractory_seconds
    )

    def load() -> list[ServedModel]:
        return load_models(find_models(models or [], custom_model_dir or []), judges=judge or [], fires_at=fires_at)

    served = load()
    for model in served:
        say_if_unknown(is_known=model.knows_judge)
    triggers = TriggerFolder(save_triggers, max_files=max_triggers) if save_triggers is not None else None
    _allow_connections(max_clients)
    # A quarter of the places is for others than the busiest address.
    limits = Limits(clients=max_clients, per_address=max_clients - max_clients // 4)
    server = WakeServer(served, address, version=__version__, limits=limits, triggers=triggers)
    asyncio.run(_serve(server, served, load, zeroconf=zeroconf, json_output=json_output))


def _allow_connections(clients: int) -> None:
    """Every connection is an open file; that there are too few should be known at the start, not in the rush hour.

    Raises:
        ConfigError: the system does not allow so many.
    """
    import resource  # not on Windows

    needed = clients + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigError(
            f"--max-clients {clients} needs {needed} open files, and this system allows {hard}; give a smaller number, "
            "or raise the limit (ulimit -n, or LimitNOFILE in systemd)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def _serve(
    server: WakeServer,
    models: list[ServedModel],
    load: Callable[[], list[ServedModel]],
    *,
    zeroconf: str | None,
    json_output: bool,
) -> None:
    """Run until a signal comes: the normal end of a server, hence exit code 0."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if server.address.scheme == "stdio":
        done = asyncio.ensure_future(server.serve_stdio())
        stop = asyncio.ensure_future(stopped.wait())
        await asyncio.wait([done, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        done.cancel() if not done.done() else done.result()
        return
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        if zeroconf is not None:
            await _announce(stack, zeroconf, server.address)
        reloading = asyncio.ensure_future(_reload_on_hangup(server, load))
        _say_ready(server.address, models, json_output=json_output)
        await stopped.wait()
        reloading.cancel()
        note("stopping")


async def _reload_on_hangup(server: WakeServer, load: Callable[[], list[ServedModel]]) -> None:
    """SIGHUP loads all models again. All of them or none: with a broken file, the old ones are served on."""
    wanted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, wanted.set)
    while True:
        await wanted.wait()
        wanted.clear()
        try:
            models = await asyncio.to_thread(load)
        except WakelarkError as error:
            note(f"the models are not loaded again, the old ones are served on: {error}")
            continue
        server.replace(models)
        note(f"loaded again: {_listed(models)}")


async def _announce(stack: AsyncExitStack, name: str, address: Address) -> None:
    try:
        from wakelark.serve.discovery import Announcement, service
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("wakelark"):
            raise
        raise SetupError(f"--zeroconf needs the package {error.name}, which is not installed; {_INSTALL}") from error
    await stack.enter_async_context(Announcement(service(name, address)))


def _say_ready(address: Address, models: list[ServedModel], *, json_output: bool) -> None:
    """The line that tells whoever started the server that it listens, and where."""
    if not address.is_loopback:
        note("anybody on the network can connect: the Wyoming protocol knows neither passwords nor encryption")
    if json_output:
        told = [
            {"name": model.name, "phrase": model.backend.card.phrase, "threshold": round(model.fires_at, 4)}
            for model in models
        ]
        print(json.dumps({"uri": address.uri, "models": told}), flush=True)
    note(f"serving {_listed(models)} on {address.uri}; Ctrl-C stops")


def _listed(models: list[ServedModel]) -> str:
    return ", ".join(f'{model.name} ("{model.backend.card.phrase}", {model.fires_at:.2f})' for model in models)
