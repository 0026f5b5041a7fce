"""Measure finished runs on real people: one `wakelark benchmark` each, clean and at 10 dB, with the published models.

    python benchmarks/real_people.py RUN... --out docs/results/real_people.json
    python benchmarks/tables.py docs/results/real_people.json RUN...

Each RUN is a folder made by `wakelark train`. Its phrase decides the positives: the test split of the development
recordings beside the project (`../shared/data`). Negatives are all test-role recordings in the cache. Measured are both
models, the tiny one with the accurate one as its judge, and the published models for the phrase where installed
packages hold some. Nothing here chooses anything. `benchmark/` in the run's folder has the whole result, with the
curves; the JSON file keeps all but these.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from wakelark.config_file import load_config

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"
SNR_DB = 10


def main() -> None:
    """Benchmark every run and write one JSON file: name of the run -> result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    known = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    for run in arguments.runs:
        known[run.name] = measure(run)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def measure(run: Path) -> dict[str, Any]:
    """The result of one benchmark, without the curves."""
    phrase = load_config(run / "config.yaml", overrides=[], preset=None).phrase
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "real people, test split.txt"
        listed.write_text("".join(f"{file}\n" for file in positives(phrase)))
        judge = run / "model.onnx"
        command = [sys.executable, "-m", "wakelark", "benchmark", run / "model_tiny.onnx", judge, "--judge", judge]
        command += ["--positives", listed, "--snr", SNR_DB, "--json"]
        result = json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout)
    for model in result["models"]:
        del model["det"], model["det_noisy"]
    return result


def positives(phrase: str) -> list[Path]:
    """The test recordings of people who say the phrase."""
    with open(RECORDINGS / "manifest.csv", newline="") as file:
        found = [
            RECORDINGS / row["file"]
            for row in csv.DictReader(file) if row["phrase"] == phrase and row["split"] == "test"
        ]  # fmt: skip
    return found or sys.exit(f"{RECORDINGS} has no test recordings of {phrase!r}")


if __name__ == "__main__":
    main()
