"""EXPORT.md: what lies beside it, how it gets to where it runs, and what to expect of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def export_page(phrase: str, report: Mapping[str, Any], targets: Sequence[Mapping[str, Any]]) -> str:
    """The page, as Markdown.

    Args:
        phrase: what the models listen for.
        report: the run's report.json.
        targets: entries of export.json.
    """
    lines = [
        f'# "{phrase}", exported',
        "",
        "Written by `wakelark export`; every file was run in its target's own runtime before it was kept. The same "
        "figures, for programs, are in `export.json`.",
        "",
        *_table(
            ("folder", "for", "files"),
            [(f"`{t['name']}/`", t["summary"], f"{len(t['files'])}, {_size(t['files'])}") for t in targets],
        ),
        "",
        *_expectations(report, targets),
    ]
    for target in targets:
        lines += ["", *_section(target)]
    return "\n".join([*lines, "", "## Licences", "", *_licences(report)]) + "\n"


def _expectations(report: Mapping[str, Any], targets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Misses and false alarms of the models that some file here is, with intervals."""
    wanted = {file["model"] for target in targets for file in target["files"]}
    models = [model for model in report["models"] if model["name"] in wanted]
    rows: list[tuple[str, ...]] = [
        (model["name"], _misses(model["realised"]), _misses(model["realised_noisy"]),
         _alarms(model["realised"]))
        for model in models
    ]  # fmt: skip
    measured = [file["facts"] | {"model": file["model"]} for target in targets for file in target["files"]]
    rows += [
        (facts["model"], _misses(facts["expected"]), "not measured", _alarms(facts["expected"]))
        for facts in measured if "expected" in facts
    ]  # fmt: skip
    synthetic = any(model["synthetic_negatives"] for model in models)
    lines = [
        "## What to expect",
        "",
        "At the normal preset (0.5), on test audio that nothing was trained on or chosen by (from the run's "
        "`report.json`; of the model for devices, of the file here); in brackets 95 % intervals.",
        "",
        *_table(("model", "misses", "misses in noise (10 dB)", "false alarms per hour"), rows),
    ]
    if synthetic:
        lines += [
            "",
            "The audio without the phrase was synthetic: train with recordings (`corpus.recordings`) before you trust "
            "the false alarms.",
        ]
    return lines


def _misses(figures: Mapping[str, Any]) -> str:
    if not figures.get("positives"):
        return "not measured"
    low, high = (100 * value for value in figures["miss_rate_ci"])
    share = 100 * figures["miss_rate"]
    return f"{figures['missed']} of {figures['positives']}, {share:.1f} % [{low:.1f}, {high:.1f}]"


def _alarms(figures: Mapping[str, Any]) -> str:
    if figures.get("fa_per_hour") is None:
        return "not measured"
    low, high = figures["fa_per_hour_ci"]
    return f"{figures['fa_per_hour']:.2f} [{low:.2f}, {high:.2f}] in {figures['hours']:.2f} h"


def _section(target: Mapping[str, Any]) -> list[str]:
    files = [
        (f"`{file['name']}`", file["what"], f"{file['size_bytes']:,}", _told(file["facts"])) for file in target["files"]
    ]
    checks = [(check["what"], f"{check['figure']:.3g}", f"{check['allowed']:g}") for check in target["parity"]]
    return [
        f"## `{target['name']}/`",
        "",
        f"{target['summary']}.",
        "",
        *_table(("file", "what", "bytes", "measured"), files),
        "",
        *_table(("checked before it was kept", "figure", "allowed"), checks),
        "",
        target["install"].strip(),
        *(["", *(f"- {note}" for note in target["notes"])] if target["notes"] else []),
    ]


def _told(facts: Mapping[str, Any]) -> str:
    """Facts in one cell; what is nested is told with its own names."""
    return ", ".join(
        f"{name.replace('_', ' ')} ({_told(value)})"
        if isinstance(value, Mapping)
        else f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in facts.items()
        if name != "expected"
    )


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _licences(report: Mapping[str, Any]) -> list[str]:
    lines = ["What you trained is yours; what came ready-made keeps its terms:", ""]
    return lines + [f"- {item['name']}: {item['licence']}. {item['note']}" for item in report["pretrained"]]


def _size(files: Iterable[Mapping[str, Any]]) -> str:
    total = sum(file["size_bytes"] for file in files)
    return f"{total / 1e6:.1f} MB" if total >= 1e6 else f"{total / 1e3:.0f} kB"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in cells]
