"""The card: what is written is read back, and what cannot be is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from wakelark.errors import ConfigError, ModelError
from wakelark.model_card import (
    CardJudged,
    CardPreset,
    CardPretrained,
    CardSource,
    ModelCard,
    lookback_steps,
    model_digest,
    patience_steps,
)


def preset(name: str, threshold: float, fa_per_hour: float) -> CardPreset:
    return CardPreset(
        name=name, threshold=threshold, fa_per_hour=fa_per_hour, miss_rate=0.02, false_alarms=1, supported=False,
        hours_needed=9.49,
    )  # fmt: skip


PRESETS = (preset("strict", 0.7, 0.1), preset("normal", 0.5, 0.5), preset("sensitive", 0.25, 2.0))


def card(**changes: Any) -> ModelCard:
    values: dict[str, Any] = {
        "wakelark_version": "0.1.0",
        "phrase": "hey computer",
        "language": "en-us",
        "kind": "tiny",
        "step_samples": 640,
        "state_size": 100,
        "warm_up_samples": 6400,
        "threshold": 0.5,
        "smoothing_steps": 3,
        "refractory_s": 1.5,
        "gate_db": 0.0,
        "gate_hold_s": 1.5,
        "fa_per_hour": 0.5,
        "front_end": "logmel",
        "parameters": 37_000,
        "created": "2026-11-22",
        "presets": PRESETS,
        "logit_shift": -2.5,
        "judged": CardJudged(
            judge="0123456789abcdef",
            wake_threshold=0.05,
            wakes_per_hour=19.8,
            lookback_s=0.4,
            patience_s=0.4,
            judge_weight=0.5,
            logit_shift=1.2,
            presets=PRESETS,
        ),
        "provenance": (CardSource(source="own recordings", licence="own", clips=12, hours=0.01),),
        "pretrained": (CardPretrained(name="speech embedding", licence="Apache-2.0", note="frozen"),),
        "measured": {"test": {"miss_rate": 0.02, "ünïcode": None}},
        "versions": {"torch": "2.13"},
    }
    return ModelCard(**{**values, **changes})


def changed(path: list[Any], value: object) -> str:
    data = json.loads(card().to_json())
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(data)


def test_what_is_written_is_read_back() -> None:
    assert ModelCard.from_json(card().to_json()) == card()
    assert card().to_json() == card().to_json()


def test_a_whole_number_serves_as_a_float() -> None:
    assert ModelCard.from_json(changed(["refractory_s"], 2)).refractory_s == 2.0


def test_keys_of_later_versions_are_ignored() -> None:
    assert ModelCard.from_json(changed(["mood"], "good")) == card()


@pytest.mark.parametrize("field", sorted(json.loads(card().to_json())))
def test_a_missing_field_is_named(field: str) -> None:
    data = json.loads(card().to_json())
    del data[field]
    with pytest.raises(ModelError, match=f"field {field} is missing"):
        ModelCard.from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["step_samples"], "640", "step_samples is '640', but must be a whole number"),
        (["step_samples"], 0, "step_samples"),
        (["step_samples"], True, "step_samples"),
        (["step_samples"], 640.5, "step_samples"),
        (["warm_up_samples"], 6401, "multiple of step_samples"),
        (["warm_up_samples"], 640 * 10**7, "warm_up_samples"),
        (["threshold"], 1.5, "threshold is 1.5"),
        (["threshold"], None, "threshold is None, but must be a number"),
        (["threshold"], 10**400, "threshold"),
        (["kind"], "huge", "one of accurate, tiny"),
        (["phrase"], " ", "phrase"),
        (["phrase"], "hey \x1b]0;owned\x07", "without control characters"),
        (["sample_rate"], 8000, "must be 16000"),
        (["format_version"], 3, "update wakelark"),
        (["format_version"], 1, "export the model again"),
        (["gate_db"], -1, "gate_db"),
        (["presets", 0, "name"], "eager", "one of strict, normal, sensitive"),
        (["presets", 1, "threshold"], 0.4, "that of the normal preset"),
        (["presets", 2, "threshold"], 0.6, "falling from strict to sensitive"),
        (["presets", 0, "supported"], 1, "true or false"),
        (["judged"], 3, "judged is 3, but must be an object"),
        (["judged", "judge_weight"], 1.5, "judge_weight"),
        (["judged", "wake_threshold"], 0, "judged.wake_threshold"),
        (["judged", "presets", 1, "threshold"], 0.9, "falling from strict to sensitive"),
        (["judged", "patience_s"], "long", r"judged\.patience_s"),
        (["provenance"], {}, "provenance is {}, but must be a list"),
        (["provenance", 0], 3, r"provenance\[0\] is 3, but must be an object"),
        (["provenance", 0, "clips"], "many", r"provenance\[0\]\.clips"),
        (["versions", "torch"], 2, "object of texts"),
        (["measured"], [], "measured"),
    ],
)
def test_what_cannot_be_is_named(path: list[Any], value: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ModelCard.from_json(changed(path, value))


def test_a_file_without_presets_and_without_a_judge_is_a_model() -> None:
    assert ModelCard.from_json(changed(["judged"], None)).judged is None
    assert ModelCard.from_json(changed(["presets"], [])).presets == ()


def test_a_card_of_an_older_version_is_told_so_before_its_fields_are_missed() -> None:
    with pytest.raises(ModelError, match="format_version is 1, .*export the model again"):
        ModelCard.from_json('{"format_version": 1}')


def test_presets_are_found_by_name() -> None:
    assert card().preset("sensitive").threshold == 0.25
    with pytest.raises(ConfigError, match="no preset 'eager'; there are strict, normal, sensitive"):
        card().preset("eager")
    with pytest.raises(ConfigError, match="give a threshold"):
        card(presets=()).preset("strict")


def test_durations_become_steps_alike_for_everyone() -> None:
    assert [lookback_steps(lookback_s, step_s=0.08) for lookback_s in (0.0, 0.4, 0.44)] == [1, 5, 6]
    assert [patience_steps(patience_s, step_s=0.04) for patience_s in (0.0, 0.4)] == [0, 10]


def test_a_file_is_named_by_its_content() -> None:
    assert model_digest(b"") == "e3b0c44298fc1c14"


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"threshold": NaN}', "[" * 100_000])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="the model's card"):
        ModelCard.from_json(text)


def test_infinity_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        card(measured={"x": float("inf")}).to_json()


def test_it_needs_the_standard_library_only() -> None:
    code = "import sys, wakelark.model_card; print({'numpy', 'torch', 'onnx', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
