"""Whether ESPHome's firmware runs a `.tflite` file: what it checks itself, and what its interpreter does."""

from __future__ import annotations

from collections import Counter
from math import prod

from wakelark.errors import ModelError
from wakelark.tflite import quantise
from wakelark.tflite.facts import MAX_VARIABLES
from wakelark.tflite.findings import Finding, ModelLint, error, warning
from wakelark.tflite.read import ReadGraph, ReadModel, ReadTensor, read_model
from wakelark.tflite.schema import SCHEMA_VERSION, Op, Quantisation
from wakelark.tflite.tflm import has_tflm, measure_arena

BANDS = 40
MOST_FRAMES = 100
"""Feature frames per score, a second; published models take 3."""
LARGE_BYTES = 500_000
"""A model above this leaves little of the 1.75 MB that an ESP32 with 4 MB of flash has for its program."""
_REGISTERED = {int(op) for op in Op}
_TOLERANCE = 1e-4
_REMAKE = "export the model again for ESPHome: `wakelark export RUN --to esphome`"
_SHOWN_CHARACTERS = 60
_INSTEAD = {
    "RELU": "fuse it into the layer before it",
    "RELU6": "fuse it into the layer before it",
    "SOFTMAX": "end in LOGISTIC",
    "DEQUANTIZE": "quantise the whole model, its variables too (experimental variable quantisation in the converter)",
    "SQUEEZE": "use RESHAPE",
    "EXPAND_DIMS": "use RESHAPE",
    "SUB": "use ADD with a negated constant",
    "SPLIT": "use SPLIT_V",
    "SLICE": "use STRIDED_SLICE",
    "TRANSPOSE": "lay tensors out as [1, time, 1, channels]",
    "REDUCE_MAX": "use MAX_POOL_2D",
    "HARD_SWISH": "use a fused relu",
}


def lint_model(data: bytes) -> ModelLint:
    """Look at a file and let the interpreter of an ESP32 try it, in a process of its own.

    Args:
        data: of the file; it may be hostile.
    """
    try:
        model = read_model(data)
    except ModelError as damaged:
        return ModelLint([error("the file", str(damaged), "download or export it again")], {}, 0, len(data), None)
    findings = [*_structure(model), *_operators(model), *_tensors(model), *_size(model)]
    arena = None
    if not any(finding.fatal for finding in findings):
        if has_tflm():
            arena = measure_arena(data)
            if arena.smallest_bytes is None:
                findings.append(error("the interpreter", f"TFLite-Micro does not run it: {arena.reason}", _REMAKE))
        else:
            findings.append(
                warning(
                    "the interpreter",
                    "was not tried, as the package tflite-micro is not installed",
                    'install it with: pip install "wakelark[esphome]"',
                )
            )
    names = Counter(_shown(operator.name) for graph in model.graphs for operator in graph.operators)
    return ModelLint(findings, dict(names), len(model.variables), model.size_bytes, arena)


def _structure(model: ReadModel) -> list[Finding]:
    main = model.graphs[0]
    found: list[Finding] = []
    if model.version != SCHEMA_VERSION:
        found.append(error("the file", f"schema version {model.version}, firmware knows {SCHEMA_VERSION}", _REMAKE))
    if len(main.inputs) != 1 or len(main.outputs) != 1:
        counts = f"{len(main.inputs)} inputs and {len(main.outputs)} outputs"
        remedy = "it must have one of each, its state in resource variables; " + _REMAKE
        return [*found, error("the model", f"has {counts}", remedy)]
    taken, given = main.tensors[main.inputs[0]], main.tensors[main.outputs[0]]
    fits = len(taken.shape) == 3 and taken.shape[::2] == (1, BANDS) and 1 <= taken.shape[1] <= MOST_FRAMES
    if not fits or taken.kind != "int8":
        found.append(error("the input", f"is {taken.text}", f"firmware hands in int8 [1, frames, {BANDS}]; {_REMAKE}"))
    else:
        found += _meaning("the input", taken, quantise.MICRO_INPUT, "features of 0 to 26")
    if given.shape != (1, 1) or given.kind != "uint8":
        found.append(error("the output", f"is {given.text}", f"firmware reads uint8 [1, 1]; {_REMAKE}"))
    else:
        found += _meaning("the output", given, quantise.UNSIGNED_SCORE, "a probability in 256ths")
    return found


