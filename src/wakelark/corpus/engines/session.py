"""ONNX Runtime for the corpus workers: one thread each, because every core already runs a worker."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _ort  # pyright: ignore[reportAttributeAccessIssue]

from wakelark.errors import SetupError

ORT_ERRORS: tuple[type[Exception], ...] = (
    _ort.Fail,
    _ort.InvalidArgument,
    _ort.InvalidGraph,
    _ort.InvalidProtobuf,
    _ort.NoModel,
    _ort.NoSuchFile,
    _ort.NotImplemented,
    _ort.RuntimeException,
)
"""What onnxruntime raises; they share no base class of their own."""


@cache
def one_thread_session(model: Path) -> onnxruntime.InferenceSession:
    """Open a model on one CPU thread; the same session for the same file in one process.

    Raises:
        SetupError: the file is missing or damaged.
    """
    return session_of(model, name=str(model))


def session_of(model: Path | bytes, *, name: str) -> onnxruntime.InferenceSession:
    """Open a model, from its file or from its bytes, on one CPU thread.

    Args:
        name: what an error calls it.

    Raises:
        SetupError: the file is missing or damaged.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )
    except ORT_ERRORS as error:
        raise SetupError(f"the voice model {name} does not load ({error}); delete it and fetch it again") from error
