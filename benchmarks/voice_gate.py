"""What is the voice gate worth? A finished run's models with the gate at several levels, on the same real people.

    python benchmarks/voice_gate.py RUN

The run was trained without a gate (`evaluation.gate_db: 0`, the default). Copies of both models get the gate written
into their cards, everything else stays, and `wakelark benchmark` measures them beside the originals, as
`real_people.py` does. Prints the Markdown table of docs/results.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from real_people import SNR_DB, positives

from wakelark.config_file import load_config
from wakelark.evaluation.benchmark_tables import markdown_table
from wakelark.model_card import CARD_KEY

GATES_DB = (6, 12, 18)
MODELS = ("model_tiny.onnx", "model.onnx")


def main() -> None:
    """Measure and print."""
    run = Path(sys.argv[1])
    rows = []
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            files = [run / name, *(gated(run / name, gate_db, Path(folder)) for gate_db in GATES_DB)]
            listed = Path(folder) / "positives.txt"
            phrase = load_config(run / "config.yaml", overrides=[], preset=None).phrase
            listed.write_text("".join(f"{file}\n" for file in positives(phrase)))
            command = [sys.executable, "-m", "wakelark", "benchmark", *files, "--peers", "none", "--positives", listed]
            command += ["--snr", SNR_DB, "--out", Path(folder) / "out", "--json"]
            done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE)
        for gate_db, model in zip((0, *GATES_DB), json.loads(done.stdout)["models"], strict=True):
            figures = [f"{100 * point['miss_rate']:.1f} ({100 * point['miss_rate_noisy']:.1f})"
                       for point in model["matched"]]  # fmt: skip
            alarms = model["realised"]["false_alarms"]
            rows.append([name, f"{gate_db} dB" if gate_db else "off", *figures, str(alarms)])
    budgets = [f"{point['fa_per_hour_budget']:g}/h" for point in model["matched"]]
    print(markdown_table(["model", "gate", *budgets, "false alarms at the own threshold"], rows))


def gated(model: Path, gate_db: int, folder: Path) -> Path:
    """A copy of a model whose card has the gate."""
    network = onnx.load(str(model))
    for entry in network.metadata_props:
        if entry.key == CARD_KEY:
            entry.value = json.dumps(json.loads(entry.value) | {"gate_db": gate_db})
    copy = folder / f"{model.stem}_gate{gate_db}.onnx"
    onnx.save(network, str(copy))
    return copy


if __name__ == "__main__":
    main()