def _meaning(where: str, tensor: ReadTensor, wanted: Quantisation, what: str) -> list[Finding]:
    """The firmware does not look at scale and zero point: it takes them for granted."""
    if len(tensor.scales) == len(tensor.zero_points) == 1:
        close = abs(tensor.scales[0] - wanted.scale) <= _TOLERANCE * wanted.scale
        if close and tensor.zero_points[0] == wanted.zero_point:
            return []
    told = f"scale {list(tensor.scales)[:3]} and zero point {list(tensor.zero_points)[:3]}"
    meant = f"scale {wanted.scale:.6g} and zero point {wanted.zero_point}"
    return [warning(where, f"has {told}", f"firmware takes it for {what}, {meant}: scores will be wrong; {_REMAKE}")]


def _operators(model: ReadModel) -> list[Finding]:
    found: list[Finding] = []
    seen: set[str] = set()
    for number, graph in enumerate(model.graphs):
        for operator in graph.operators:
            name = _shown(operator.name)
            if operator.number not in _REGISTERED and name not in seen:
                seen.add(name)
                remedy = _INSTEAD.get(name, "build the model without it")
                found.append(error(name, f"is none of the {len(_REGISTERED)} operators that firmware has", remedy))
            if operator.graph is not None and not number < operator.graph < len(model.graphs):
                remedy = "the file is damaged: export or download it again"
                found.append(error("CALL_ONCE", f"calls subgraph {operator.graph} of {len(model.graphs)}", remedy))
    if len(model.variables) > MAX_VARIABLES:
        remedy = f"firmware has room for {MAX_VARIABLES}: join some, or use fewer layers with a memory"
        found.append(error("variables", f"it has {len(model.variables)} resource variables", remedy))
    if not model.variables:
        remedy = "micro_wake_word models keep their past in resource variables; is this a streaming model?"
        found.append(warning("variables", "it has none, so a score knows one step of audio only", remedy))
    return found


def _tensors(model: ReadModel) -> list[Finding]:
    floats = [tensor for tensor in model.graphs[0].tensors if tensor.kind in ("float32", "float16")]
    found: list[Finding] = []
    if floats:
        what = f"{len(floats)} tensors are floats, {_shown(floats[0].name)!r} first"
        found.append(warning("tensors", what, "quantise the whole model to int8: an ESP32 is slow with floats"))
    for graph in model.graphs:
        found += [_wrong_constant(tensor) for tensor in graph.tensors if _is_wrong_constant(tensor)][:1]
        found += _dense_scales(graph)
    return found


def _is_wrong_constant(tensor: ReadTensor) -> bool:
    """A constant whose bytes do not fill its shape makes an interpreter read what lies behind it."""
    sizes = {"float32": 4, "int32": 4, "uint8": 1, "int8": 1, "int64": 8, "int16": 2, "bool": 1}
    size = sizes.get(tensor.kind)
    if any(length < 0 for length in tensor.shape):
        return True
    return bool(size and tensor.constant_bytes and tensor.constant_bytes != size * prod(tensor.shape))


def _wrong_constant(tensor: ReadTensor) -> Finding:
    what = f"is {tensor.text}"
    if min(tensor.shape, default=0) >= 0:
        what += f", but the file has {tensor.constant_bytes} bytes of it"
    return error(f"tensor {_shown(tensor.name)!r}", what, "the file is damaged: export or download it again")


def _dense_scales(graph: ReadGraph) -> list[Finding]:
    for operator in graph.operators:
        if operator.number == Op.FULLY_CONNECTED and len(operator.inputs) > 1 and operator.inputs[1] >= 0:
            count = len(graph.tensors[operator.inputs[1]].scales)
            if count > 1:
                remedy = "older firmware takes the first for all: quantise fully connected layers per tensor"
                return [warning("FULLY_CONNECTED", f"its weights have {count} scales", remedy)]
    return []


def _size(model: ReadModel) -> list[Finding]:
    if model.size_bytes <= LARGE_BYTES:
        return []
    remedy = "make sure that it fits into the device's flash, or train a smaller one"
    return [warning("size", f"the file has {model.size_bytes:,} bytes, published models about 60,000", remedy)]


def _shown(name: str) -> str:
    """A name out of the file, cut short."""
    return name[:_SHOWN_CHARACTERS] or "(no name)"
