"""An ablation as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]


def as_markdown(result: Row) -> str:
    """Tables of arms and of paired differences, with the command that made them. Miss rates in per cent."""
    about = {arm["name"]: arm["about"] for arm in result["arms"]}
    phrases = list(result["tested_on"])
    parts = ["# Ablation", f"Made by `{result['command']}`."]
    parts += [_tested(result, phrase) for phrase in phrases]
    parts += ["## Arms", _legend(result["summary"], about)]
    for phrase in phrases:
        parts += [f"### {phrase}", _arms(result, phrase)]
    parts += ["## Paired differences", _EXPLAINED, _comparisons(result["comparisons"], "clean")]
    parts += ["The same at 10 dB:", _comparisons(result["comparisons"], "noisy")]
    return "\n\n".join(part for part in parts if part) + "\n"


_EXPLAINED = (
    "Mean miss rate over the budgets 0.5 to 4 false alarms per hour, with and without the part; difference in points "
    "and ratio of the rates, each with its 95 % interval (bootstrap over clips, ten-minute blocks and pairs); how many "
    "pairs got better; p of the sign-flip test of the log ratio (for the hypotheses of the headline after Holm's "
    "correction, in bold). The verdict is on clean audio: *helps* only where the interval excludes zero, all controls "
    "were run and none of them reproduces half of the gain."
)


def _tested(result: Row, phrase: str) -> str:
    row = next(row for row in result["summary"] if row["phrase"] == phrase)
    return (
        f"- {phrase}: tested on {row['positives']} clips ({result['tested_on'][phrase]}) "
        f"and {row['hours']:.2f} hours without the phrase."
    )


def _legend(summary: Sequence[Row], about: Mapping[str, str]) -> str:
    names = dict.fromkeys(row["arm"] for row in summary)
    return "\n".join(f"- **{name}**: {about[name]}" for name in names if about[name])


def _arms(result: Row, phrase: str) -> str:
    lines = _head("arm", "runs", "mean", "range", "0.5/h", "1/h", "2/h", "4/h", "10 dB mean", "10 dB 0.5/h",
                  "realised miss", "realised FA/h", "dev", "s")  # fmt: skip
    lines += [_arm_line(row["arm"], row, row["runs"]) for row in result["summary"] if row["phrase"] == phrase]
    for row in result["teacher"]:
        if row["phrase"] == phrase:
            wide = {**row, "seconds": 0.0}
            for condition in ("clean", "noisy"):
                wide[condition] = {**row[condition], "mean_range": [row[condition]["mean"]] * 2}
            lines.append(_arm_line("T (teacher)", wide, 1))
    return "\n".join(lines)


def _arm_line(name: str, row: Row, runs: int) -> str:
    clean, noisy = row["clean"], row["noisy"]
    low, high = clean["mean_range"]
    cells = [
        name, str(runs), _points(clean["mean"]), f"{_points(low)}-{_points(high)}",
        *(_points(clean["matched"][budget]) for budget in ("0.5", "1", "2", "4")),
        _points(noisy["mean"]), _points(noisy["matched"]["0.5"]),
        _points(clean["realised"]["miss_rate"]), f"{clean['realised']['fa_per_hour']:.2f}",
        _points(row["development_figure"]), f"{row['seconds']:.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _comparisons(rows: Sequence[Row], condition: str) -> str:
    lines = _head("part", "arms", "pairs", "without", "with", "points", "ratio", "better", "p", "at 0.5/h", "verdict")
    lines += [_comparison_line(row, condition) for row in rows]
    return "\n".join(lines)


def _comparison_line(row: Row, condition: str) -> str:
    mean, tight = row[condition]["mean"], row[condition]["0.5"]
    ratio, low, high = np.exp([mean["log"], *mean["log_ci"]])
    p = f"{mean['p']:.4f}"
    if condition == "clean" and row["p_holm"] is not None:
        p = f"**{row['p_holm']:.4f}**"
    cells = [
        row["name"], f"{row['arm']} - {row['against']}", str(row["pairs"]),
        _points(mean["without"]), _points(mean["with"]),
        f"{_signed(mean['plain'])} ({_signed(mean['plain_ci'][0])} to {_signed(mean['plain_ci'][1])})",
        f"{ratio:.2f} ({low:.2f} to {high:.2f})", f"{mean['better']} of {row['pairs']}", p,
        f"{_points(tight['without'])} to {_points(tight['with'])}, "
        f"{_signed(tight['plain'])} ({_signed(tight['plain_ci'][0])} to {_signed(tight['plain_ci'][1])})",
        row["verdict"] if condition == "clean" else "",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _head(*names: str) -> list[str]:
    return [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]


def _points(rate: float) -> str:
    return f"{100 * rate:.1f}"


def _signed(rate: float) -> str:
    return f"{100 * rate:+.1f}"
