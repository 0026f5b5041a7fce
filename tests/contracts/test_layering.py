"""Imports flow one way, from the phrase to the command line; the runtime sees next to nothing of the rest."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "wakelark"

ORDER = [
    "phrase",
    "corpus",
    "augment",
    "features",
    "models",
    "losses",
    "training",
    "evaluation",
    "export",
    "runtime",
    "tflite",
    "serve",
    "peers",
    "pipeline",
    "cli",
    "__main__",
]
COMMON = {"errors", "audio", "audio_header", "config", "config_file", "strict_yaml", "model_card", "card_json"}
"""Importable from everywhere; these import only one another."""

RUNTIME_SEES = {"runtime", "audio", "audio_header", "errors", "model_card", "card_json"}
SERVE_SEES = RUNTIME_SEES | {"serve"}
LIGHT_PARTS = SERVE_SEES
"""Parts that must work on the base install."""
LIGHT_PACKAGES = {"numpy", "onnxruntime", "soundfile", "soxr"}
WITH_AN_EXTRA = {
    "runtime.microphone": {"sounddevice"},
    "serve.audio_stream": {"wyoming"},
    "serve.client": {"wyoming"},
    "serve.discovery": {"zeroconf"},
    "serve.info": {"wyoming"},
    "serve.protocol": {"wyoming"},
    "serve.server": {"wyoming"},
}
"""Modules that may import, where it is used, what an extra brings."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Dotted name of a module in the package: `corpus.clip`; `corpus` for its `__init__`, empty for the package's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def part_of(name: str) -> str:
    return name.split(".")[0]


def imports(path: Path) -> Iterator[str]:
    """Absolute names of everything a module imports, also inside functions and under TYPE_CHECKING."""
    package = ["wakelark", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from wakelark import audio` imports a module, `from wakelark import Detector` a name of the package.
            yield from (f"wakelark.{alias.name}" if base == "wakelark" else base for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """The parts of wakelark that a module imports: `corpus`, `audio`, ..."""
    own = (name.removeprefix("wakelark.") for name in imports(path) if name.startswith("wakelark."))
    return {part_of(name) for name in own} - {"__version__"}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_imports_only_what_lies_before_it(path: Path) -> None:
    part = part_of(name_of(path))
    if part == "":
        allowed = {"runtime"}  # the public names, imported on first use
    elif part in COMMON:
        allowed = COMMON
    elif part == "runtime":
        allowed = RUNTIME_SEES
    elif part == "serve":
        allowed = SERVE_SEES
    else:
        assert part in ORDER, (
            f"{path.name} is a new part: give it its place in ORDER, the README's tree and docs/pipeline.md"
        )
        allowed = COMMON | set(ORDER[: ORDER.index(part) + 1])
    assert own_imports(path) <= allowed, f"wakelark.{name_of(path)} imports from the wrong direction"


@pytest.mark.parametrize("path", [p for p in modules() if part_of(name_of(p)) in LIGHT_PARTS], ids=name_of)
def test_light_modules_import_only_light_packages(path: Path) -> None:
    outside = {part_of(name) for name in imports(path)} - {"wakelark"} - set(sys.stdlib_module_names)
    assert outside <= LIGHT_PACKAGES | WITH_AN_EXTRA.get(name_of(path), set())
