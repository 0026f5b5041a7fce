"""The result of `wakelark evaluate` for people: a few lines and tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_SHOWN_TEXTS = 5
AS_RECORDED = "as recorded"


def as_text(result: dict[str, Any]) -> RenderableType:
    """What matters first: the two rates; then how they come about."""
    from rich.console import Group

    return Group(*_lines(result), *_tables(result))


def _lines(result: dict[str, Any]) -> Iterator[str]:
    played = condition_name(result)
    yield f"at its threshold {result['threshold']:.3f}{'' if played == AS_RECORDED else f', {played}'}:"
    low, high = result["miss_rate_ci"]
    yield f"  missed {result['missed']} of {result['positives']}: {result['miss_rate']:.1%} ({low:.1%} to {high:.1%})"
    if result["fa_per_hour"] is not None:
        low, high = result["fa_per_hour_ci"]
        yield (
            f"  {result['false_alarms']} false alarms in {result['hours']:.2f} hours: "
            f"{result['fa_per_hour']:.2f} per hour ({low:.2f} to {high:.2f})"
        )
    if (judge := result["judge"]) is not None and judge["wakes_per_hour"] is not None:
        yield (
            f"  the judge was woken {judge['wakes_per_hour']:.1f} times per hour and heard "
            f"{judge['heard_share']:.1%} of the recordings"
        )
    if near := result["near_misses"]:
        low, high = near["per_1000_ci"]
        yield (
            f"  {near['fired']} of {near['clips']} near misses woke it: {near['per_1000']:.0f} per 1,000 "
            f"({low:.0f} to {high:.0f})"
        )
        worst = [row for row in near["by_text"] if row["fired"]][:_SHOWN_TEXTS]
        if worst:
            yield "    most often: " + ", ".join(f"{row['text']} ({row['fired']} of {row['clips']})" for row in worst)
    latency = result["latency"]
    if latency["clips"]:
        median_s, p90_s = latency["median_s"], latency["p90_s"]
        yield (
            f"  known {median_s:+.2f} s after the word's end (median; 90 % within {p90_s:+.2f} s; word ends: "
            f"{latency['word_ends']})"
        )


def _tables(result: dict[str, Any]) -> Iterator[Table]:
    if len(result["conditions"]) > 1:
        table = _table("played differently", "condition", "missed", "95 %", "latency, median")
        for row in result["conditions"]:
            table.add_row(condition_name(row), *_misses(row), _seconds(row["latency"]["median_s"]))
        yield table
    rows = [
        (trait, row) for trait, rows in result["groups"]["traits"].items() if len(rows) > 1 for row in rows
    ]  # fmt: skip
    if rows:
        table = _table("groups of clips", "", "group", "clips", "missed", "95 %")
        for trait, row in rows:
            table.add_row(trait.replace("_", " "), row["name"], str(row["positives"]), *_misses(row))
        yield table
    if len(result["groups"]["kinds"]) > 1:
        table = _table("kinds of audio without the phrase", "kind", "hours", "false alarms", "per hour", "95 %")
        for row in result["groups"]["kinds"]:
            low, high = row["fa_per_hour_ci"]
            table.add_row(
                row["name"], f"{row['hours']:.2f}", str(row["false_alarms"]), f"{row['fa_per_hour']:.2f}",
                f"{low:.2f} to {high:.2f}",
            )  # fmt: skip
        yield table
    if result["operating_points"]:
        title = "for comparing models: threshold chosen on these recordings"
        table = _table(title, "allowed per hour", "threshold", "missed", "95 %", "do these hours show it?")
        for point in result["operating_points"]:
            table.add_row(
                f"{point['fa_per_hour_budget']:g}", f"{point['threshold']:.4f}", *_misses(point), _shown(point)
            )
        yield table


def condition_name(row: dict[str, Any]) -> str:
    """A condition in words.

    >>> condition_name({"snr_db": 10.0, "distance_m": 3.0}), condition_name({"snr_db": None, "distance_m": None})
    ('3 m, 10 dB', 'as recorded')
    """
    parts = [(row["distance_m"], "m"), (row["snr_db"], "dB")]
    return ", ".join(f"{value:g} {unit}" for value, unit in parts if value is not None) or AS_RECORDED


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _misses(row: dict[str, Any]) -> tuple[str, str]:
    low, high = row["miss_rate_ci"]
    return f"{row['miss_rate']:.1%}", f"{low:.1%} to {high:.1%}"


def _shown(point: dict[str, Any]) -> str:
    """Whether the hours heard support the budget as a claim, and at what price."""
    if not point["supported"]:
        return f"no, that takes {point['hours_needed']:.1f} h"
    return f"at {point['claim']['threshold']:.4f}: {point['claim']['miss_rate']:.1%} missed"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f} s"
