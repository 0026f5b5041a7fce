"""Print the Markdown tables of docs/results.md from what `real_people.py` measured.

python benchmarks/tables.py docs/results/real_people.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from wakelark.evaluation.operating_point import BUDGETS


def main() -> None:
    """Matched figures, then realised ones, then the cost of the stages."""
    rows = sorted(
        json.loads(Path(sys.argv[1]).read_text()), key=lambda row: (row["model"], row["run"], row["snr_db"] or 0)
    )
    print(matched(rows), end="\n\n")
    print(realised(rows))
    if runs := [Path(name) for name in sys.argv[2:]]:
        print("\n" + stages(runs))


def stages(runs: list[Path]) -> str:
    """Wall seconds, CPU seconds and peak memory of every stage of some runs."""
    costs = {run.name: json.loads((run / "stages.json").read_text())["cost"] for run in runs}
    names = list(dict.fromkeys(name for cost in costs.values() for name in cost))
    lines = ["| stage | " + " | ".join(f"{run}: wall s, CPU s, peak MB" for run in costs) + " |"]
    lines.append("|---|" + "---|" * len(costs))
    for name in names:
        cells = [_cost(cost[name]) if name in cost else "" for cost in costs.values()]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    totals = [
        f"**{sum(stage['wall_s'] for stage in cost.values()):.0f}**, "
        f"{sum(stage['cpu_s'] for stage in cost.values()):.0f}, "
        f"{max(stage['peak_mb'] for stage in cost.values()):.0f}"
        for cost in costs.values()
    ]
    return "\n".join([*lines, "| " + " | ".join(["all", *totals]) + " |"])


def _cost(stage: dict[str, float]) -> str:
    return f"{stage['wall_s']:.0f}, {stage['cpu_s']:.0f}, {stage['peak_mb']:.0f}"


def matched(rows: list[dict[str, Any]]) -> str:
    """Miss rates at the test threshold that allows each budget."""
    lines = ["| run | seed | model | positives | condition | " + " | ".join(f"{b:g}/h" for b in BUDGETS) + " |"]
    lines.append("|---|---|---|---|---|" + "---|" * len(BUDGETS))
    for row in rows:
        points = {point["fa_per_hour_budget"]: point for point in row["matched"]}
        cells = [f"{100 * points[budget]['miss_rate']:.1f}" for budget in BUDGETS]
        lines.append(_row(row, cells))
    return "\n".join(lines)


def realised(rows: list[dict[str, Any]]) -> str:
    """What each model does on test audio at the threshold it ships with."""
    lines = ["| run | seed | model | positives | condition | missed % (95 %) | false alarms | per hour (95 %) |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in rows:
        found = row["realised"]
        low, high = (100 * bound for bound in found["miss_rate_ci"])
        fewest, most = found["fa_per_hour_ci"]
        cells = [
            f"{100 * found['miss_rate']:.1f} ({low:.1f} to {high:.1f})",
            f"{found['false_alarms']} in {found['hours']:.2f} h",
            f"{found['fa_per_hour']:.2f} ({fewest:.2f} to {most:.2f})",
        ]
        lines.append(_row(row, cells))
    return "\n".join(lines)


def _row(row: dict[str, Any], cells: list[str]) -> str:
    condition = "clean" if row["snr_db"] is None else f"{row['snr_db']} dB"
    positives = f"{row['realised']['positives']} clips"
    return "| " + " | ".join([row["run"], str(row["seed"]), f"`{row['model']}`", positives, condition, *cells]) + " |"


if __name__ == "__main__":
    main()
