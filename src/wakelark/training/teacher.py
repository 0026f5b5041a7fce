"""Teachers: whatever can say, from raw audio, how likely a clip holds the phrase."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from wakelark.audio import to_int16
from wakelark.errors import DataError, ModelError
from wakelark.losses.supervised import is_one_logit


@dataclass(frozen=True, slots=True)
class EmbeddingGrid:
    """Which samples a teacher's embeddings are of: embedding e covers `hop_samples * e` to `... + span_samples`.

    Attributes:
        hop_samples: from one embedding to the next.
        span_samples: that one embedding hears at least; a network that hears the whole clip has no exact span.
        size: values in an embedding.
    """

    hop_samples: int
    span_samples: int
    size: int

    def count(self, samples: int) -> int:
        """How many embeddings a clip gives.

        >>> EmbeddingGrid(1280, 12_512, 96).count(32_000)
        16
        """
        return max(0, (samples - self.span_samples) // self.hop_samples + 1)


class Teacher(ABC):
    """The one interface of all teachers: raw audio in. A teacher is never trained here: it is called without gradients.

    Every teacher has logits. One that also has embeddings overrides `grid` and `embeddings`; both raise elsewhere.
    """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies the teacher's weights; a run is only resumed with the teacher it was started with."""

    @abstractmethod
    def logits(self, audio: Tensor) -> Tensor:
        """The logits of whole clips, pooled over time, in evaluation mode and float32.

        Shape: `[B, N]` (16 kHz; int16, or float in [-1, 1]) `-> [B]` (one logit) or `[B, C]`
        """

    @property
    def grid(self) -> EmbeddingGrid:
        """Where the embeddings lie in time.

        Raises:
            ModelError: this teacher has none.
        """
        raise ModelError(
            f"{type(self).__name__} gives logits and no embeddings; for embeddings take the heads (distillation."
            f"teachers: [heads]), a wakelark run or a Hugging Face directory"
        )

    def embeddings(self, audio: Tensor) -> Tensor:
        """What the teacher makes of every moment of the clips, in evaluation mode and float32.

        Shape: `[B, N]` (16 kHz; int16, or float in [-1, 1]) `-> [B, grid.count(N), grid.size]`

        Raises:
            ModelError: this teacher has none.
        """
        raise ModelError(f"{type(self).__name__} has the grid {self.grid}, but no embeddings on it")


class ModuleTeacher(Teacher):
    """A torch module that maps float audio `[B, N]` to logits `[B]`, `[B, 1]` or `[B, C]`."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module.eval()
        self._fingerprint = weights_fingerprint(module.state_dict())

    @property
    @override
    def fingerprint(self) -> str:
        return self._fingerprint

    @override
    def logits(self, audio: Tensor) -> Tensor:
        self._module.eval()  # also when its owner has called train() on it since
        with torch.no_grad():
            return self._module(as_float(audio))


class CachedTeacher(Teacher):
    """A teacher with one logit that hears every clip once and then remembers what it said.

    Clips are recognised by their content: a 128-bit multilinear hash of the int16 samples, with fixed random
    multipliers (measured on [160, 32000]: 1.4 ms, where sha1 takes 6.5 ms and blake2b 17 ms; a step of the student
    takes about 80 ms). A logit is therefore only ever given for the very samples it was computed from, and an unknown
    clip is heard live. `len` is the number of clips it knows.

    Args:
        teacher: who is asked; its logits are `[B]` or `[B, 1]`.
    """

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._logits: dict[bytes, float] = {}

    @property
    @override
    def fingerprint(self) -> str:
        return self._teacher.fingerprint

    @property
    @override
    def grid(self) -> EmbeddingGrid:
        return self._teacher.grid

    @override
    def embeddings(self, audio: Tensor) -> Tensor:
        """The teacher's own, never from the cache."""
        return self._teacher.embeddings(audio)

    def __len__(self) -> int:
        return len(self._logits)

    def remember(self, clips: np.ndarray, logits: np.ndarray) -> None:
        """Take over logits this very teacher has given elsewhere (say, from stored embeddings).

        Shape: int16 `[n, N]`, float `[n]`

        Raises:
            DataError: the two do not belong together.
        """
        if logits.shape != (len(clips),):
            raise DataError(f"{len(clips)} clips need {len(clips)} teacher logits, not {list(logits.shape)}")
        self._logits.update(zip(_content_keys(clips), logits.tolist(), strict=True))

    @override
    def logits(self, audio: Tensor) -> Tensor:
        clips = _as_int16(audio)
        keys = _content_keys(clips)
        unknown = [row for row, key in enumerate(keys) if key not in self._logits]
        if unknown:
            self.remember(clips[unknown], self._ask(torch.from_numpy(clips[unknown])).numpy())
        return torch.tensor([self._logits[key] for key in keys], dtype=torch.float32, device=audio.device)

    def _ask(self, audio: Tensor) -> Tensor:
        with torch.no_grad():
            logits = self._teacher.logits(audio)
        if not is_one_logit(logits) or len(logits) != len(audio):
            raise ModelError(
                f"only a teacher with one logit per clip can be cached, but this one gave {list(logits.shape)} for "
                f"{len(audio)} clips"
            )
        return logits.reshape(-1).float().cpu()


