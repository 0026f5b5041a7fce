"""Reads model files of any kind, wakelark's or not, into memory."""

from __future__ import annotations

from pathlib import Path

from wakelark.errors import ModelError

MAX_MODEL_BYTES = 256 * 2**20


def read_model_file(path: str | Path) -> bytes:
    """The content of a model file of any kind.

    Raises:
        ModelError: no such file, unreadable, or too large.
    """
    file = Path(path)
    try:
        if file.is_dir():
            raise ModelError(f"{file} is a folder; name the model file in it, for instance {file / 'model.onnx'}")
        if (size := file.stat().st_size) > MAX_MODEL_BYTES:
            raise ModelError(f"{file} has {size / 2**20:.0f} MiB, a model at most {MAX_MODEL_BYTES // 2**20}")
        return file.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"no model file {file}: check the path, or make one with `wakelark train`") from error
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror}") from error
