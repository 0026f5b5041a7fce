"""The result of an ablation: every run, arms in a table, paired differences with intervals and tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wakelark.corpus.cache import write_atomically
from wakelark.evaluation.ablation_bootstrap import Blocks, Draws, difference_interval, draw, resampled_misses
from wakelark.evaluation.ablation_stats import holm, log_miss, sign_flip_p, verdict
from wakelark.evaluation.events import Float64Array
from wakelark.evaluation.operating_point import SELECTION_BUDGETS
from wakelark.pipeline.ablation_arms import Comparison, Design
from wakelark.pipeline.ablation_tables import as_markdown
from wakelark.pipeline.evaluate import EVENT_FLOOR

RESAMPLES = 1000
_SEED = 7
Run = Mapping[str, Any]
FIGURES = ("mean", "0.5")
CONDITIONS = ("clean", "noisy")


def write_ablation(
    folder: Path,
    design: Design,
    *,
    runs: Sequence[Run],
    teachers: Sequence[Run],
    command: str,
    tested_on: Mapping[str, str],
) -> dict[str, Any]:
    """Write `ablation.json` (all runs without their scores, and the summary) and `ablation.md`; returns the former."""
    result: dict[str, Any] = {
        "command": command,
        "tested_on": dict(tested_on),
        "arms": [arm.model_dump() for arm in design.arms],
        "summary": [_arm_row(name, phrase, found) for name, phrase, found in _grouped(runs)],
        "teacher": [_without_scores(run) for run in teachers],
        "comparisons": compare(design, runs),
        "runs": [_without_scores(run) for run in runs],
    }
    write_atomically(folder / "ablation.json", (json.dumps(result, indent=1) + "\n").encode())
    write_atomically(folder / "ablation.md", as_markdown(result).encode())
    return result


def compare(design: Design, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """All comparisons whose runs are there; differences are arm minus the other, below 0 when the arm misses less."""
    table = {(run["arm"], run["phrase"], run["seed"]): run for run in runs}
    misses = _resampled(runs)
    rows = [
        row for comparison in design.comparisons if (row := _comparison(comparison, table, misses)) is not None
    ]  # fmt: skip
    adjusted = holm({row["name"]: row["clean"]["mean"]["p"] for row in rows if row["headline"]})
    for row in rows:
        primary = row["clean"]["mean"]
        row["p_holm"] = adjusted.get(row["name"])
        row["verdict"] = verdict(
            tuple(primary["log_ci"]), pairs=row["pairs"], gain=primary["controlled_log"],
            control_gains=primary["controls_log"], controls_missing=row["controls_missing"], p=row["p_holm"],
        )  # fmt: skip
    return rows


class _Misses:
    """Miss rates of every run in every draw: `[R]` for a condition and a figure."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, int, str], Float64Array] = {}

    def put(self, run: Run, condition: str, rates: Float64Array) -> None:
        self._found[run["arm"], run["phrase"], run["seed"], condition] = rates

    def of(self, arm: str, pair: tuple[str, int], condition: str, figure: str) -> Float64Array:
        rates = self._found[arm, *pair, condition]
        return rates.mean(axis=1) if figure == "mean" else rates[:, SELECTION_BUDGETS.index(float(figure))]


def _resampled(runs: Sequence[Run]) -> _Misses:
    """One draw of clips per phrase and of blocks for all, the same for every run."""
    misses = _Misses()
    draws: dict[str, Draws] = {}
    for run in runs:
        scores = run["scores"]
        blocks = Blocks.of(scores["recording_s"])
        if run["phrase"] not in draws:
            rng = np.random.default_rng([_SEED, len(draws)])
            drawn = draw(clips=run["positives"], blocks=blocks.hours.size, resamples=RESAMPLES, rng=rng)
            first = next(iter(draws.values()), drawn)
            same = first.blocks.shape == drawn.blocks.shape
            draws[run["phrase"]] = Draws(drawn.clips, first.blocks if same else drawn.blocks)
        event_blocks = blocks.index(np.array(scores["event_recording"], np.int64), np.array(scores["event_time_s"]))
        for condition in CONDITIONS:
            rates = resampled_misses(
                np.array(scores[condition]), np.array(scores["event"]), event_blocks, hours=blocks.hours,
                draws=draws[run["phrase"]], budgets=SELECTION_BUDGETS, floor=EVENT_FLOOR,
            )  # fmt: skip
            misses.put(run, condition, rates)
    return misses


