"""A real model file that keeps the contract of docs/pipeline.md: it hears loudness, with a memory of two steps.

The score of a step is min(1, gain * mean power of this step and the two before it). So the state matters, everything
can be worked out by hand, and a loud clip is "the phrase".
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from wakelark.model_card import CARD_KEY, ModelCard

STEP = 640
MEMORY = 2
GAIN = 10.0


def tiny_card(**changes: Any) -> ModelCard:
    """A complete card, with fields replaced by `changes`."""
    card = ModelCard(
        wakelark_version="0.1.0",
        phrase="loud noise",
        language="en-us",
        kind="tiny",
        step_samples=STEP,
        state_size=MEMORY,
        warm_up_samples=4 * STEP,
        threshold=0.5,
        smoothing_steps=3,
        refractory_s=1.5,
        gate_db=0.0,
        gate_hold_s=1.5,
        fa_per_hour=0.5,
        front_end="power",
        parameters=1,
        created="2026-01-01",
    )
    return dataclasses.replace(card, **changes)


def tiny_graph(gain: float = GAIN, *, step: int = STEP) -> onnx.ModelProto:
    """The graph without a card, of steps of `step` samples."""

    def constant(name: str, value: list[int] | float) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(value, np.float32 if isinstance(value, float) else np.int64), name)

    nodes = [
        helper.make_node("Reshape", ["audio", "steps_shape"], ["steps"]),
        helper.make_node("Mul", ["steps", "steps"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "last_axis"], ["power"], keepdims=0),
        helper.make_node("Concat", ["state", "power"], ["history"], axis=1),
        helper.make_node("Slice", ["history", "zero", "minus_two", "one"], ["oldest"]),
        helper.make_node("Slice", ["history", "one", "minus_one", "one"], ["older"]),
        helper.make_node("Sum", ["oldest", "older", "power"], ["total"]),
        helper.make_node("Mul", ["total", "gain"], ["loud"]),
        helper.make_node("Clip", ["loud", "", "top"], ["scores"]),
        helper.make_node("Slice", ["history", "minus_two", "far", "one"], ["new_state"]),
    ]
    constants = [
        constant("steps_shape", [1, -1, step]),
        constant("last_axis", [2]),
        constant("zero", [0]),
        constant("one", [1]),
        constant("minus_one", [-1]),
        constant("minus_two", [-2]),
        constant("far", [2**31]),
        constant("gain", gain / 3),
        constant("top", 1.0),
    ]
    graph = helper.make_graph(
        nodes,
        "loudness",
        [
            helper.make_tensor_value_info("audio", TensorProto.FLOAT, [1, "n"]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, MEMORY]),
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, "t"]),
            helper.make_tensor_value_info("new_state", TensorProto.FLOAT, [1, MEMORY]),
        ],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def tiny_bytes(card: ModelCard | str | None = None, *, gain: float = GAIN, step: int = STEP) -> bytes:
    """The file's content; `card` may be any text, to make broken files, and its step need not be that of the graph."""
    model = tiny_graph(gain, step=step)
    text = card if isinstance(card, str) else (card or tiny_card()).to_json()
    helper.set_model_props(model, {CARD_KEY: text})
    return model.SerializeToString()


def write_tiny_model(path: Path, **changes: Any) -> Path:
    """Write the model with a card changed by `changes`."""
    path.write_bytes(tiny_bytes(tiny_card(**changes)))
    return path


def expected_scores(audio: np.ndarray) -> np.ndarray:
    """The scores by the definition, in numpy; a stream starts in silence."""
    steps = audio[: len(audio) // STEP * STEP].reshape(-1, STEP).astype(np.float64)
    power = np.concatenate([np.zeros(MEMORY), np.mean(steps**2, axis=1)])
    return np.minimum(1.0, GAIN / 3 * (power[2:] + power[1:-1] + power[:-2]))
