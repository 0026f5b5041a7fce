"""Loads any wake-word model that wakelark can measure; what a file is, its content says.

Runtimes are imported only when they are needed: `wakelark.peers.live_process` measures what each takes.
"""

from __future__ import annotations

from pathlib import Path

from wakelark.errors import ConfigError, ModelError
from wakelark.peers.microwakeword import MicroWakeWordModel, is_micro, read_manifest
from wakelark.peers.openwakeword import TfliteHead, check_head, is_head
from wakelark.peers.scorer import Scorer
from wakelark.peers.tflite_file import is_tflite, read_signature
from wakelark.runtime.model_file import read_model_file


def load_scorer(
    path: Path,
    threshold: float | None = None,
    *,
    preset: str | None = None,
    judge: Path | None = None,
    judge_threshold: float | None = None,
) -> Scorer:
    """A wakelark model (`.onnx`), an openWakeWord model (`.onnx`, `.tflite`) or a microWakeWord manifest (`.json`).

    The runtimes of other projects can be crashed by a damaged network inside a file of the right form: before a file
    of unknown origin is loaded into a process that matters, `wakelark.peers.live.check_runs` tries it in another one.

    Args:
        path: the file.
        threshold: fire at this score instead of the model's own threshold.
        preset, judge, judge_threshold: as in `Detector.load`.

    Raises:
        ModelError: no such file, or none of these kinds.
        SetupError: the package that runs this kind is not installed.
        ConfigError: `threshold` is not above 0 and at most 1, a preset or a judge of a model that is not wakelark's,
            or what `Detector.load` says.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise ConfigError(f"threshold {threshold} must be above 0 and at most 1")
    data = read_model_file(path)
    if not is_manifest(data) and not is_tflite(data):
        own = _load_own(data, path, threshold, preset, judge, judge_threshold)
        if own is not None:
            return own
    if preset is not None or judge is not None or judge_threshold is not None:
        raise ConfigError(f"{path} is no wakelark model: it has no presets and works with no judge; give a threshold")
    if is_manifest(data):
        return MicroWakeWordModel(read_manifest(path, data), threshold=threshold)
    if is_tflite(data):
        _check_tflite(data, path)
        return TfliteHead(path, threshold=threshold)
    return _load_onnx_head(data, path, threshold)


def is_manifest(data: bytes) -> bool:
    """Whether the data begin as JSON does."""
    return data.lstrip()[:1] in (b"{", b"[")


def _load_own(
    data: bytes,
    path: Path,
    threshold: float | None,
    preset: str | None,
    judge: Path | None,
    judge_threshold: float | None,
) -> Scorer | None:
    """The detector of a wakelark model; None for an ONNX model without a card."""
    from wakelark.peers.own import WakelarkScorer
    from wakelark.runtime.backend import Backend, NoCard
    from wakelark.runtime.detector import Detector

    try:
        backend = Backend(data, name=str(path))
    except NoCard:
        return None
    detector = Detector.of(backend, threshold, preset=preset, judge=judge, judge_threshold=judge_threshold)
    return WakelarkScorer(detector, size_bytes=len(data) + (0 if judge is None else judge.stat().st_size))


def _load_onnx_head(data: bytes, path: Path, threshold: float | None) -> Scorer:
    from wakelark.peers.openwakeword_onnx import OnnxHead
    from wakelark.runtime.backend import open_session

    return OnnxHead(open_session(data, name=str(path)), path, threshold=threshold)


def _check_tflite(data: bytes, path: Path) -> None:
    signature = read_signature(data, name=str(path))
    if is_head(signature):
        check_head(signature, name=str(path))
    elif is_micro(signature):
        raise ModelError(
            f"{path} is the network of a microWakeWord model; give the manifest that goes with it, usually "
            f"{path.with_suffix('.json')}"
        )
    else:
        raise ModelError(
            f"{path} is a TFLite model that {signature.text}: neither openWakeWord's (float32 "
            "[1, N, 96] to [1, 1]) nor microWakeWord's (int8 [1, frames, 40] to uint8 [1, 1])"
        )
