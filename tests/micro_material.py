"""A student on the `micro` front end and features of real sounds, for what is written for ESPHome."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from pymicro_features import MicroFrontend

from wakelark.audio import Float32Array
from wakelark.models.student import Student
from wakelark.models.trunk import MICRO
from wakelark.tflite.layers import Depthwise, MicroLayers, Residual

FRAMES_PER_STEP = 3
_FRAME_BYTES = 320


@cache
def micro_features(seconds: float = 40.0, seed: int = 0) -> Float32Array:
    """Features of noise whose colour and loudness swing, with tone bursts: `[frames, 40]`, 0 to 26."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * 16_000)
    time = np.arange(samples) / 16_000
    loudness = 10 ** (1.5 + 1.5 * np.repeat(rng.random(samples // 1600 + 1), 1600)[:samples])
    tones = np.sin(2 * np.pi * np.repeat(rng.uniform(150, 5000, samples // 4000 + 1), 4000)[:samples] * time)
    audio = loudness * (0.5 * rng.standard_normal(samples) + tones * (np.sin(2 * np.pi * 1.5 * time) > 0))
    data = np.clip(audio, -32768, 32767).astype("<i2").tobytes()
    front_end, rows, at = MicroFrontend(), [], 0
    while at + _FRAME_BYTES <= len(data):
        heard = front_end.process_samples(data[at : at + _FRAME_BYTES])
        at += 2 * heard.samples_read
        if heard.features:
            rows.append(heard.features)
    return np.array(rows, np.float32)


@cache
def micro_student(channels: int = 32) -> Student:
    """A student with batch-norm statistics of such features, whose logits swing around 0 as a trained one's do."""
    torch.manual_seed(3)
    student = Student(
        channels=channels, kernels=(3, 5, 7), rank=8, templates=16, taps=10, dilation=2, dropout=0.0, front_end=MICRO
    )
    features = torch.from_numpy(micro_features().T.copy())[None]
    with torch.no_grad():
        student.train()
        for _ in range(60):
            student(features)
        student.eval()
        logits = student(features)
        scale = 2 / logits.std()
        student.head.out.weight *= scale
        assert student.head.out.bias is not None
        student.head.out.bias.copy_((student.head.out.bias - logits.mean()) * scale)
    return student


def real_scores_from_the_start(layers: MicroLayers, features: Float32Array) -> Float32Array:
    """The same with every layer's past as zeros, from the very first step on: `[frames, 40] -> [steps]`."""
    values = torch.from_numpy(features.T.copy()).double()[None]
    block_input = values
    for stage in layers.stages:
        if isinstance(stage, Residual):
            values = torch.relu(values + block_input)
            continue
        layer, groups = stage.layer, 1
        if isinstance(stage, Depthwise):
            block_input, groups = values, values.shape[1]
        past = torch.nn.functional.pad(values, (layer.steps_before, 0))
        weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
        values = torch.nn.functional.conv1d(past, weight, bias, layer.stride, dilation=layer.dilation, groups=groups)
        values = torch.relu(values) if layer.relu else values
    weight, bias = torch.from_numpy(layers.out.weight), torch.from_numpy(layers.out.bias)
    return torch.sigmoid(torch.nn.functional.conv1d(values, weight, bias))[0, 0].float().numpy()


def real_scores(student: Student, features: Float32Array, shift: float) -> Float32Array:
    """What torch says at every step of a stream whose past is zeros: `[frames, 40] -> [steps]`.

    Only the first layer's past is zeros here; later layers remember zeros of their own, so the first steps differ.
    """
    lead = np.zeros((student.trunk.front.kernel_size[0] - FRAMES_PER_STEP, 40), np.float32)
    with torch.inference_mode():
        logits = student(torch.from_numpy(np.concatenate([lead, features]).T.copy())[None])[0]
        return torch.sigmoid(logits + shift).numpy()
