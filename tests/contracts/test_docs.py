"""The documents say what the code does: every verb, every key with its default, every link; no machine is named."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from pydantic import BaseModel

from wakelark.cli import VERBS
from wakelark.config import PRESETS, Config

REPOSITORY = Path(__file__).resolve().parents[2]
# Put together here, so that this file does not hold what it looks for.
MACHINE_PATHS = ["/" + folder + "/" for folder in ("root", "work", "home", "Users")]
REGISTRY_HOSTS = [
    ".".join(words)
    for words in (("pypi", "org"), ("pythonhosted", "org"), ("debian", "org"), ("npmjs", "org"), ("npmjs", "com"))
]


def tracked_files() -> list[Path]:
    """What the repository holds, without what was deleted and not yet committed."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    files = (REPOSITORY / name for name in listed.stdout.split("\0") if name)
    return [path for path in files if path.is_file()]


DOCUMENTS = sorted(path for path in tracked_files() if path.suffix == ".md")


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def anchors(document: Path) -> set[str]:
    """The anchors that a forge makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def keys(section: BaseModel, prefix: str = "") -> dict[str, object]:
    """Every key of the configuration, dotted, with its default."""
    found: dict[str, object] = {}
    for name, value in section:
        if isinstance(value, BaseModel):
            found |= keys(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert f"`wakelark {verb}" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_documents_name_only_verbs_that_exist() -> None:
    named = {
        (name_of(document), verb)
        for document in DOCUMENTS
        for verb in re.findall(r"(?:^|`|\$ )wakelark ([a-z]+)", document.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {(document, verb) for document, verb in named if verb not in VERBS} == set()


def test_every_key_is_documented_with_its_default() -> None:
    text = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| `([^`]*)` \| (?!`[^`]*` \|$)", text, re.MULTILINE))
    assert rows == {key: json.dumps(default) for key, default in keys(Config()).items()}


def test_every_preset_is_documented() -> None:
    text = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z]+)` \| `([a-z_.]+)` \| `([^`]*)` \|$", text, re.MULTILINE)
    assert rows == [(preset, key, json.dumps(value)) for preset, keys in PRESETS.items() for key, value in keys.items()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{name_of(path)}: {mark}" for mark in MACHINE_PATHS + REGISTRY_HOSTS if mark in text]
    assert found == []


IMPORTS = sorted(
    {
        (name_of(document), module, name.strip())
        for document in DOCUMENTS
        for block in re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
        for module, names in re.findall(r"^from (wakelark[\w.]*) import ([\w, ]+)", block, re.MULTILINE)
        for name in names.split(",")
    }
)


@pytest.mark.parametrize(("document", "module", "name"), IMPORTS)
def test_what_a_document_imports_is_there(document: str, module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name), document
