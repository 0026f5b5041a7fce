"""The manifest: the keys that ESPHome allows, and a cutoff that fires where the card says."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from wakelark.errors import ModelError
from wakelark.tflite.manifest import arena_for, cutoff_for, manifest_for, side_file
from wakelark.tflite.micro_student import build_micro_student

from .micro_material import micro_features, micro_student
from .tiny_model import tiny_card

TOP = {"type", "wake_word", "author", "website", "model", "trained_languages", "version", "micro"}
MICRO = {
    "feature_step_size", "tensor_arena_size", "probability_cutoff", "sliding_window_size", "minimum_esphome_version",
}  # fmt: skip


def test_exactly_the_allowed_keys() -> None:
    card = tiny_card(phrase="hey café", smoothing_steps=4)
    manifest = manifest_for(card, threshold=0.8, model="x.tflite", author="me", website="", smallest_arena_bytes=20_000)
    read = json.loads(manifest.to_json())
    assert set(read) == TOP - {"website"}
    assert set(read["micro"]) == MICRO
    assert (read["type"], read["version"], read["wake_word"], read["trained_languages"]) == (
        "micro", 2, "hey café", ["en"],
    )  # fmt: skip
    assert read["micro"]["sliding_window_size"] == 4
    assert read["micro"]["tensor_arena_size"] == 28_000
    known = dataclasses.replace(manifest, website="https://example.org")
    assert set(json.loads(known.to_json())) == TOP


@pytest.mark.parametrize("threshold", [0.001, 0.1, 0.3, 0.5, 0.501, 0.85, 0.97, 0.99, 0.995, 1.0])
def test_both_runtimes_fire_at_the_same_scores(threshold: float) -> None:
    """One score at a time: the lowest integer that fires is the first that reaches the threshold."""
    cutoff = cutoff_for(threshold)
    integers = np.arange(256)
    firmware = integers[integers > math.floor(cutoff * 255)]
    library = integers[integers / 256 > cutoff]
    wanted = min(math.ceil(threshold * 256), 255)
    assert (firmware[0], library[0]) == (wanted, wanted)


def test_arena_is_larger_and_aligned() -> None:
    for smallest in (1, 15_104, 24_528):
        assert arena_for(smallest) % 16 == 0
        assert 1.4 * smallest <= arena_for(smallest) < 1.4 * smallest + 16


def test_the_word_that_is_taken_is_refused() -> None:
    with pytest.raises(ModelError, match="means voice activity to ESPHome; train another phrase"):
        manifest_for(tiny_card(phrase="VAD"), threshold=0.5, model="x", author="me", website="", smallest_arena_bytes=1)


def test_the_side_file_says_the_rest() -> None:
    built = build_micro_student(micro_student(), shift=0.0, features=micro_features())
    read = json.loads(side_file(tiny_card(), built.facts, smallest_arena_bytes=15_104))
    assert read["model"]["variables"] == 5
    assert read["not_on_the_device"] == {"refractory_s": 1.5}
    assert read["card"]["phrase"] == "loud noise"
