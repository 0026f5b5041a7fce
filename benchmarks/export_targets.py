"""Measure what `wakelark export` wrote, every file in its own runtime, on real people.

    wakelark export RUN --out FILES
    python benchmarks/export_targets.py FILES --out docs/results/targets.json

Positives: the test split of the development recordings beside the project, clean and at 10 dB; negatives: all test-role
recordings in the cache. Nothing is chosen: every file fires at the threshold or cutoff that it was written with.
Prints the Markdown table of docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from real_people import SNR_DB, positives

from wakelark.evaluation.benchmark_tables import markdown_table, rates, share

KEPT = ("positives", "missed", "miss_rate", "miss_rate_ci", "hours", "false_alarms", "fa_per_hour", "fa_per_hour_ci")


def main() -> None:
    """Evaluate every model file of an export, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, metavar="FILES")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    exported = json.loads((arguments.export / "export.json").read_text())
    rows = [
        row | measure(arguments.export / row["target"] / row["run_by"], exported["phrase"])
        for target in exported["targets"] for row in model_files(target)
    ]  # fmt: skip
    result = {"phrase": exported["phrase"], "wakelark_version": exported["wakelark_version"], "files": rows}
    result["parity"] = {target["name"]: target["parity"] for target in exported["targets"]}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(rows))


def model_files(target: dict[str, Any]) -> list[dict[str, Any]]:
    """The files of a target that detect something. Those of the web target are those of the run, byte for byte; the
    `.onnx` of openWakeWord is its `.tflite` for another program."""
    suffixes = {"onnx": ".onnx", "openwakeword": ".tflite", "esphome": ".tflite"}.get(target["name"])
    return [
        {
            "target": target["name"], "file": file["name"], "bytes": file["size_bytes"],
            # microWakeWord models are opened by their manifest.
            "run_by": file["name"].replace(".tflite", ".json") if target["name"] == "esphome" else file["name"],
        }
        for file in target["files"] if suffixes and file["name"].endswith(suffixes)
    ]  # fmt: skip


def measure(model: Path, phrase: str) -> dict[str, Any]:
    """Misses and false alarms, clean, and the misses in noise."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "real people, test split.txt"
        listed.write_text("".join(f"{file}\n" for file in positives(phrase)))
        command = [sys.executable, "-m", "wakelark", "evaluate", model, "--positives", listed, "--json"]
        command += ["--snr", "inf", "--snr", SNR_DB]
        result = json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout)
    noisy = result["conditions"][1]
    return {key: result[key] for key in KEPT} | {
        "miss_rate_noisy": noisy["miss_rate"], "miss_rate_noisy_ci": noisy["miss_rate_ci"], "snr_db": noisy["snr_db"],
        "matched": [condition["matched"] for condition in result["conditions"]],
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """One line per file."""
    head = ["target", "file", "bytes", "missed", f"missed at {SNR_DB} dB", "false alarms: per hour"]
    lines = [
        [
            row["target"], f"`{row['file']}`", f"{row['bytes']:,}", share(row["miss_rate"], row["miss_rate_ci"]),
            share(row["miss_rate_noisy"], row["miss_rate_noisy_ci"]),
            f"{row['false_alarms']}: {row['fa_per_hour']:.2f} ({rates(row['fa_per_hour_ci'])})",
        ]
        for row in rows
    ]  # fmt: skip
    return markdown_table(head, lines)


if __name__ == "__main__":
    main()
