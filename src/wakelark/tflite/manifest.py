"""The manifest that ESPHome and pymicro-wakeword read beside a model: version 2, exactly the keys that are allowed.

ESPHome refuses a manifest with any key that it does not know, so what else there is to say goes into a side file.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Protocol

from wakelark.errors import ModelError
from wakelark.model_card import CardPreset
from wakelark.tflite.facts import MicroFacts
from wakelark.tflite.tflm import ALIGNMENT_BYTES

MANIFEST_VERSION = 2
FEATURE_STEP_MS = 10
"""Of the front end; all models on one device must share it, and the published ones have this."""
MINIMUM_ESPHOME_VERSION = "2024.7.0"
"""The first that reads manifests of version 2."""
ARENA_SHARE = 1.4
"""Arena that is asked for, of what was measured here: a chip's optimised kernels want memory of their own, and
published manifests that asked for less than that stopped booting when those kernels changed."""
VAD_WORD = "vad"
"""As a wake word it means that the file is a voice-activity model."""
_CUTOFF_STEPS = 255
_SCORE_STEPS = 256
_MOST_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroManifest:
    """What a manifest says.

    Attributes:
        wake_word: as it is shown to the user.
        author: of the model.
        website: of it, "" for none.
        model: name of the `.tflite` file beside it.
        languages: that it was trained for, such as "en".
        cutoff: it fires when the mean score is above this.
        averaged: over how many scores the mean is taken.
        arena_bytes: memory for tensors.
    """

    wake_word: str
    author: str
    website: str
    model: str
    languages: tuple[str, ...]
    cutoff: float
    averaged: int
    arena_bytes: int

    def to_json(self) -> str:
        """The file's content."""
        website = {"website": self.website} if self.website else {}
        content = {
            "type": "micro",
            "wake_word": self.wake_word,
            "author": self.author,
            **website,
            "model": self.model,
            "trained_languages": list(self.languages),
            "version": MANIFEST_VERSION,
            "micro": {
                "probability_cutoff": self.cutoff,
                "feature_step_size": FEATURE_STEP_MS,
                "sliding_window_size": self.averaged,
                "tensor_arena_size": self.arena_bytes,
                "minimum_esphome_version": MINIMUM_ESPHOME_VERSION,
            },
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


class DeviceCard(Protocol):
    """What a manifest needs of a card: of `ModelCard`, or of the card that a run's student for devices has."""

    @property
    def phrase(self) -> str: ...

    @property
    def language(self) -> str: ...

    @property
    def smoothing_steps(self) -> int: ...

    @property
    def refractory_s(self) -> float: ...

    @property
    def presets(self) -> tuple[CardPreset, ...]: ...

    def to_json(self) -> str:
        """All of it."""
        ...


def manifest_for(
    card: DeviceCard, *, threshold: float, model: str, author: str, website: str, smallest_arena_bytes: int
) -> MicroManifest:
    """The manifest of a model whose scores are shifted as its card says.

    Args:
        card: phrase, language and smoothing.
        threshold: of the mean score, above 0 and at most 1.
        model: name of the `.tflite` file.
        author, website: to show; "" for no website.
        smallest_arena_bytes: in which TFLite-Micro ran it.

    Raises:
        ModelError: the phrase is the one word that ESPHome keeps for itself.
    """
    if card.phrase.strip().lower() == VAD_WORD:
        raise ModelError(f'the wake word "{VAD_WORD}" means voice activity to ESPHome; train another phrase')
    return MicroManifest(
        wake_word=card.phrase,
        author=author,
        website=website,
        model=model,
        languages=(card.language.split("-")[0],),
        cutoff=cutoff_for(threshold),
        averaged=card.smoothing_steps,
        arena_bytes=arena_for(smallest_arena_bytes),
    )


def cutoff_for(threshold: float) -> float:
    """The cutoff with which a device fires where wakelark would.

    wakelark fires at a mean score of `threshold` or more. The firmware compares the mean of its integers, 256ths, with
    floor(cutoff * 255) and fires above it; pymicro-wakeword compares the mean score with the cutoff itself. Of the
    cutoffs that both take for the last integer below the threshold, this is the lowest one with the fewest digits.

    Args:
        threshold: above 0 and at most 1.

    >>> cutoff_for(0.5), cutoff_for(0.97), cutoff_for(1.0)
    (0.499, 0.9726, 0.99608)
    """
    last = min(math.ceil(threshold * _SCORE_STEPS) - 1, _SCORE_STEPS - 2)
    for digits in range(1, _MOST_DIGITS):
        cutoff = math.ceil(last / _CUTOFF_STEPS * 10**digits) / 10**digits
        if cutoff < (last + 1) / _SCORE_STEPS:
            return cutoff
    raise AssertionError(f"no cutoff between {last}/255 and {last + 1}/256")


def arena_for(smallest_bytes: int) -> int:
    """What to ask for when `smallest_bytes` were enough here: a good deal more, in whole 16 bytes.

    >>> arena_for(20000)
    28000
    """
    return math.ceil(smallest_bytes * ARENA_SHARE / ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def side_file(card: DeviceCard, facts: MicroFacts, *, smallest_arena_bytes: int) -> str:
    """What the manifest has no key for, as JSON: other cutoffs, what the model is made of, its card.

    The firmware has no voice gate and its own pause after a detection (0.74 s below the cutoff): the card's refractory
    time does not act there.

    Args:
        card: of the model.
        facts: of its file.
        smallest_arena_bytes: in which TFLite-Micro ran it.
    """
    content = {
        "probability_cutoffs": {preset.name: cutoff_for(preset.threshold) for preset in card.presets},
        "smallest_arena_bytes": smallest_arena_bytes,
        "model": asdict(facts),
        "not_on_the_device": {"refractory_s": card.refractory_s},
        "card": json.loads(card.to_json()),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
