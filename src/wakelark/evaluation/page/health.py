"""What is wrong with the data that the models were made from, as far as it was checked."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from wakelark.evaluation.page.numbers import count, plain
from wakelark.evaluation.page.parts import code_spans, foldable, section


def health(found: Mapping[str, Any] | None) -> str:
    """The section; nothing where the data was not checked."""
    if not found:
        return ""
    checked = ", ".join(f"{count(number)} {escape(plain(what))}" for what, number in found["checked"].items())
    body = "".join(_finding(finding) for finding in found["findings"])
    told = f"<p>Looked at: {checked}.</p>" if checked else ""
    nothing = "<p>Nothing was found to be wrong.</p>"
    lead = "Recordings that are broken, doubled or under the wrong label spoil both the model and its figures."
    return section(
        "health", "Is the data sound?", lead, told + (f'<ul class="findings">{body}</ul>' if body else nothing)
    )


def _finding(finding: Mapping[str, Any]) -> str:
    tag = '<span class="tag wakes">to mend</span>' if finding["level"] == "warn" else '<span class="tag">to know</span>'
    names = [str(item.get("file", item.get("voice", ""))) for item in finding["items"]]
    listed = "".join(f"<li>{escape(name)}</li>" for name in names if name)
    return (
        f'<li><p class="what">{code_spans(_sentence(finding["what"]))} {tag}</p>'
        f'<p class="soft">{code_spans(_sentence(finding["remedy"]))}</p>'
        f"{foldable('Which', f'<ul>{listed}</ul>', is_open=False) if listed else ''}</li>"
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
