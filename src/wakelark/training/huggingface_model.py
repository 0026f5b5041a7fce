"""A local Hugging Face directory (wav2vec2, HuBERT, WavLM): read from disk only, safetensors only, no code of its own.

Nothing here ever asks the network, runs Python from the directory or reads a pickle.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from wakelark.audio import SAMPLE_RATE
from wakelark.errors import ModelError, SetupError
from wakelark.training.teacher import EmbeddingGrid, as_float, weights_fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KNOWN_TYPES = ("wav2vec2", "hubert", "wavlm")
PHRASE_CLASS = 1
_VARIANCE_FLOOR = 1e-7
"""As transformers' Wav2Vec2FeatureExtractor has it."""
_HARMLESS = ("masked_spec_embed",)
"""Only used in training, so a checkpoint may lack it."""
_BLOCK = 8


@dataclass(frozen=True, slots=True)
class _Description:
    """What the small files of the directory say."""

    model_type: str
    classifies: bool
    labels: int
    do_normalize: bool


class HuggingFaceModel:
    """A frozen model from a directory.

    Args:
        folder: with `config.json`, `preprocessor_config.json` and `model.safetensors` (or its shards with an index).
        device: "cpu" or "cuda".

    Attributes:
        classifies: it was fine-tuned: a head of two classes, of which class 1 is the phrase.
        grid: of the hidden states. Its span is that of the convolutions; the transformer hears the whole clip, the
            audio after a state included.
        fingerprint: of the weights and of the normalisation.

    Raises:
        ModelError: the directory is missing or incomplete, holds only pickles, another kind of model, another rate or
            another number of classes.
        SetupError: the extra `hf` is not installed.
    """

    def __init__(self, folder: Path, *, device: str) -> None:
        description = _describe(folder)
        self.classifies = description.classifies
        self._normalises = description.do_normalize
        self._device = device
        self._model = _load(folder, classifies=description.classifies)
        nn.Module.to(self._model, device)
        config = self._model.config
        strides, kernels = list(config.conv_stride), list(config.conv_kernel)
        span = 1 + sum((kernel - 1) * math.prod(strides[:layer]) for layer, kernel in enumerate(kernels))
        self.grid = EmbeddingGrid(math.prod(strides), span, int(config.hidden_size))
        normalises = torch.tensor([float(self._normalises)])
        self.fingerprint = weights_fingerprint({**self._model.state_dict(), "normalises": normalises})

    def class_logits(self, audio: Tensor) -> Tensor:
        """Log-odds of the phrase, by the fine-tuned head. Shape: `[B, N] -> [B]`"""
        with torch.no_grad():
            found = [self._model(self._prepared(block)).logits for block in audio.split(_BLOCK)]
        logits = torch.cat(found)
        return (logits[:, PHRASE_CLASS] - logits[:, 1 - PHRASE_CLASS]).cpu()

    def hidden_states(self, audio: Tensor) -> Tensor:
        """The mean of all layers' hidden states: which layer knows words best differs, and it is seldom the last.

        Shape: `[B, N] -> [B, grid.count(N), grid.size]`
        """
        body = self._model.base_model
        with torch.no_grad():
            found = [
                torch.stack(body(self._prepared(block), output_hidden_states=True).hidden_states).mean(dim=0)
                for block in audio.split(_BLOCK)
            ]
        return torch.cat(found).cpu()

    def _prepared(self, audio: Tensor) -> Tensor:
        """Audio as the model was trained on it. Shape: `[B, N] -> [B, N]`"""
        clips = as_float(audio).to(self._device)
        if not self._normalises:
            return clips
        centred = clips - clips.mean(dim=1, keepdim=True)
        return centred / (centred.square().mean(dim=1, keepdim=True) + _VARIANCE_FLOOR).sqrt()


def check_transformers() -> None:
    """Make sure that the extra is there, and that it stays off the network.

    Raises:
        SetupError: it is not installed.
    """
    # Read when the package is imported; from_pretrained is told so again.
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    try:
        from transformers.utils import logging
    except ImportError as error:
        raise SetupError(
            f"distillation.teachers names a Hugging Face directory, which needs transformers ({error}); install it "
            f"with: pip install 'wakelark[hf]'"
        ) from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _describe(folder: Path) -> _Description:
    if not folder.is_dir():
        raise ModelError(
            f"hf:{folder}: no such directory; name a local one with config.json and model.safetensors (wakelark "
            f"downloads no models)"
        )
    config = _json(folder, "config.json", "it is no Hugging Face model directory")
    _check_weights(folder)
    found = _json(folder, "preprocessor_config.json", "it says whether the audio is normalised; copy it from the model")
    kind = config.get("model_type")
    if kind not in KNOWN_TYPES:
        raise ModelError(f"hf:{folder}: model_type {kind!r} is not supported; choose one of: {', '.join(KNOWN_TYPES)}")
    rate = found.get("sampling_rate")
    if rate != SAMPLE_RATE:
        raise ModelError(f"hf:{folder} expects audio at {rate} Hz, wakelark has {SAMPLE_RATE} Hz; choose another model")
    if not isinstance(found.get("do_normalize"), bool):
        raise ModelError(f"hf:{folder}: preprocessor_config.json lacks do_normalize (true or false); add it")
    classifies = any(str(name).endswith("ForSequenceClassification") for name in config.get("architectures") or [])
    labels = len(config.get("id2label") or {0: "", 1: ""})  # transformers leaves out the two it takes for granted
    if classifies and labels != 2:
        raise ModelError(
            f"hf:{folder} was fine-tuned for {labels} classes; fine-tune it for two (class {PHRASE_CLASS} is the "
            f"phrase), or save its backbone alone (model.base_model.save_pretrained), which gets a head of its own"
        )
    return _Description(str(kind), classifies, labels, found["do_normalize"])


def _json(folder: Path, name: str, why: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise ModelError(f"hf:{folder} has no {name}; {why}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy it again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object; copy it again")
    return content


def _check_weights(folder: Path) -> None:
    if any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        return
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    if pickles:
        raise ModelError(
            f"hf:{folder} holds its weights as a pickle ({pickles[0]}), which can run any code when it is read. Where "
            f"you trust it, convert it once with transformers: AutoModel.from_pretrained(DIR).save_pretrained(NEW)"
        )
    raise ModelError(f"hf:{folder} has no model.safetensors; copy the weights there, too")


def _load(folder: Path, *, classifies: bool) -> PreTrainedModel:
    check_transformers()
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoModelForAudioClassification

    kind = AutoModelForAudioClassification if classifies else AutoModel
    try:
        model, info = kind.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32,
            output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        raise ModelError(f"hf:{folder} cannot be loaded: {error}; copy the directory again") from error
    missing = [name for name in sorted(info["missing_keys"]) if not name.endswith(_HARMLESS)]
    if missing or info["mismatched_keys"]:
        raise ModelError(
            f"hf:{folder}: model.safetensors lacks weights that config.json asks for, for instance "
            f"{(missing or [str(key) for key in info['mismatched_keys']])[0]}; they would be random"
        )
    return model.eval().requires_grad_(False)
