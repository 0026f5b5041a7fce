"""Writes `model.onnx` and `model_tiny.onnx`: streaming, raw audio in, the card inside; checked before they exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from wakelark.audio import HOP_SAMPLES, Float32Array
from wakelark.corpus.cache import write_atomically
from wakelark.errors import ModelError
from wakelark.export.accurate_graph import build_accurate_graph
from wakelark.export.bc_resnet_graph import build_bc_resnet_graph
from wakelark.export.front_ends import LAG_FRAMES
from wakelark.export.graph import StreamGraph
from wakelark.export.parity import check_parity
from wakelark.export.student_graph import build_student_graph
from wakelark.features.embedding import EMBEDDING_FRAMES, EMBEDDING_HOP_FRAMES, SpeechEmbedding
from wakelark.features.embedding_mel import MEL_OFFSET_SAMPLES
from wakelark.features.embedding_weights import LICENCE, NOTE, PACKAGE, PACKAGE_VERSION, ConvLayer, read_layers
from wakelark.features.logmel_torch import LogMel
from wakelark.model_card import CARD_KEY, CardPretrained, ModelCard
from wakelark.models.bc_resnet import BcResNet
from wakelark.models.build import AnyStudent
from wakelark.models.heads import HeadEnsemble
from wakelark.models.student import Student
from wakelark.models.trunk_file import TRUNK_LICENCE, TRUNK_NAME, TRUNK_NOTE

_PROBE_SEED = 20_261_122


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """What a network's structure decides about its card; the names are the card's."""

    kind: str
    step_samples: int
    state_size: int
    warm_up_samples: int
    front_end: str
    parameters: int
    pretrained: tuple[CardPretrained, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        path: the model.
        size_bytes: its size.
        difference: largest difference of a score between the file, streamed, and the trained network, shifted.
    """

    path: Path
    size_bytes: int
    difference: float


@dataclass(frozen=True, slots=True)
class Reference:
    """A trained network as what its files are compared with.

    Attributes:
        offline: its logits over a clip, not shifted, `[N] -> [S]`.
        lead_samples: silence that makes a clip's first score end where a stream's first score ends.
    """

    offline: Callable[[Float32Array], Float32Array]
    lead_samples: int

    def check(
        self, model: bytes, card: ModelCard, *, rng: np.random.Generator, audio: Float32Array | None = None
    ) -> float:
        """As `check_parity`."""
        return check_parity(model, self.offline, card, lead_samples=self.lead_samples, rng=rng, audio=audio)


