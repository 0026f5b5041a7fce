"""Print the Markdown tables of docs/results.md from what `real_people.py` measured.

    python benchmarks/tables.py docs/results/real_people.json RUN...

With the folders of the runs, also what each stage of them took.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wakelark.evaluation.benchmark_tables import markdown_table, rates, share

Result = dict[str, Any]


def main() -> None:
    """Matched figures, then realised ones, by kind of audio, the cost, and the stages."""
    measured = json.loads(Path(sys.argv[1]).read_text())
    parts = [matched(measured), realised(measured), kinds(measured), costs(measured)]
    runs = [Path(name) for name in sys.argv[2:]]
    print("\n\n".join(parts + ([stages(runs)] if runs else [])))


def matched(measured: dict[str, Result]) -> str:
    """Misses in % at the test threshold that allows each budget, clean and in noise."""
    head: list[str] = []
    rows = []
    for run, result in measured.items():
        budgets = [f"{row['fa_per_hour_budget']:g}/h" for row in result["models"][0]["matched"]]
        noise = f"{result['snr_db']:g} dB"
        head = ["run", "model", *budgets, *(f"{budget}, {noise}" for budget in budgets)]
        for model in result["models"]:
            clean, noisy = (
                [f"{100 * row[key]:.1f}" for row in model["matched"]] for key in ("miss_rate", "miss_rate_noisy")
            )
            rows.append([run, model["name"], *clean, *noisy])
    return markdown_table(head, rows)


def realised(measured: dict[str, Result]) -> str:
    """What each model does on test audio at the threshold it ships with."""
    rows = []
    for run, result in measured.items():
        for model in result["models"]:
            clean, noisy = model["realised"], model["realised_noisy"]
            misses = [share(found["miss_rate"], found["miss_rate_ci"]) for found in (clean, noisy)]
            alarms = f"{clean['false_alarms']}: {clean['fa_per_hour']:.2f} ({rates(clean['fa_per_hour_ci'])})"
            rows.append([run, model["name"], *misses, alarms])
    return markdown_table(["run", "model", "missed", "missed at 10 dB", "false alarms: per hour"], rows)


def kinds(measured: dict[str, Result]) -> str:
    """False alarms at the own threshold by what is heard."""
    heard = next(iter(measured.values()))["models"][0]["kinds"]
    rows = [
        [run, model["name"], *(str(kind["false_alarms"]) for kind in model["kinds"])]
        for run, result in measured.items() for model in result["models"]
    ]  # fmt: skip
    return markdown_table(["run", "model", *(f"{kind['name']}, {kind['hours']:.2f} h" for kind in heard)], rows)


def costs(measured: dict[str, Result]) -> str:
    """CPU, memory and start of every model of every run."""
    rows = []
    for run, result in measured.items():
        for name, cost in result["cost"]["models"].items():
            ratios = [
                f"{row['ratio']:.2f} x {row['peer']}" for row in result["cost"]["cpu_ratios"] if row["model"] == name
            ]
            size = next(model["size_bytes"] for model in result["models"] if model["name"] == name)
            figures = (f"{1e3 * cost['cpu_s_per_s']:.2f}", f"{cost['peak_mb']:.0f}", f"{cost['load_s']:.2f}")
            rows.append([run, name, *figures, f"{size / 1e3:,.0f}", ", ".join(ratios)])
    return markdown_table(
        ["run", "model", "CPU ms per s", "peak MB", "import + load s", "size kB", "CPU beside peers"], rows
    )


def stages(runs: Sequence[Path]) -> str:
    """Wall seconds, CPU seconds and peak memory of every stage of some runs."""
    spent = {run.name: json.loads((run / "stages.json").read_text())["cost"] for run in runs}
    names = list(dict.fromkeys(name for cost in spent.values() for name in cost))
    rows = [[name, *(_cost(cost[name]) if name in cost else "" for cost in spent.values())] for name in names]
    rows.append(["all", *(_cost(_sum(list(cost.values()))) for cost in spent.values())])
    return markdown_table(["stage", *(f"{run}: wall s, CPU s, peak MB" for run in spent)], rows)


def _sum(costs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: sum(cost[key] for cost in costs) for key in ("wall_s", "cpu_s")} | {
        "peak_mb": max(cost["peak_mb"] for cost in costs)
    }


def _cost(stage: dict[str, float]) -> str:
    return f"{stage['wall_s']:.0f}, {stage['cpu_s']:.0f}, {stage['peak_mb']:.0f}"


if __name__ == "__main__":
    main()
