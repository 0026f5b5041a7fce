"""Whether ESPHome accepts a manifest: its keys and types, which are refused there with a message that names neither."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from wakelark.tflite.findings import Finding, error, warning
from wakelark.tflite.manifest import FEATURE_STEP_MS, MANIFEST_VERSION, VAD_WORD

MOST_STEP_MS = 30
_VERSION = re.compile(r"[0-9]{4}\.[0-9]{1,2}\.[0-9]{1,3}(-?[a-z0-9.]+)?")
_SHOWN_CHARACTERS = 80
_NEVER = 255
_CUTOFF_STEPS = 255
_MOST_UNKNOWN = 10
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class _Key:
    """What a key must hold: a test, and its words."""

    fits: Callable[[object], bool]
    wanted: str
    required: bool = True


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value and not _SURROGATE.search(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_url(value: object) -> bool:
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


_TOP = {
    "type": _Key(lambda value: value == "micro", 'the text "micro"'),
    "wake_word": _Key(_is_text, "a text"),
    "author": _Key(lambda value: isinstance(value, str), "a text"),
    "website": _Key(_is_url, "a web address (https://...), or be left out", required=False),
    "model": _Key(_is_text, "the name of the .tflite file beside the manifest"),
    "trained_languages": _Key(
        lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
        'a list of texts, for instance ["en"]',
    ),
    "version": _Key(lambda value: _is_whole(value) and value == MANIFEST_VERSION, f"{MANIFEST_VERSION}"),
    "micro": _Key(lambda value: isinstance(value, dict), "an object with the model's settings"),
}
_MICRO = {
    "feature_step_size": _Key(
        lambda value: _is_whole(value) and isinstance(value, int) and 0 < value <= MOST_STEP_MS,
        f"a whole number of milliseconds, 1 to {MOST_STEP_MS}; published models have {FEATURE_STEP_MS}",
    ),
    "tensor_arena_size": _Key(
        lambda value: _is_whole(value) and isinstance(value, int) and value > 0, "a whole number of bytes above 0"
    ),
    "probability_cutoff": _Key(
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1,
        "a number above 0 and at most 1",
    ),
    "sliding_window_size": _Key(
        lambda value: _is_whole(value) and isinstance(value, int) and value > 0, "a whole number above 0"
    ),
    "minimum_esphome_version": _Key(
        lambda value: isinstance(value, str) and bool(_VERSION.fullmatch(value)), "a full version such as 2024.7.0"
    ),
}


@dataclass(frozen=True, slots=True)
class ManifestLint:
    """Of a manifest.

    Attributes:
        findings: the fatal ones too.
        model: name of the model's file, where it has a usable one.
        arena_bytes: that it asks for, where it says so.
    """

    findings: list[Finding]
    model: str | None
    arena_bytes: int | None


def lint_manifest(data: bytes) -> ManifestLint:
    """Look at a manifest's content.

    Args:
        data: of the file; it may be hostile.
    """
    try:
        content = json.loads(data, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as wrong:
        finding = error("the file", f"is no valid JSON ({_shown(str(wrong))})", "mend it, or export the model again")
        return ManifestLint([finding], None, None)
    if not isinstance(content, dict):
        finding = error("the file", "holds no JSON object", "a manifest of version 2 was expected")
        return ManifestLint([finding], None, None)
    findings = _check(content, _TOP, "")
    micro = content.get("micro")
    settings: dict[str, object] = micro if isinstance(micro, dict) else {}
    if isinstance(micro, dict):
        findings += _check(settings, _MICRO, "micro.")
    findings += _advice(content, settings)
    model, arena = content.get("model"), settings.get("tensor_arena_size")
    return ManifestLint(
        findings,
        model if isinstance(model, str) and _TOP["model"].fits(model) else None,
        arena if isinstance(arena, int) and _MICRO["tensor_arena_size"].fits(arena) else None,
    )


def _check(content: dict[str, object], known: dict[str, _Key], prefix: str) -> list[Finding]:
    found: list[Finding] = []
    for name, key in known.items():
        if name not in content:
            if key.required:
                found.append(error(f"{prefix}{name}", "is missing", f"it must be {key.wanted}"))
        elif not key.fits(content[name]):
            value = _shown(json.dumps(content[name]))
            found.append(error(f"{prefix}{name}", f"is {value}", f"it must be {key.wanted}"))
    unknown = [name for name in content if name not in known]
    for name in unknown[:_MOST_UNKNOWN]:
        near = difflib.get_close_matches(name[:_SHOWN_CHARACTERS], known, n=1)
        remedy = f"did you mean {near[0]}?" if near else "remove it: ESPHome refuses keys that it does not know"
        found.append(error(f"{prefix}{_shown(name)}", "is no key of a manifest", remedy))
    if len(unknown) > _MOST_UNKNOWN:
        more = f"and {len(unknown) - _MOST_UNKNOWN} more"
        found.append(error(f"{prefix}...", f"{more} are no keys of a manifest", "is this a manifest at all?"))
    return found


def _advice(content: dict[str, object], micro: dict[str, object]) -> list[Finding]:
    """What is accepted, but surprises."""
    found: list[Finding] = []
    cutoff, step = micro.get("probability_cutoff"), micro.get("feature_step_size")
    if isinstance(cutoff, int | float) and 0 < cutoff <= 1 and math.floor(cutoff * _CUTOFF_STEPS) == _NEVER:
        remedy = "the highest score is 255/256: choose at most 0.99"
        found.append(warning("micro.probability_cutoff", f"is {cutoff}: it will never fire", remedy))
    if _MICRO["feature_step_size"].fits(step) and step != FEATURE_STEP_MS:
        remedy = f"all models of a device must share it, and published ones have {FEATURE_STEP_MS}"
        found.append(warning("micro.feature_step_size", f"is {step}", remedy))
    if content.get("wake_word") == VAD_WORD:
        remedy = "give it another wake_word unless it is meant to be one"
        found.append(warning("wake_word", f'"{VAD_WORD}" makes this a voice-activity model', remedy))
    return found


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content: dict[str, object] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"the key {_shown(name)!r} stands there twice")
        content[name] = value
    return content


def _shown(text: str) -> str:
    """A text out of the file, cut short."""
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
