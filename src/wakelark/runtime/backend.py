"""Loads a model file and runs it: ONNX Runtime on one thread, state in and state out.

A file is only ever given to ONNX Runtime as bytes: loaded by path it would follow references to other files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _ort  # pyright: ignore[reportAttributeAccessIssue]

from wakelark.audio import Float32Array
from wakelark.errors import ModelError
from wakelark.model_card import CARD_KEY, ModelCard, model_digest
from wakelark.runtime.model_file import read_model_file
from wakelark.runtime.onnx_check import check_onnx

# ONNX Runtime's exceptions have no common base of their own. What it says about a damaged file may be no UTF-8, and
# what a file calls its parts neither.
_ORT_ERRORS = (
    _ort.EPFail,
    _ort.Fail,
    _ort.InvalidArgument,
    _ort.InvalidGraph,
    _ort.InvalidProtobuf,
    _ort.NoSuchFile,
    _ort.NotFound,
    _ort.NotImplemented,
    _ort.RuntimeException,
    RuntimeError,
    UnicodeDecodeError,
)
_INPUTS = {"audio", "state"}
_OUTPUTS = {"scores", "new_state"}


class NoCard(ModelError):
    """An ONNX model that was not written by wakelark."""


class Backend:
    """A loaded model: a card and a function from audio and state to scores and state. It keeps no state itself.

    Args:
        data: the ONNX file.
        name: what messages call it, usually its path.

    Attributes:
        card: what the file says about itself.
        digest: what other models' cards call this file by.

    Raises:
        ModelError: the data is no model, refers to other files, or does not keep the contract of wakelark models.
    """

    def __init__(self, data: bytes, *, name: str) -> None:
        self.name = name
        self.digest = model_digest(data)
        _refuse_foreign(data, name)
        self._session = open_session(data, name=name)
        self.card = _card(self._session, name)
        self._state_size = _check_contract(self._session, self.card, name)
        self._primed: Float32Array | None = None
        self._check_one_step()

    def zero_state(self) -> Float32Array:
        """The state before any audio. Shape: `[1, S]`"""
        return np.zeros((1, self._state_size), np.float32)

    def primed_state(self) -> Float32Array:
        """The state after the silence that the card asks for, worked out once for all streams. Shape: `[1, S]`"""
        if self._primed is None:
            state = self.zero_state()
            if self.card.warm_up_samples:
                _, state = self.run(np.zeros(self.card.warm_up_samples, np.float32), state)
            state.flags.writeable = False
            self._primed = state
        return self._primed

    def run(self, audio: Float32Array, state: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Scores of whole steps of audio, and the state after them.

        Shape: `[n], [1, S] -> [n / step_samples], [1, S]`, n a multiple of `card.step_samples`

        Raises:
            ModelError: ONNX Runtime cannot run the model, or a score or state is not finite.
        """
        inputs = {"audio": audio[None], "state": state}
        score_array, state_array = run_session(self._session, ["scores", "new_state"], inputs, name=self.name)
        if not (np.isfinite(score_array).all() and np.isfinite(state_array).all()):
            raise ModelError(
                f"{self.name} gave a score that is not a finite number: the file is broken; export it again"
            )
        return score_array.reshape(-1), state_array

    def _check_one_step(self) -> None:
        scores, state = self.run(np.zeros(2 * self.card.step_samples, np.float32), self.zero_state())
        if scores.shape != (2,) or state.shape != (1, self._state_size):
            raise ModelError(
                f"{self.name}: two steps of audio gave {scores.size} scores and a state of shape "
                f"{state.shape}, not 2 and (1, {self._state_size}); export it again"
            )


def read_model(path: str | Path) -> Backend:
    """Read and load a model file.

    Raises:
        ModelError: no such file, unreadable, too large, or no wakelark model.
    """
    return Backend(read_model_file(path), name=str(path))


def _refuse_foreign(data: bytes, name: str) -> None:
    """Name the well-known formats that people try instead of ONNX."""
    kinds = {
        "a pickle or a torch checkpoint, which can run any code when loaded": (
            data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or data[:4] == b"PK\x03\x04"
        ),
        "a TFLite model, for microcontrollers and openWakeWord": data[4:8] == b"TFL3",
        "an audio file": data[:4] in (b"RIFF", b"fLaC", b"OggS") or data[:3] == b"ID3",
        "a text file": data[:1] in (b"{", b"<", b"#"),
        "empty": not data,
    }
    for kind, found in kinds.items():
        if found:
            raise ModelError(f"{name} is {kind}; give the model.onnx or model_tiny.onnx of a `wakelark train` run")


def open_session(data: bytes, *, name: str) -> onnxruntime.InferenceSession:
    """An ONNX model on one thread.

    Raises:
        ModelError: the data are no usable ONNX model, keep their weights in other files, or hold what `check_onnx`
            refuses.
    """
    check_onnx(data, name=name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what matters comes as an exception
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        _ = session.get_modelmeta().custom_metadata_map  # decoded here, and not where nobody expects an error
        _ = [(part.name, part.shape) for part in (*session.get_inputs(), *session.get_outputs())]
        return session
    except _ORT_ERRORS as error:
        raise ModelError(f"{name} is not a usable ONNX model: {_first_line(error)}") from error


def run_session(
    session: onnxruntime.InferenceSession, outputs: list[str], inputs: dict[str, Float32Array], *, name: str
) -> list[Float32Array]:
    """The named outputs for these inputs.

    Raises:
        ModelError: ONNX Runtime cannot run the model.
    """
    try:
        return [np.asarray(output, np.float32) for output in session.run(outputs, inputs)]
    except _ORT_ERRORS as error:
        raise ModelError(f"{name} cannot run: {_first_line(error)}; export it again") from error


def _card(session: onnxruntime.InferenceSession, name: str) -> ModelCard:
    text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if text is None:
        raise NoCard(
            f"{name} is an ONNX model without a wakelark card (metadata key 'wakelark'), so its phrase, threshold and "
            "step are unknown; give a model that `wakelark train` or `wakelark export` wrote"
        )
    try:
        return ModelCard.from_json(text)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def _check_contract(session: onnxruntime.InferenceSession, card: ModelCard, name: str) -> int:
    """The size of the state; the contract is in docs/pipeline.md, "The model file"."""
    inputs = {part.name: part for part in session.get_inputs()}
    outputs = {part.name for part in session.get_outputs()}
    if set(inputs) != _INPUTS or not outputs >= _OUTPUTS:
        raise ModelError(
            f"{name} has inputs {sorted(inputs)} and outputs {sorted(outputs)}; a wakelark model takes audio and state "
            "and gives scores and new_state"
        )
    shape, kinds = inputs["state"].shape, {part.type for part in inputs.values()}
    if kinds != {"tensor(float)"} or shape != [1, card.state_size]:
        raise ModelError(
            f"{name}: the state is {shape} of {sorted(kinds)}; its card promises float of shape [1, {card.state_size}]"
        )
    return card.state_size


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0].split(" : ")[-1][:300]
