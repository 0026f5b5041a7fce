"""A trained student as the int8 streaming model that ESPHome's micro_wake_word runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.audio import Float32Array
from wakelark.errors import ModelError
from wakelark.models.student import Student
from wakelark.tflite.calibrate import find_ranges
from wakelark.tflite.facts import MicroFacts
from wakelark.tflite.layers import Depthwise, MicroLayers, Residual, Stage, micro_layers
from wakelark.tflite.micro_graph import MicroGraph
from wakelark.tflite.schema import Quantisation


@dataclass(frozen=True, slots=True)
class MicroModel:
    """A model for ESPHome.

    Attributes:
        data: the `.tflite` file.
        facts: what it is made of.
    """

    data: bytes
    facts: MicroFacts


def build_micro_student(student: Student, *, shift: float, features: Float32Array) -> MicroModel:
    """Write the student as an int8 streaming model with its state inside.

    A step takes as many frames as the student's first layer strides over and gives one score, the sigmoid of the
    shifted logit, so that 0.5 is the threshold that the shift was chosen for.

    Args:
        student: trained on the features of the `micro` front end (0 to 26).
        shift: is added to the logits.
        features: such features of continuous audio, the phrase, speech and noise, on which the ranges of all layers are
            found.

    Shape of `features`: `[frames, bands]`

    Raises:
        ModelError: the features are too few or not finite.
    """
    layers = micro_layers(student, shift)
    _check_features(layers, features)
    graph = MicroGraph(frames=layers.front.stride, bands=features.shape[1])
    values = block_input = graph.start
    for stage, meaning in zip(layers.stages, find_ranges(layers, features), strict=True):
        if isinstance(stage, Depthwise):
            block_input = values
        values = _add_stage(graph, stage, values, block_input, meaning)
    graph.score(values, layers.out)
    return MicroModel(*graph.finish(receptive_field_frames=layers.receptive_field_frames))


def _add_stage(graph: MicroGraph, stage: Stage, values: int, block_input: int, meaning: Quantisation) -> int:
    if isinstance(stage, Residual):
        return graph.add(stage.name, values, block_input, meaning)
    joined = graph.remember(stage.name, values, steps=stage.layer.steps_before)
    if isinstance(stage, Depthwise):
        return graph.depthwise(stage.name, joined, stage.layer, meaning)
    return graph.conv(stage.name, joined, stage.layer, meaning)


def _check_features(layers: MicroLayers, features: Float32Array) -> None:
    bands, fewest = layers.front.weight.shape[1], 2 * layers.receptive_field_frames
    if features.ndim != 2 or features.shape[1] != bands or len(features) < fewest:
        raise ModelError(
            f"calibration needs features of shape [frames, {bands}] and at least {fewest} frames, "
            f"got {list(features.shape)}; give it longer audio"
        )
    if not np.isfinite(features).all():
        raise ModelError("the features for calibration have values that are no numbers; check the audio they come from")
