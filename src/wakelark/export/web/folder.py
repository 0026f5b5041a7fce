"""Writes the folder: page, module, models with their cards, ONNX Runtime Web with its licence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from wakelark.corpus.cache import write_atomically
from wakelark.export.web.runtime_files import licence_files, runtime_files
from wakelark.model_card import ModelCard

PAGE_FILES = {
    "index.html": "the page: microphone, score trace, detections, recordings",
    "wakelark.js": "the module for your own pages: `Detector`, `Resampler`",
    "page.js": "what the page does",
    "page.css": "what the page looks like",
    "trace.js": "the curve",
    "recording.js": "reads recordings",
    "recorder.js": "the microphone's AudioWorklet",
}
RUNTIME_FOLDER = "ort"
MODELS = "models.json"


@dataclass(frozen=True, slots=True)
class WebModel:
    """A model of the page.

    Attributes:
        name: on the page's switch.
        file: its name in the folder.
        data: the ONNX file.
        card: what is inside it.
    """

    name: str
    file: str
    data: bytes
    card: ModelCard


def page_file(name: str) -> bytes:
    """One of `PAGE_FILES`."""
    return (files("wakelark.export.web") / "page" / name).read_bytes()


def write_folder(folder: Path, models: Sequence[WebModel]) -> dict[str, str]:
    """Fill a folder that any static web server can serve.

    Args:
        folder: exists.
        models: at least one; the page begins with the first.

    Returns:
        What every file is, by its path in the folder; models are not among them.

    Raises:
        SetupError: ONNX Runtime Web cannot be had, or the disk is full.
    """
    told = dict(PAGE_FILES)
    for name in PAGE_FILES:
        write_atomically(folder / name, page_file(name))
    for name, data in {**runtime_files(), **licence_files()}.items():
        place = f"{RUNTIME_FOLDER}/{name}"
        write_atomically(folder / place, data)
        told[place] = "ONNX Runtime Web's licence and notices" if name.endswith(".txt") else "ONNX Runtime Web"
    for model in models:
        write_atomically(folder / model.file, model.data)
        write_atomically(folder / f"{model.file}.json", model.card.to_json().encode())
        told[f"{model.file}.json"] = f"the card of {model.file}"
    listed = [{"name": model.name, "file": model.file} for model in models]
    write_atomically(folder / MODELS, json.dumps(listed, indent=1).encode())
    return told | {MODELS: "which models the page offers"}