def student_facts(student: AnyStudent) -> NetworkFacts:
    """What the student's structure decides about its card."""
    graph, _ = _student_graph(student, 0.0)
    return NetworkFacts(
        kind="tiny",
        step_samples=student.step_samples,
        state_size=graph.state_size,
        warm_up_samples=_warm_up_samples(student.receptive_field_frames, student.step_samples // HOP_SAMPLES),
        front_end="logmel",
        parameters=sum(parameter.numel() for parameter in student.parameters()),
        pretrained=_trunk(student),
    )


def accurate_facts(ensemble: HeadEnsemble) -> NetworkFacts:
    """What the heads' structure decides about the accurate model's card; the parameters count the embedding's too.

    Raises:
        SetupError: the package with the embedding's weights is missing.
    """
    graph, _ = build_accurate_graph(ensemble, 0.0)
    frozen = sum(layer.weight.size + layer.bias.size for layer in read_layers() if isinstance(layer, ConvLayer))
    return NetworkFacts(
        kind="accurate",
        step_samples=ensemble.step_samples,
        state_size=graph.state_size,
        warm_up_samples=_warm_up_samples(_context_frames(ensemble), EMBEDDING_HOP_FRAMES),
        front_end="embedding_mel",
        parameters=frozen + sum(parameter.numel() for parameter in ensemble.parameters()),
        pretrained=(
            CardPretrained(name=f"speech embedding of {PACKAGE} {PACKAGE_VERSION}", licence=LICENCE, note=NOTE),
        ),
    )


def _trunk(student: AnyStudent) -> tuple[CardPretrained, ...]:
    if not isinstance(student, Student) or not student.trunk.statistics_fixed:
        return ()
    return (CardPretrained(name=TRUNK_NAME, licence=TRUNK_LICENCE, note=TRUNK_NOTE),)


def export_student(student: AnyStudent, card: ModelCard, path: Path) -> Exported:
    """Write the student as `model_tiny.onnx` and its card beside it.

    Args:
        student: trained; it is put into evaluation mode.
        card: with the values of `student_facts`; its `logit_shift` is folded in.
        path: where to; `.json` is added for the card.

    Raises:
        ModelError: the card does not fit, or the graph does not say what the network says; nothing is written.
        SetupError: the file cannot be written.
    """
    _check_card(card, student_facts(student))
    return _write(_student_graph(student, card.logit_shift), student_reference(student), card, path)


def export_accurate(ensemble: HeadEnsemble, card: ModelCard, path: Path) -> Exported:
    """Write the frozen embedding with the heads as `model.onnx` and its card beside it.

    Args:
        ensemble: trained and calibrated; it is put into evaluation mode.
        card: with the values of `accurate_facts`; its `logit_shift` is folded in.
        path: where to; `.json` is added for the card.

    Raises:
        ModelError: the card does not fit, or the graph does not say what the network says; nothing is written.
        SetupError: the package with the embedding's weights is missing, or the file cannot be written.
    """
    _check_card(card, accurate_facts(ensemble))
    return _write(build_accurate_graph(ensemble, card.logit_shift), accurate_reference(ensemble), card, path)


def student_reference(student: AnyStudent) -> Reference:
    """What a file of the student must say; the student is put into evaluation mode."""
    student.eval()
    front_end = LogMel()

    def offline(audio: Float32Array) -> Float32Array:
        with torch.inference_mode():
            return student(front_end(torch.from_numpy(audio)[None]))[0].numpy()

    return Reference(offline, _lead_samples(student.receptive_field_frames, student.step_samples // HOP_SAMPLES))


def accurate_reference(ensemble: HeadEnsemble) -> Reference:
    """What a file of the accurate model must say; the heads are put into evaluation mode.

    Raises:
        SetupError: the package with the embedding's weights is missing.
    """
    ensemble.eval()
    embedding = SpeechEmbedding()

    def offline(audio: Float32Array) -> Float32Array:
        # The last frame is counted to reach 56 samples past its window; they have no weight.
        padded = np.concatenate([audio, np.zeros(MEL_OFFSET_SAMPLES, np.float32)])
        with torch.inference_mode():
            embeddings = embedding(embedding.mel(torch.from_numpy(padded)[None]))
            return ensemble(embeddings)[0].numpy()

    return Reference(offline, _lead_samples(_context_frames(ensemble), EMBEDDING_HOP_FRAMES))


def _student_graph(student: AnyStudent, shift: float) -> tuple[StreamGraph, str]:
    if isinstance(student, BcResNet):
        return build_bc_resnet_graph(student, shift)
    return build_student_graph(student, shift)


def _context_frames(ensemble: HeadEnsemble) -> int:
    return EMBEDDING_FRAMES + EMBEDDING_HOP_FRAMES * (ensemble.context_steps - 1)


def _warm_up_samples(context_frames: int, step_frames: int) -> int:
    """Whole steps after which no score depends on the zeros of the first state."""
    steps = -(-(context_frames - step_frames) // step_frames)
    return steps * step_frames * HOP_SAMPLES


def _lead_samples(context_frames: int, step_frames: int) -> int:
    """Silence before a clip that makes its first score end where a stream's first score ends."""
    return (context_frames - step_frames + LAG_FRAMES) * HOP_SAMPLES


def _check_card(card: ModelCard, facts: NetworkFacts) -> None:
    said = (card.kind, card.step_samples, card.state_size, card.warm_up_samples, card.front_end, card.parameters)
    true = (facts.kind, facts.step_samples, facts.state_size, facts.warm_up_samples, facts.front_end, facts.parameters)
    names = ("kind", "step_samples", "state_size", "warm_up_samples", "front_end", "parameters")
    for name, value, expected in zip(names, said, true, strict=True):
        if value != expected:
            raise ModelError(f"the card says {name} = {value!r}, but the network has {expected!r}; nothing was written")


def _write(built: tuple[StreamGraph, str], reference: Reference, card: ModelCard, path: Path) -> Exported:
    graph, scores = built
    text = card.to_json()
    try:
        model = graph.finish(scores, {CARD_KEY: text}).SerializeToString()
    except onnx.checker.ValidationError as error:
        raise ModelError(f"the exported graph is not valid ONNX; nothing was written ({error})") from error
    rng = np.random.default_rng(_PROBE_SEED)
    difference = reference.check(model, card, rng=rng)
    write_atomically(path, model)
    write_atomically(path.with_name(f"{path.name}.json"), text.encode())
    return Exported(path=path, size_bytes=len(model), difference=difference)
