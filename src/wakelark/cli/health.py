"""The checks of `wakelark doctor`, each looking at one thing."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wakelark.errors import WakelarkError

if TYPE_CHECKING:
    from wakelark.config import Config

Status = Literal["ok", "warn", "fail"]

_RUNS_WITHOUT = {
    "train": "models can be run but not trained",
    "mic": "`wakelark listen` cannot hear",
    "tensorboard": "no TensorBoard logs",
    "dev": "the tests cannot run",
}
"""What is missing without an extra. An extra that is not named here is reported with its packages alone."""
_LITTLE_DISK_MB, _SOME_DISK_MB = 500, 5000


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: "ok", "warn" (something is not possible here) or "fail" (wakelark does not work)."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def examine(config: Path | None) -> list[Check]:
    """All checks, in the order in which a user would mend them."""
    checks = [check_python(), *check_packages()]
    parts: tuple[tuple[str, Callable[[], list[Check]]], ...] = (
        ("torch", check_torch),
        ("voices", check_engines),
        ("recordings", check_recordings),
        ("disk", check_disk),
        ("microphone", check_microphone),
    )
    for name, part in parts:
        try:
            checks += part()
        except ModuleNotFoundError as error:
            checks.append(
                Check(name, "warn", f"not looked at: the package {error.name} is missing", pip_remedy("train"))
            )
    return checks + (check_config(config) if config is not None else [])


def check_python() -> Check:
    """The interpreter."""
    return Check("python", "ok", ".".join(map(str, sys.version_info[:3])))


def check_packages() -> list[Check]:
    """One check for the base install and one per extra, from what the installed wakelark itself asks for."""
    wanted: dict[str, list[str]] = {}
    for requirement in importlib.metadata.requires("wakelark") or []:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        extra = re.search(r"extra == ['\"]([^'\"]+)", requirement)
        if name is not None and name.group() != "wakelark":
            wanted.setdefault(extra.group(1) if extra else "", []).append(name.group())
    checks = []
    for extra, names in wanted.items():
        versions = {name: _version(name) for name in names}
        absent = [name for name, version in versions.items() if version is None]
        label = f"packages [{extra}]" if extra else "packages"
        if absent:
            without = f"; {_RUNS_WITHOUT[extra]}" if extra in _RUNS_WITHOUT else ""
            remedy = pip_remedy(extra) if extra else "pip install wakelark"
            checks.append(Check(label, "warn" if extra else "fail", f"missing: {', '.join(absent)}{without}", remedy))
        else:
            checks.append(Check(label, "ok", ", ".join(f"{name} {version}" for name, version in versions.items())))
    return checks


def check_torch() -> list[Check]:
    """The torch build, and whether it loads and finds a GPU."""
    import torch

    if torch.cuda.is_available():
        return [Check("torch", "ok", f"{torch.__version__}, CUDA on {torch.cuda.get_device_name()}")]
    if torch.version.cuda is not None:
        remedy = "nothing to do; a CPU build of torch would save some GB of disk"
        return [Check("torch", "ok", f"{torch.__version__}, a CUDA build on a machine without a usable GPU", remedy)]
    return [Check("torch", "ok", f"{torch.__version__}, on the CPU ({torch.get_num_threads()} threads)")]


def check_engines() -> list[Check]:
    """Which synthesis engines speak here. Without any, nothing can be trained; without a natural one it works badly."""
    from wakelark.config import Config
    from wakelark.corpus.engines import find_engines

    available, missing = find_engines(None)
    checks = []
    for name, engine in available.items():
        voices = len(engine.voices(Config().language))
        checks.append(Check(f"voices: {name}", "ok", f"{engine.source}, {voices} voices for {Config().language}"))
    for name, reason in missing.items():
        what, _, remedy = reason.partition(";")
        checks.append(Check(f"voices: {name}", "fail" if name == "espeak" else "warn", what, remedy.strip()))
    if not {"kokoro", "piper", "flite"} & set(available):
        detail = "only espeak speaks here: detectors will miss many real people"
        checks.append(Check("voices", "warn", detail, pip_remedy("train")))
    return checks


def check_recordings() -> list[Check]:
    """Hours per role, and the largest complete set."""
    from wakelark.corpus.packages import ROLES, SIZES
    from wakelark.corpus.recordings import missing, streams

    there = streams()
    hours = {role: sum(s.seconds for s in there if s.role == role) / 3600 for role in ROLES}
    detail = ", ".join(f"{role} {value:.2f} h" for role, value in hours.items())
    complete = [size for size in SIZES if not missing(size)]
    if complete:
        return [Check("recordings", "ok", f"{detail}; the {complete[-1]} set is complete")]
    if there:
        return [Check("recordings", "warn", f"{detail}; no set is complete", "wakelark fetch")]
    remedy = "wakelark fetch (`train` does it too), or bring your own with --negatives DIR"
    return [Check("recordings", "warn", "none fetched yet", remedy)]


def check_disk() -> list[Check]:
    """Free space and permission where the cache is."""
    from wakelark.corpus.cache import cache_folder

    folder = cache_folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free_mb = shutil.disk_usage(existing).free // 1_000_000
    try:
        probe = existing / ".wakelark-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        remedy = "name a folder of yours with WAKELARK_CACHE"
        return [Check("cache", "fail", f"{folder} cannot be written: {error.strerror}", remedy)]
    detail = f"{free_mb} MB free in {folder}"
    if free_mb < _LITTLE_DISK_MB:
        return [Check("cache", "fail", detail, "free some disk space or name another folder with WAKELARK_CACHE")]
    if free_mb < _SOME_DISK_MB:
        return [Check("cache", "warn", detail, "the thorough recordings and their features need about 5 GB")]
    return [Check("cache", "ok", detail)]


def check_microphone() -> list[Check]:
    """Whether there is an input device for `wakelark listen`."""
    try:
        import sounddevice
    except OSError:  # the package is there, the system library is not
        return [Check("microphone", "warn", "the PortAudio library is missing", "sudo apt install libportaudio2")]
    except ModuleNotFoundError:
        return [Check("microphone", "warn", "the package sounddevice is missing", pip_remedy("mic"))]
    inputs = [device["name"] for device in sounddevice.query_devices() if device["max_input_channels"] > 0]
    if not inputs:
        return [Check("microphone", "warn", "no input device", "plug one in; check the system's sound settings")]
    return [Check("microphone", "ok", ", ".join(inputs))]


def check_config(path: Path) -> list[Check]:
    """Whether a configuration file can be used."""
    from wakelark.config_file import load_config

    try:
        settings = load_config(path, overrides=[], preset=None)
    except WakelarkError as error:
        return [Check("configuration", "fail", str(error), "correct the file; docs/configuration.md lists every key")]
    checks = [Check("configuration", "ok", f"{path}: phrase {settings.phrase!r}, preset {settings.preset}")]
    try:
        return checks + check_sizes(settings)
    except ModuleNotFoundError as error:
        return [*checks, Check("sizes", "warn", f"not known: the package {error.name} is missing", pip_remedy("train"))]
    except WakelarkError as error:
        return [*checks, Check("sizes", "fail", str(error), "correct the file; docs/configuration.md lists every key")]


def check_sizes(settings: Config) -> list[Check]:
    """How large the models of a configuration will be, per target."""
    from wakelark.pipeline.micro import check_micro
    from wakelark.pipeline.sizes import file_sizes

    sizes = file_sizes(settings)
    checks = [
        Check(f"sizes: {target}", "ok", ", ".join(size.text for size in sizes if size.target == target))
        for target in dict.fromkeys(size.target for size in sizes)
    ]
    footprint = check_micro(settings)
    return checks + ([Check("sizes: esphome", "ok", footprint.text)] if footprint else [])


def pip_remedy(extra: str) -> str:
    """The command that brings an extra."""
    return f'pip install "wakelark[{extra}]" (in a clone: pip install -e ".[{extra}]")'


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
