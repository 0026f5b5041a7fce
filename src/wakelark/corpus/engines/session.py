"""ONNX Runtime for the corpus workers: one thread each, because every core already runs a worker."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from wakelark.errors import SetupError

if TYPE_CHECKING:
    import onnxruntime


@cache
def one_thread_session(model: Path) -> onnxruntime.InferenceSession:
    """Open a model on one CPU thread; the same session for the same file in one process.

    Raises:
        SetupError: the file is missing or damaged.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SetupError(f"the voice model {model} does not load ({error}); delete it and fetch it again") from error
