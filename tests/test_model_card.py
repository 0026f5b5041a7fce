"""The card: what is written is read back, and what cannot be is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from wakelark.errors import ModelError
from wakelark.model_card import CardOperatingPoint, CardPretrained, CardSource, ModelCard


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
        "fa_per_hour": 0.5,
        "front_end": "logmel",
        "parameters": 37_000,
        "created": "2026-11-22",
        "operating_points": (CardOperatingPoint(fa_per_hour_budget=0.5, threshold=0.5, miss_rate=0.02),),
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
        (["sample_rate"], 8000, "must be 16000"),
        (["format_version"], 2, "update wakelark"),
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
