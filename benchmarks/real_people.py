"""Measure finished runs on real people and on a held-out engine, and write docs/results.md's tables.

    python benchmarks/real_people.py RUN... --out docs/results/real_people.json

Each RUN is a folder made by `wakelark train`. Its phrase decides the positives: the test split of the development
recordings beside the project (`../shared/data`) when it has the phrase, else the run's own test clips of the engine
that was held out (`corpus.held_out_engine`). Negatives are all test-role recordings in the cache. Every figure comes
from `wakelark evaluate --json`, clean and at 10 dB; nothing here chooses anything.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from wakelark.config import Config
from wakelark.config_file import load_config
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.manifest import read_manifest
from wakelark.evaluation.operating_point import BUDGETS

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"
SNR_DB = 10
MODELS = ("model.onnx", "model_tiny.onnx")


def main() -> None:
    """Evaluate both models of every run and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = [row for run in arguments.runs for row in measure(run)]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(arguments.out.read_text()) if arguments.out.is_file() else []
    measured = {(row["run"], row["model"], row["snr_db"]) for row in rows}
    kept = [row for row in known if (row["run"], row["model"], row["snr_db"]) not in measured]
    arguments.out.write_text(json.dumps([*kept, *rows], indent=1) + "\n")
    per_hour = "/".join(f"{budget:g}" for budget in BUDGETS)
    for row in rows:
        matched = {point["fa_per_hour_budget"]: 100 * point["miss_rate"] for point in row["matched"]}
        print(
            f"{row['run']:24} {row['model']:16} {row['snr_db'] or 'clean':>6}  matched at {per_hour} per hour: "
            + " ".join(f"{matched[budget]:5.1f}" for budget in BUDGETS)
            + f"  realised: {100 * row['realised']['miss_rate']:.1f} % missed, {row['realised']['fa_per_hour']:.2f}/h"
        )


def measure(run: Path) -> list[dict[str, object]]:
    """Four rows: two models, clean and in noise."""
    config = load_config(run / "config.yaml", overrides=[], preset=None)
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "positives.txt"
        what, files = positives(run, config)
        listed.write_text("".join(f"{file}\n" for file in files))
        return [
            evaluate(run, model, listed, what, snr_db, config.seed) for model in MODELS for snr_db in (None, SNR_DB)
        ]


def positives(run: Path, config: Config) -> tuple[str, list[Path]]:
    """What the positives are, and the files."""
    with open(RECORDINGS / "manifest.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["phrase"] == config.phrase and row["split"] == "test"]
    if rows:
        return "real people, test split", [RECORDINGS / row["file"] for row in rows]
    engine = config.corpus.held_out_engine
    clips = [c for c in read_manifest(run / "corpus" / "manifest.jsonl") if c.split == "test" and c.label == 1]
    chosen = [cache_folder() / clip.path for clip in clips if clip.engine == engine]
    if not chosen:
        sys.exit(f"{run}: no recordings of {config.phrase!r} and no held-out engine; nothing to measure on")
    return f"{engine}, held out of training", chosen


def evaluate(run: Path, model: str, listed: Path, what: str, snr_db: int | None, seed: int) -> dict[str, object]:
    """One call of `wakelark evaluate`."""
    command = [sys.executable, "-m", "wakelark", "evaluate", str(run / model), "--positives", str(listed), "--json"]
    command += ["--snr", str(snr_db)] if snr_db is not None else []
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    realised = (
        "positives",
        "missed",
        "miss_rate",
        "miss_rate_ci",
        "hours",
        "false_alarms",
        "fa_per_hour",
        "fa_per_hour_ci",
    )
    return {
        "run": run.name, "seed": seed, "model": model, "positives": what, "snr_db": snr_db,
        "threshold": result["threshold"], "realised": {key: result[key] for key in realised},
        "matched": result["operating_points"],
        "alarms_by_recording": [
            {"name": group["name"], "hours": group["hours"], "false_alarms": group["false_alarms"]}
            for group in result["groups"]["negatives"]
        ],
    }  # fmt: skip


if __name__ == "__main__":
    main()
