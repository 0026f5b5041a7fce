"""Whether a model for ESPHome's micro_wake_word will boot on a device, and why not (docs/lint.md)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wakelark.errors import ModelError
from wakelark.runtime.model_file import read_model_file
from wakelark.tflite.findings import Finding, ModelLint, error, warning
from wakelark.tflite.lint_manifest import lint_manifest
from wakelark.tflite.lint_model import lint_model
from wakelark.tflite.manifest import arena_for
from wakelark.tflite.schema import MAGIC
from wakelark.tflite.tflm import MOST_ARENA_BYTES

MOST_MANIFEST_BYTES = 2**20
SMALLEST_ARENA_SHARE = 0.75
"""A 32-bit chip's pointers are half as long as those here, which is at most this much of an arena. Less than that will
not do on any device."""


@dataclass(frozen=True, slots=True)
class Lint:
    """What is to be said about a manifest with its model, or about a model alone.

    Attributes:
        path: of what was asked about.
        model_path: of the model, where there is one.
        findings: the fatal ones first.
        model: about the model; None when there was none to look at.
    """

    path: Path
    model_path: Path | None
    findings: list[Finding]
    model: ModelLint | None

    @property
    def boots(self) -> bool:
        """Whether a device runs it."""
        return not any(finding.fatal for finding in self.findings)


def lint_file(path: Path) -> Lint:
    """Look at a manifest (`.json`) and its model, or at a model (`.tflite`).

    Args:
        path: of the file; it may be hostile.

    Raises:
        ModelError: there is no such file, or it cannot be read.
    """
    data = _read(path)
    if data[4:8] == MAGIC or path.suffix.lower() == ".tflite":
        model = lint_model(data)
        return Lint(path, path, _sorted(model.findings), model)
    if len(data) > MOST_MANIFEST_BYTES:
        what = f"has {len(data):,} bytes"
        return Lint(path, None, [error("the file", what, "give a manifest (.json) or a model (.tflite)")], None)
    manifest = lint_manifest(data)
    findings = list(manifest.findings)
    if path.suffix.lower() != ".json":
        findings.append(
            error("the file", f"is called {path.name}", "ESPHome wants a manifest whose name ends in .json")
        )
    if manifest.model is None:
        return Lint(path, None, _sorted(findings), None)
    model_path = path.parent / manifest.model
    try:
        model = lint_model(_read(model_path))
    except ModelError as missing:
        findings.append(error("model", str(missing), "put the .tflite file that the manifest names beside it"))
        return Lint(path, model_path, _sorted(findings), None)
    findings += model.findings
    findings += _arena(manifest.arena_bytes, model)
    return Lint(path, model_path, _sorted(findings), model)


def _arena(asked_bytes: int | None, model: ModelLint) -> list[Finding]:
    needed = model.arena.smallest_bytes if model.arena is not None else None
    if asked_bytes is None or needed is None:
        return []
    where, remedy = "micro.tensor_arena_size", f"set it to {arena_for(needed)}"
    what = f"is {asked_bytes:,}, and the model needs {needed:,} bytes on this machine"
    if asked_bytes < SMALLEST_ARENA_SHARE * needed:
        return [error(where, what, remedy)]
    if asked_bytes < needed:
        return [warning(where, f"{what}, somewhat less on a 32-bit chip", remedy)]
    if asked_bytes > MOST_ARENA_BYTES:
        return [error(where, f"{what}; no device has that much memory", remedy)]
    return []


def _read(path: Path) -> bytes:
    # Not Path's own methods, which raise for a name that is too long.
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ModelError(f"{path} is no file but a device or a pipe; give a manifest (.json) or a model (.tflite)")
    return read_model_file(path)


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: not finding.fatal)
