"""What `wakelark train` prints when it is done."""

from __future__ import annotations

from typing import Any

from wakelark.pipeline.run_folder import RunFolder


def summary_text(report: dict[str, Any], folder: RunFolder) -> str:
    """The result in a few lines: both models, how well they do, where they are, what to do next."""
    lines = [report["verdict"]["headline"], ""]
    for model in report["models"]:
        figures = model["realised"]
        path = folder.root / model["file"]
        lines.append(f"{path}  {model['size_bytes'] / 1e3:.0f} kB")
        lines.append(f"  misses {_share(figures['miss_rate'])} of the test voices, {_alarms(model)}")
    if folder.has_micro:
        lines.append(f"{folder.micro}  the student for ESPHome's devices, to be exported")
    lines += [_round_line(entry) for entry in report["facts"]["mining"]]
    lines += _material_lines(report["facts"].get("material"))
    lines += [_verdict_line(entry) for entry in report["facts"]["retraining"]]
    for warning in report["warnings"]:
        lines.append(f"note: {warning}")
    lines += [
        "",
        f"report: {folder.report_html}",
        f'try it: wakelark listen "{folder.root / report["models"][0]["file"]}"',
    ]
    return "\n".join(lines)


def _round_line(entry: dict[str, Any]) -> str:
    if not entry["events"]:
        return f"mining ({entry['model']}): nothing to train on, {entry['quarantined']} events quarantined"
    before, after = (f"{100 * entry[name]:.1f} %" for name in ("figure_before", "figure_after"))
    return (
        f"mining: {entry['events']} sounds that fooled the {entry['model']} model ({entry['quarantined']} "
        f"quarantined), development misses {before} before, {after} after: {'kept' if entry['kept'] else 'UNDONE'}"
    )


def _verdict_line(entry: dict[str, Any]) -> str:
    before, after = (f"{100 * entry[name]:.1f} %" for name in ("figure_before", "figure_after"))
    what = f"{entry['on_trial']} newly mined sounds" if entry["on_trial"] else "what you added or took back"
    kept = "kept" if entry["kept"] else "UNDONE, the earlier model stays"
    return f"with {what}, the {entry['model']} model: development misses {before} before, {after} after: {kept}"


def _material_lines(material: dict[str, Any] | None) -> list[str]:
    if not material:
        return []
    mined, added = material["mined"], material["added"]
    return [
        f"your material: {mined['kept']} mined sounds ({mined['quarantined']} more in quarantine), added "
        f"{added['positive']} positive, {added['negative']} negative, {added['hard_negative']} hard negative"
    ]


def _share(value: float | None) -> str:
    return "(not measured)" if value is None else f"{100 * value:.1f} %"


def _alarms(model: dict[str, Any]) -> str:
    figures = model["realised"]
    if figures["fa_per_hour"] is None:
        return "false alarms not measured"
    low, high = figures["fa_per_hour_ci"]
    kind = "of synthetic speech" if model["synthetic_negatives"] else "of recordings"
    return (
        f"{figures['false_alarms']} false alarms in {figures['hours']:.1f} h {kind} "
        f"({figures['fa_per_hour']:.2f} per hour, 95 % interval {low:.2f} to {high:.2f})"
    )
