"""Does the written model say what the trained network says? Streamed in random chunks, over a minute of audio."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np
import onnx
import onnxruntime

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.errors import ModelError
from wakelark.model_card import ModelCard

TOLERANCE = 1e-4
LOGIT_TOLERANCE = 1e-2
PROBE_S = 60


def probe_audio(rng: np.random.Generator, *, seconds: int) -> Float32Array:
    """Audio that exercises a model: bursts of gliding harmonics in noise, from silence up to full scale.

    Shape: `-> [seconds * 16000]`
    """
    pieces = []
    time_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for _ in range(seconds):
        start_hz, glide_hz = rng.uniform(80, 300), rng.uniform(-60, 120)
        phase = 2 * np.pi * (start_hz * time_s + glide_hz * time_s**2 / 2)
        voice = sum(np.sin(k * phase) * rng.uniform(0, 1) / k for k in range(1, 20))
        syllables = np.clip(np.sin(2 * np.pi * rng.uniform(2, 6) * time_s + rng.uniform(0, 6)), 0, 1)
        loudness, hiss = 10 ** rng.uniform(-3, -0.3), 10 ** rng.uniform(-5, -2)
        pieces.append(loudness * voice * syllables + hiss * rng.standard_normal(SAMPLE_RATE))
    audio = np.concatenate(pieces).clip(-1, 1)
    audio[: SAMPLE_RATE // 2] = 0
    return np.rint(audio * 32767).astype(np.float32) / np.float32(32768)


def stream(
    model: bytes, audio: Float32Array, card: ModelCard, *, output: str, chunk_steps: Callable[[], int]
) -> Float32Array:
    """An output of a model file over a stream that starts with the card's warm-up of silence.

    Args:
        model: the ONNX file.
        audio: a whole number of steps.
        card: what the file says about itself.
        output: "scores", or another output with one value per step.
        chunk_steps: gives the number of steps of each call.

    Shape: `[n] -> [n / step_samples]`
    """
    session = onnxruntime.InferenceSession(model, _options(), providers=["CPUExecutionProvider"])
    state = np.zeros((1, card.state_size), np.float32)
    whole = np.concatenate([np.zeros(card.warm_up_samples, np.float32), audio])
    values, position = [], 0
    while position < len(whole):
        stop = position + chunk_steps() * card.step_samples
        part, state = session.run([output, "new_state"], {"audio": whole[None, position:stop], "state": state})
        values.append(np.asarray(part, np.float32).reshape(-1))
        position = stop
    return np.concatenate(values)[card.warm_up_samples // card.step_samples :]


def check_parity(
    model: bytes,
    offline: Callable[[Float32Array], Float32Array],
    card: ModelCard,
    *,
    lead_samples: int,
    rng: np.random.Generator,
    audio: Float32Array | None = None,
) -> float:
    """The largest difference of a score between the streamed model and the trained network.

    The logits are compared too: a well-trained network is silent on most of this audio, and two scores near 0 agree
    whatever the logits are.

    Args:
        model: the ONNX file.
        offline: logits of the trained network over a clip, not shifted, `[N] -> [S]`.
        card: what the file says about itself, and its shift.
        lead_samples: silence that makes the clip's first score end where the stream's first score ends.
        rng: draws the audio and the chunks.
        audio: `[N]`, what is heard; None for a minute of `probe_audio`.

    Raises:
        ModelError: they differ by more than 1e-4 (logits: 1e-2), or not even in number alike.
    """
    audio = probe_audio(rng, seconds=PROBE_S) if audio is None else audio
    audio = audio[: len(audio) // card.step_samples * card.step_samples]
    lead = np.zeros(lead_samples + card.warm_up_samples, np.float32)
    said = offline(np.concatenate([lead, audio]))[card.warm_up_samples // card.step_samples :].astype(np.float64)
    logits = said + card.logit_shift
    scores = 1 / (1 + np.exp(-logits))

    def draw_steps() -> int:
        return int(rng.choice([1, 2, 3, 7, 50, 200]))

    difference = 0.0
    with_logits = _with_logits(model)
    for what, file, output, expected, tolerance in (
        ("logit", with_logits, "logits", logits, LOGIT_TOLERANCE),
        ("score", model, "scores", scores, TOLERANCE),
    ):
        streamed = stream(file, audio, card, output=output, chunk_steps=draw_steps)
        if streamed.shape != expected.shape:
            _fail(f"gives {streamed.size} scores where the trained network gives {expected.size}")
        difference = float(np.abs(streamed - expected).max())
        if not difference <= tolerance:
            _fail(f"differs from the trained network by {difference:.2g} in a {what} (allowed: {tolerance:g})")
    return difference


def _with_logits(model: bytes) -> bytes:
    """The same model with what goes into its last sigmoid as a further output."""
    proto = onnx.load_model_from_string(model)
    sigmoid = next(node for node in reversed(proto.graph.node) if node.op_type == "Sigmoid")
    proto.graph.node.append(onnx.helper.make_node("Identity", [sigmoid.input[0]], ["logits"]))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, None))
    return proto.SerializeToString()


def _fail(how: str) -> NoReturn:
    raise ModelError(f"the exported model {how}; nothing was written; this is a fault in wakelark, please report it")


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options
