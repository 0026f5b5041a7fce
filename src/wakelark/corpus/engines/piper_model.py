"""A Piper voice's model, changed so that it keeps to the pace it is asked for.

VITS predicts how long each token lasts, multiplies by the length scale and rounds up to whole frames of 12 ms. Half of
the tokens are the blanks between the phonemes, which are shorter than a frame: they last one frame at any pace, and
together they are up to half of the speech. Asked for 0.8 and 1.25 times the pace, ratio 1.56, the voice "joe" spoke
sentences whose lengths had a ratio of 1.2 to 1.3. The changed model rounds up at the voice's own pace, so that this
sounds as before, then stretches the place of every token's end and rounds that: the whole is as long as it should be,
to half a frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wakelark.errors import ConfigError

if TYPE_CHECKING:
    from onnx import NodeProto

REWRITE = 1
"""Counts changes of this file that change the speech."""


def paced_model(path: Path, *, own_scale: float) -> bytes:
    """The model of a voice file, as bytes for onnxruntime, with durations that follow the length scale.

    Args:
        path: the voice's `.onnx` file.
        own_scale: the length scale of the voice's own pace, from its settings.

    Raises:
        ConfigError: the file is damaged, or computes its durations in another way than Piper's voices do.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        model = onnx.load_from_string(path.read_bytes())
    except DecodeError as error:
        raise ConfigError(f"the Piper voice {path} is damaged ({error}); download it again") from error
    nodes = model.graph.node
    makers = {output: node for node in nodes for output in node.output}
    rounding = [at for at, node in enumerate(nodes) if node.op_type == "Ceil"]
    scaled = makers.get(nodes[rounding[0]].input[0]) if len(rounding) == 1 else None
    # The factors of the durations: one is gathered from the input `scales`.
    factors = (
        sorted(scaled.input, key=lambda name: name in makers and makers[name].op_type == "Gather") if scaled else []
    )
    if len(factors) != 2 or factors[1] not in makers or makers[factors[1]].op_type != "Gather":
        raise ConfigError(
            f"{path} is not a Piper voice that wakelark can use: it computes its durations in another way; "
            "take it out of corpus.voices_dir"
        )
    for name, value in {"scale": np.array(own_scale, np.float32), "axis": np.array(-1, np.int64)}.items():
        model.graph.initializer.append(numpy_helper.from_array(value, _PREFIX + name))
    added = _durations(*factors, result=nodes[rounding[0]].output[0])
    del nodes[rounding[0]]
    for node in reversed(added):
        nodes.insert(rounding[0], node)
    return model.SerializeToString()


_PREFIX = "wakelark_"


def _durations(predicted: str, scale: str, *, result: str) -> list[NodeProto]:
    """Nodes for `difference(round(cumsum(ceil(predicted * own_scale)) * scale / own_scale))`."""
    from onnx import helper

    steps = (
        ("Mul", (predicted, _PREFIX + "scale"), "own"),
        ("Ceil", (_PREFIX + "own",), "frames"),
        ("Div", (scale, _PREFIX + "scale"), "stretch"),
        ("CumSum", (_PREFIX + "frames", _PREFIX + "axis"), "own_ends"),
        ("Mul", (_PREFIX + "own_ends", _PREFIX + "stretch"), "exact_ends"),
        ("Round", (_PREFIX + "exact_ends",), "ends"),
        # Where a token begins, with the same rounding: its own end less its own frames.
        ("Sub", (_PREFIX + "own_ends", _PREFIX + "frames"), "own_starts"),
        ("Mul", (_PREFIX + "own_starts", _PREFIX + "stretch"), "exact_starts"),
        ("Round", (_PREFIX + "exact_starts",), "starts"),
    )
    nodes = [helper.make_node(kind, list(inputs), [_PREFIX + output]) for kind, inputs, output in steps]
    return [*nodes, helper.make_node("Sub", [_PREFIX + "ends", _PREFIX + "starts"], [result])]
