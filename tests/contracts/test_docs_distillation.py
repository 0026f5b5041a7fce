"""The two documents on distillation against the code: keys, defaults, YAML, commands, and every Python block is run."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from wakelark.config import Config
from wakelark.training.trainer import Trainer

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE, REFERENCE = DOCS / "knowledge_distillation_guide.md", DOCS / "distillation_quick_reference.md"


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def value_of(key: str) -> object:
    """The default of a dotted key; KeyError where there is none."""
    value: object = Config()
    for name in key.split("."):
        assert isinstance(value, BaseModel), key
        value = dict(value)[name]
    return value


@pytest.mark.parametrize("document", [GUIDE, REFERENCE], ids=lambda path: path.stem)
def test_python_blocks_run_one_after_the_other(document: Path) -> None:
    found = blocks(document, "python")
    assert found
    namespace: dict[str, object] = {"__name__": "documentation"}
    for number, block in enumerate(found, start=1):
        exec(compile(block, f"{document.name}, block {number}", "exec"), namespace)


@pytest.mark.parametrize("document", [GUIDE, REFERENCE], ids=lambda path: path.stem)
def test_yaml_blocks_are_configurations(document: Path) -> None:
    found = blocks(document, "yaml")
    assert found
    for block in found:
        Config.model_validate(yaml.safe_load(block))


@pytest.mark.parametrize("document", [GUIDE, REFERENCE], ids=lambda path: path.stem)
def test_every_key_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    sections = "|".join(name for name, value in Config() if isinstance(value, BaseModel))
    keys = set(re.findall(rf"(?<![\w./])((?:{sections})\.[a-z_]+)(?=[`:= ,]|$)", text, re.MULTILINE))
    assert {"distillation.enabled", "distillation.alpha", "loss.hard_negative_weight"} <= keys
    for key in keys:
        value_of(key)


def test_the_guide_shows_the_defaults() -> None:
    shown = Config.model_validate(yaml.safe_load(blocks(GUIDE, "yaml")[0]))
    assert shown == Config()


def test_the_reference_has_every_key_with_its_default() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `((?:distillation|loss)\.[a-z_]+)` \| `([^`]+)` \|", text, re.MULTILINE))
    expected = {
        f"{section}.{name}": json.dumps(value)
        for section in ("distillation", "loss")
        for name, value in dict(Config())[section]
    }
    assert rows == expected


def test_the_reference_lists_the_arguments_in_order() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)(=None)?` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    parameters = list(inspect.signature(Trainer.compute_loss).parameters.values())[1:]
    assert rows == [(p.name, "=None" if p.default is None else "") for p in parameters]


def test_issues_are_numbered_and_number_seven_is_the_missing_parameter() -> None:
    titles = re.findall(r"^### Issue #(\d+): (.*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in titles] == list(range(1, len(titles) + 1))
    assert "unexpected keyword argument 'is_hard_negative'" in titles[6][1]
    reference = REFERENCE.read_text(encoding="utf-8")
    assert "unexpected keyword argument 'is_hard_negative'` (Issue #7)" in reference
    assert {int(number) for number in re.findall(r"Issue #(\d+)", reference)} <= {int(number) for number, _ in titles}


def test_both_are_of_their_kind() -> None:
    """One page means: what fits one."""
    assert len(REFERENCE.read_text(encoding="utf-8").splitlines()) <= 80
    headings = re.findall(r"^## (.*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = ["Concept", "Formula", "Configuration", "Training with and without hard negatives", "Examples"]
    assert [heading for heading in headings if heading in wanted] == wanted
    assert "Troubleshooting" in headings