def _comparison(
    comparison: Comparison, table: Mapping[tuple[str, str, int], Run], misses: _Misses
) -> dict[str, Any] | None:
    pairs = _pairs(table, comparison.arm, comparison.against)
    if not pairs:
        return None
    row: dict[str, Any] = {
        "name": comparison.name, "arm": comparison.arm, "against": comparison.against, "headline": comparison.headline,
        "pairs": len(pairs), "phrases": sorted({phrase for phrase, _ in pairs}),
        "controls_missing": [name for name in comparison.controls if not _pairs(table, name, comparison.against)],
    }  # fmt: skip
    for condition in CONDITIONS:
        row[condition] = {
            figure: _difference(comparison, pairs, table, misses, condition, figure) for figure in FIGURES
        }
    return row


def _difference(
    comparison: Comparison,
    pairs: Sequence[tuple[str, int]],
    table: Mapping[tuple[str, str, int], Run],
    misses: _Misses,
    condition: str,
    figure: str,
) -> dict[str, Any]:
    arm, against = comparison.arm, comparison.against
    clips = {pair: table[arm, *pair]["positives"] for pair in pairs}

    def rates(name: str, pair: tuple[str, int]) -> Float64Array:
        return misses.of(name, pair, condition, figure)

    def logs(name: str, pair: tuple[str, int]) -> Float64Array:
        return log_miss(rates(name, pair), clips[pair])

    plain = {pair: rates(arm, pair) - rates(against, pair) for pair in pairs}
    log = {pair: logs(arm, pair) - logs(against, pair) for pair in pairs}
    controls: dict[str, float] = {}
    shared = set(pairs)
    present = [name for name in comparison.controls if _pairs(table, name, against)]
    for name in present:
        shared &= set(_pairs(table, name, against))
    for name in present:
        controls[name] = float(np.mean([logs(name, pair)[0] - logs(against, pair)[0] for pair in shared]))
    return {
        "with": _mean([rates(arm, pair)[0] for pair in pairs]),
        "without": _mean([rates(against, pair)[0] for pair in pairs]),
        "plain": _mean([plain[pair][0] for pair in pairs]), "plain_ci": _interval(plain),
        "log": _mean([log[pair][0] for pair in pairs]), "log_ci": _interval(log),
        "p": round(sign_flip_p([log[pair][0] for pair in pairs]), 6),
        "p_plain": round(sign_flip_p([plain[pair][0] for pair in pairs]), 6),
        "better": sum(bool(log[pair][0] < 0) for pair in pairs),
        "controlled_log": _mean([log[pair][0] for pair in sorted(shared)]),
        "controls_log": {name: round(value, 6) for name, value in controls.items()},
    }  # fmt: skip


def _interval(differences: Mapping[tuple[str, int], Float64Array]) -> list[float]:
    phrases = sorted({phrase for phrase, _ in differences})
    stacked = [np.stack([d for (p, _), d in differences.items() if p == phrase], axis=1) for phrase in phrases]
    low, high = difference_interval(stacked, rng=np.random.default_rng(_SEED))
    return [round(low, 6), round(high, 6)]


def _pairs(table: Mapping[tuple[str, str, int], Run], arm: str, against: str) -> list[tuple[str, int]]:
    """(phrase, seed) that both arms ran with."""
    found = [(phrase, seed) for name, phrase, seed in table if name == arm]
    return sorted((phrase, seed) for phrase, seed in found if (against, phrase, seed) in table)


def _arm_row(arm: str, phrase: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Means and extremes over the seeds."""
    row: dict[str, Any] = {
        "arm": arm, "phrase": phrase, "runs": len(runs), "positives": runs[0]["positives"], "hours": runs[0]["hours"],
        "seconds": round(float(np.mean([run["seconds"] for run in runs])), 1),
        "development_figure": _mean([run["development_figure"] for run in runs]),
    }  # fmt: skip
    for condition in CONDITIONS:
        means = [run[condition]["mean"] for run in runs]
        row[condition] = {
            "mean": _mean(means), "mean_median": round(float(np.median(means)), 6),
            "mean_range": [min(means), max(means)],
            "matched": {
                f"{budget:g}": _mean([run[condition]["matched"][f"{budget:g}"] for run in runs])
                for budget in SELECTION_BUDGETS
            },
            "realised": {
                name: _mean([run[condition]["realised"][name] for run in runs]) for name in ("miss_rate", "fa_per_hour")
            },
        }  # fmt: skip
    return row


def _grouped(runs: Sequence[Run]) -> list[tuple[str, str, list[Run]]]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run["arm"], run["phrase"]), []).append(run)
    return [(arm, phrase, found) for (arm, phrase), found in groups.items()]


def _without_scores(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name != "scores"}


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6)
