"""Is an int8 model for ESPHome as good as the float network it was made from? Both hear the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wakelark.audio import HOP_SAMPLES, SAMPLE_RATE, Float32Array, Int16Array, to_int16
from wakelark.evaluation.events import smooth
from wakelark.evaluation.stream import hit_score
from wakelark.features.micro import WINDOW_SAMPLES, micro
from wakelark.models.student import Student
from wakelark.pipeline.sources import ClipSource, clip_trial
from wakelark.tflite.run import device_features, run_everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatMicro:
    """The trained network, as the device's model should be.

    Attributes:
        student: in evaluation mode, on the features of ESPHome's front end.
        shift: is added to its logits.
        smoothing_steps: over how many scores the mean is taken.
        threshold: it fires where that mean reaches this.
    """

    student: Student
    shift: float
    smoothing_steps: int
    threshold: float

    @property
    def frames_per_step(self) -> int:
        """Feature frames of a step."""
        return self.student.trunk.front.stride[0]

    def scores(self, features: Float32Array) -> Float32Array:
        """Scores of a stream, not smoothed; the first ones lack a past, as on the device.

        Shape: `[frames, 40] -> [frames // frames_per_step]`
        """
        lead = np.zeros((self.student.receptive_field_frames - self.frames_per_step, features.shape[1]), np.float32)
        whole = np.concatenate([lead, features])
        with torch.inference_mode():
            logits = self.student(torch.from_numpy(whole.T.copy())[None])[0] + self.shift
            return torch.sigmoid(logits).numpy()

    def missed(self, clips: Sequence[ClipSource], *, seed: int) -> int:
        """How many clips, each as it is played to any detector, stay below the threshold.

        Raises:
            BadAudio: a clip cannot be read.
        """
        step_s = self.frames_per_step * HOP_SAMPLES / SAMPLE_RATE
        first_s = step_s + (WINDOW_SAMPLES - HOP_SAMPLES) / SAMPLE_RATE
        missed = 0
        for clip in clips:
            trial = clip_trial(clip, noise=None, recordings=[], seed=seed)
            scores = self.scores(micro(to_int16(trial.audio)))
            smoothed = smooth(scores.astype(np.float64), self.smoothing_steps)
            missed += hit_score(smoothed, trial, step_s=step_s, first_s=first_s) < self.threshold
        return missed


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFigures:
    """The int8 model in every interpreter that is installed.

    Attributes:
        engines: their names.
        apart, mean_apart: between any two of them, the largest difference of the smoothed score, which decides, and the
            largest mean difference of a score.
        from_float: the largest difference of a score to the float network, after its receptive field has filled.
        mean_from_float: the mean difference.
    """

    engines: Sequence[str]
    apart: float
    mean_apart: float
    from_float: float
    mean_from_float: float


def compare_engines(data: bytes, network: FloatMicro, audio: Int16Array, *, arena_bytes: int) -> EngineFigures:
    """Run an int8 model in every interpreter over audio, as the firmware would hand it its features.

    Args:
        data: the `.tflite` file.
        network: what it was made from.
        audio: `[N]`
        arena_bytes: memory for TFLite-Micro.

    Raises:
        ModelError: an interpreter does not run it.
    """
    features = micro(audio)
    features = features[: len(features) // network.frames_per_step * network.frames_per_step]
    heard = run_everywhere(data, device_features(features), arena_bytes=arena_bytes)
    scores = list(heard.values())
    decides = [smooth(one.astype(np.float64), network.smoothing_steps) for one in scores]
    filled = network.student.receptive_field_frames // network.frames_per_step
    differences = np.abs(scores[0] - network.scores(features))[filled:]
    return EngineFigures(
        engines=tuple(heard),
        apart=max(float(np.abs(one - other).max()) for one in decides for other in decides),
        mean_apart=max(float(np.abs(one - other).mean()) for one in scores for other in scores),
        from_float=float(differences.max()),
        mean_from_float=float(differences.mean()),
    )
