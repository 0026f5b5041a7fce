"""Checkpoints that survive a crash at any moment: safetensors and JSON, no pickle.

A checkpoint is a folder `step-00001200`. It is written as `.tmp-<random>`, every file flushed to the disk,
`manifest.json` with the size and sha256 of every file last, and then renamed. The newest one is found by looking and
by verifying, never by a pointer.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from wakelark.errors import ModelError, SetupError

FORMAT_VERSION = 1
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """Everything a run needs to go on.

    Attributes:
        step: optimiser steps done.
        tensors: by file ("model", "ema", ...), then by name.
        progress: counters, history and figures; JSON values only.
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    progress: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
        folder: made when the first checkpoint is saved.
        keep: how many are kept; the best weights so far are inside each.
        report: is told in one line what was damaged, skipped or cleaned up.
    """

    def __init__(self, folder: Path, *, keep: int, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._keep = keep
        self._report = report

    def save(self, snapshot: Snapshot, identity: Mapping[str, object]) -> Path:
        """Write a checkpoint and remove those it makes superfluous.

        Args:
            snapshot: what is saved.
            identity: configuration, teacher, data and architecture the run belongs to; see `newest`.

        Raises:
            SetupError: the disk is full or cannot be written; earlier checkpoints are untouched.
        """
        files = _encode(snapshot, identity)
        temporary = self._folder / f".tmp-{uuid.uuid4().hex}"
        final = self._folder / f"step-{snapshot.step:08d}"
        try:
            temporary.mkdir(parents=True)
            for name, data in files.items():
                _write_through(temporary / name, data)
            _sync_folder(temporary)
            if final.exists():  # damaged, or from before a roll-back
                self._discard(final)
            os.rename(temporary, final)
            _sync_folder(self._folder)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise self._cannot_write(error, sum(map(len, files.values()))) from error
        self._prune(snapshot.step)
        return final

    def newest(self, identity: Mapping[str, object]) -> Snapshot | None:
        """The newest checkpoint that is undamaged, or None. Damaged ones are named to `report` and skipped.

        Raises:
            ModelError: it belongs to another configuration, teacher, data or architecture; every difference is named.
        """
        for stray in self._folder.glob(".tmp-*"):
            shutil.rmtree(stray, ignore_errors=True)
            self._report(f"removed {stray.name}: left by a save that was interrupted")
        for step in reversed(self._steps()):
            path = self._folder / f"step-{step:08d}"
            try:
                snapshot, found = _decode(path)
            except _DamagedError as error:
                self._report(f"checkpoint of step {step} is damaged ({error}) and is skipped")
                continue
            _check_identity(path, found, identity)
            return snapshot
        return None

    def _steps(self) -> list[int]:
        matches = [_NAME.fullmatch(path.name) for path in self._folder.glob("step-*")]
        return sorted(int(match.group(1)) for match in matches if match)

    def _prune(self, step: int) -> None:
        steps = self._steps()
        # Anything beyond this step was damaged or is from before a roll-back: the run writes it again.
        past = [other for other in steps if other > step]
        for other in past + [other for other in steps if other <= step][: -self._keep]:
            self._discard(self._folder / f"step-{other:08d}")

    def _discard(self, path: Path) -> None:
        """Remove a checkpoint such that a crash in between leaves no half of one under its name."""
        doomed = self._folder / f".tmp-{uuid.uuid4().hex}"
        os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _cannot_write(self, error: OSError, needed: int) -> SetupError:
        existing = next(folder for folder in (self._folder, *self._folder.absolute().parents) if folder.exists())
        free = shutil.disk_usage(existing).free
        return SetupError(
            f"cannot save a checkpoint in {self._folder}: {error.strerror} (it needs {needed / 1e6:.1f} MB, "
            f"{free / 1e6:.1f} MB are free). Earlier checkpoints are untouched: free some space and resume"
        )


class _DamagedError(Exception):
    """Says what is wrong with a checkpoint."""


def _encode(snapshot: Snapshot, identity: Mapping[str, object]) -> dict[str, bytes]:
    """The files of a checkpoint, `manifest.json` last."""
    from safetensors.torch import save

    files = {
        f"{stem}.safetensors": save({name: tensor.contiguous() for name, tensor in tensors.items()})
        for stem, tensors in snapshot.tensors.items()
    }
    state = {"step": snapshot.step, "progress": snapshot.progress, "identity": dict(identity)}
    files["state.json"] = json.dumps(state, indent=1).encode()
    digests = {name: {"bytes": len(data), "sha256": _digest(data)} for name, data in files.items()}
    files["manifest.json"] = json.dumps({"format": FORMAT_VERSION, "files": digests}, indent=1).encode()
    return files


def _decode(path: Path) -> tuple[Snapshot, dict[str, object]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    files = _read_verified(path)
    try:
        state = json.loads(files.pop("state.json"))
        tensors = {name.removesuffix(".safetensors"): load(data) for name, data in files.items()}
        snapshot = Snapshot(step=state["step"], tensors=tensors, progress=state["progress"])
        return snapshot, state["identity"]
    except (KeyError, ValueError, SafetensorError) as error:
        raise _DamagedError(f"unreadable content: {error}") from error


def _read_verified(path: Path) -> dict[str, bytes]:
    """All files of a checkpoint, each checked against the manifest."""
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
        version, listed = manifest["format"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _DamagedError("manifest.json is missing or unreadable") from error
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{path} has checkpoint format {version}, this version of wakelark reads {FORMAT_VERSION}: "
            f"resume with the version that wrote it, or start again in another folder"
        )
    files = {}
    for name, expected in listed.items():
        try:
            data = (path / Path(name).name).read_bytes()
        except OSError as error:
            raise _DamagedError(f"{name}: {error.strerror}") from error
        if _digest(data) != expected["sha256"]:
            raise _DamagedError(f"sha256 of {name}")
        files[name] = data
    return files


def _check_identity(path: Path, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    wanted = json.loads(json.dumps(dict(wanted)))  # tuples become lists, as in the file
    differences = [
        f"{name}: {found.get(name, 'absent')} in the checkpoint, {wanted.get(name, 'absent')} now"
        for name in sorted({*found, *wanted})
        if name not in found or name not in wanted or found[name] != wanted[name]
    ]
    if differences:
        raise ModelError(
            f"{path} belongs to another run and cannot be resumed:\n  "
            + "\n  ".join(differences)
            + "\nundo these changes, or train into another folder"
        )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_through(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
