"""A benchmark as Markdown: what is missed at equal false alarms, what each model does by itself, what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def benchmark_markdown(result: Row) -> str:
    """The whole page of a benchmark; `result` is what `wakelark.pipeline.benchmark.benchmark` returns."""
    parts = [
        f"# {result['phrase']}: {len(result['models'])} models on the same audio",
        _heard(result),
        "## Missed at equal false alarms",
        _matched_intro(result),
        _matched(result),
        "## At each model's own threshold",
        _realised(result),
        "## False alarms by what is heard",
        "At each model's own threshold; in brackets the 95 % interval of the rate per hour.",
        _kinds(result),
        "## Cost, live",
        _cost_intro(result["cost"]),
        _cost(result),
    ]
    if notes := [*result["warnings"], *(f"left out: {item['file']} ({item['reason']})" for item in result["skipped"])]:
        parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def _heard(result: Row) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    noise = "" if result["snr_db"] is None else f", clean and with noise at {result['snr_db']:g} dB"
    return (
        f"{result['positives']} clips with the phrase ({result['positives_from']}){noise}; {result['hours']:.2f} hours "
        f"without it. {versions}. Seed {result['seed']}."
    )


def _matched_intro(result: Row) -> str:
    unsupported = [row for row in result["models"][0]["matched"] if not row["supported"]]
    text = (
        "The threshold of each column is set on these very recordings so that the budget of false alarms per hour is "
        "just kept: fair between models, not what a user meets. In brackets the 95 % interval."
    )
    if unsupported:
        hours = ", ".join(f"{row['fa_per_hour_budget']:g}/h needs {row['hours_needed']:.2g} h" for row in unsupported)
        text += f" * More hours would be needed to claim such a rate: {hours}."
    return text


def _matched(result: Row) -> str:
    budgets = [
        f"{row['fa_per_hour_budget']:g}/h{'' if row['supported'] else ' *'}" for row in result["models"][0]["matched"]
    ]
    rows = [
        [model["name"], "clean"] + [share(row["miss_rate"], row["miss_rate_ci"]) for row in model["matched"]]
        for model in result["models"]
    ]
    if result["snr_db"] is not None:
        rows += [
            [model["name"], f"{result['snr_db']:g} dB"]
            + [share(row["miss_rate_noisy"], row["miss_rate_noisy_ci"]) for row in model["matched"]]
            for model in result["models"]
        ]
    return markdown_table(["missed", "", *budgets], rows)


def _realised(result: Row) -> str:
    rows = []
    for model in result["models"]:
        own, noisy = model["realised"], model["realised_noisy"]
        rows.append(
            [
                model["name"],
                f"{model['threshold']:.3f}",
                share(own["miss_rate"], own["miss_rate_ci"]),
                *([] if noisy is None else [share(noisy["miss_rate"], noisy["miss_rate_ci"])]),
                f"{own['false_alarms']}",
                f"{own['fa_per_hour']:.2f} ({rates(own['fa_per_hour_ci'])})",
            ]
        )
    noise = [] if result["snr_db"] is None else [f"missed at {result['snr_db']:g} dB"]
    return markdown_table(["", "threshold", "missed", *noise, "false alarms", "per hour"], rows)


def _kinds(result: Row) -> str:
    first = result["models"][0]["kinds"]
    rows = [
        [model["name"], *(f"{row['false_alarms']} ({rates(row['fa_per_hour_ci'])})" for row in model["kinds"])]
        for model in result["models"]
    ]
    return markdown_table(["", *(f"{row['name']}, {row['hours']:.2f} h" for row in first)], rows)


def _cost_intro(cost: Row) -> str:
    machine = cost["machine"]
    return (
        f"Each model in {cost['processes']} new processes of its own, on one core, one step of audio per call; the "
        f"least of each figure counts. CPU includes the front end. {machine['system']} {machine['machine']}, "
        f"Python {machine['python']}."
    )


def _cost(result: Row) -> str:
    costs, ratios = result["cost"]["models"], result["cost"]["cpu_ratios"]
    peers = list(dict.fromkeys(row["peer"] for row in ratios))
    relative = {(row["model"], row["peer"]): row["ratio"] for row in ratios}
    rows = []
    for model in result["models"]:
        name, cost = model["name"], costs[model["name"]]
        shared = f" + {model['shared_bytes'] / 1e3:,.0f}" if model["shared_bytes"] else ""
        rows.append(
            [
                name,
                model["runtime"],
                f"{1e3 * cost['cpu_s_per_s']:.2f}",
                *(f"{relative[name, peer]:.2f} x" if (name, peer) in relative else "" for peer in peers),
                f"{cost['peak_mb']:.0f}",
                f"{cost['load_s']:.2f} ({cost['load_cpu_s']:.2f})",
                f"{model['size_bytes'] / 1e3:,.0f}{shared}",
            ]
        )
    head = ["", "run by", "CPU ms per s of audio", *(f"of {peer}'s CPU" for peer in peers)]
    return markdown_table([*head, "peak memory MB", "import + load s (CPU s)", "size kB (+ shared)"], rows)


def rates(interval: Sequence[float]) -> str:
    """The bounds of a rate per hour."""
    low, high = interval
    return f"{low:.2f} to {high:.2f}"


def share(rate: float, interval: Sequence[float]) -> str:
    """A share in per cent with its interval."""
    low, high = interval
    return f"{100 * rate:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are text already."""
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