def check_teacher(teacher: Teacher, audio: Tensor) -> None:
    """Ask the teacher for a few clips before the training starts, and refuse one that cannot teach.

    Shape: `[B, N]`, some 8 clips

    Raises:
        ModelError: logits of a wrong shape, not finite, different at the second time of asking, or the same for all.
    """
    with torch.no_grad():
        first, second = teacher.logits(audio), teacher.logits(audio)
    check_teacher_logits(first, len(audio))
    if not bool(torch.isfinite(first).all()):
        raise ModelError(
            f"the teacher gave {int((~torch.isfinite(first)).sum())} logits that are not finite for {len(audio)} "
            f"clips; train it again, or check that it expects 16 kHz audio in [-1, 1]"
        )
    if not torch.allclose(first, second, rtol=1e-4, atol=1e-4):
        raise ModelError(
            f"the teacher answers the same clips differently (by up to {float((first - second).abs().max()):.3g}): "
            f"it is not in evaluation mode"
        )
    if len(audio) > 1 and bool((first == first[:1]).all()):
        raise ModelError(
            f"the teacher gives the same logits for {len(audio)} different clips: it has nothing to teach; name "
            f"another one in distillation.teachers, or set distillation.enabled: false"
        )


def check_embeddings(embeddings: Tensor, *, grid: EmbeddingGrid, samples: int) -> None:
    """Refuse embeddings that cannot teach.

    Args:
        embeddings: of at least two different clips.
        grid: what the teacher says of them.
        samples: length of the clips.

    Shape: `[B, E, D]`

    Raises:
        ModelError: a wrong shape, values that are not finite, or the same values for all clips.
    """
    expected = [len(embeddings), grid.count(samples), grid.size]
    if list(embeddings.shape) != expected:
        raise ModelError(
            f"the teacher must give embeddings {expected} for clips of {samples} samples, but gave "
            f"{list(embeddings.shape)}"
        )
    if not bool(torch.isfinite(embeddings).all()):
        raise ModelError("the teacher's embeddings are not finite; its weights are damaged or not meant for speech")
    if bool((embeddings == embeddings[:1]).all()):
        raise ModelError("the teacher gives the same embeddings for different clips: it has nothing to teach")


def check_teacher_logits(logits: Tensor, examples: int) -> None:
    """Refuse logits that are not `[B]`, `[B, 1]` or `[B, C]`.

    Raises:
        ModelError: naming the shape.
    """
    if logits.ndim not in (1, 2) or len(logits) != examples:
        raise ModelError(
            f"the teacher must give logits [{examples}] or [{examples}, C] for {examples} clips, pooled over time, "
            f"but gave {list(logits.shape)}"
        )


def weights_fingerprint(weights: Mapping[str, Tensor]) -> str:
    """24 hex digits of names, shapes, types and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:24]


def as_float(audio: Tensor) -> Tensor:
    """Audio as float32 in [-1, 1]: int16 is scaled, float stays.

    Shape: `[*] -> [*]`

    >>> as_float(torch.tensor([16384], dtype=torch.int16))
    tensor([0.5000])
    """
    return audio.float() / 32768.0 if audio.dtype == torch.int16 else audio.float()


def _as_int16(audio: Tensor) -> np.ndarray:
    clips = audio.detach().cpu().numpy()
    return clips if clips.dtype == np.int16 else to_int16(clips.astype(np.float32))


def _content_keys(clips: np.ndarray) -> list[bytes]:
    """A 16-byte key per clip, equal for equal samples.

    Two sums of words times random odd 64-bit numbers, the second over words shifted by half their width: a difference
    in the top bits of a word, which one sum alone would keep only in its top bits, is in the middle of a word of the
    other.

    Shape: int16 `[n, N] ->` n keys
    """
    if clips.ndim != 2 or clips.dtype != np.int16:
        raise DataError(f"clips must be int16 [n, N], not {clips.dtype} {list(clips.shape)}")
    samples = clips.shape[1]
    words = samples // 4 + 2
    padded = np.zeros((len(clips), words * 4), np.int16)  # two samples of silence first, the rest behind
    padded[:, 4 : 4 + samples] = clips
    generator = np.random.default_rng(samples)
    odd = generator.integers(0, 2**63, size=(2, words), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    straight = padded.view(np.uint64) @ odd[0]
    shifted = np.ascontiguousarray(padded[:, 2:-2]).view(np.uint64) @ odd[1, :-1]
    return [key.tobytes() for key in np.stack([straight, shifted], axis=1)]
