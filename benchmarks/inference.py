"""Cost of running model files: `python benchmarks/inference.py MODEL...` (needs only the base install).

CPU time on one thread, best of several runs: `live` is one step per call, as a microphone delivers; `offline` is 4 s
per call, as `wakelark detect` does.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnxruntime

from wakelark.model_card import CARD_KEY, ModelCard


def main() -> None:
    """Print one line per model and way of calling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--profile", action="store_true", help="time per operator instead, live")
    arguments = parser.parse_args()
    for path in arguments.models:
        if arguments.profile:
            profile(path, arguments.seconds)
            continue
        for name, steps_s in (("live", 0.0), ("offline", 4.0)):
            cpu_s = min(run(open_model(path), arguments.seconds, call_s=steps_s) for _ in range(5))
            speed = arguments.seconds / cpu_s
            print(f"{path.name:24} {name:8} {1e3 * cpu_s / arguments.seconds:7.3f} ms per s   {speed:7.0f} x real time")


def open_model(path: Path, *, profiling: bool = False) -> onnxruntime.InferenceSession:
    """The model on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_profiling = profiling
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, seconds: int, *, call_s: float) -> float:
    """CPU seconds for this much noise, in calls of about `call_s` (at least one step)."""
    card = ModelCard.from_json(session.get_modelmeta().custom_metadata_map[CARD_KEY])
    chunk = max(1, int(call_s * 16_000 / card.step_samples)) * card.step_samples
    calls = seconds * 16_000 // chunk
    audio = (np.random.default_rng(0).standard_normal((1, chunk)) * 0.05).astype(np.float32)
    state = np.zeros((1, card.state_size), np.float32)
    begin = time.process_time()
    for _ in range(calls):
        _, state = session.run(["scores", "new_state"], {"audio": audio, "state": state})
    return (time.process_time() - begin) * seconds * 16_000 / (calls * chunk)


def profile(path: Path, seconds: int) -> None:
    """Print microseconds per call and operator."""
    import json

    session = open_model(path, profiling=True)
    run(session, seconds, call_s=0.0)
    trace = Path(session.end_profiling())
    events = json.loads(trace.read_text())
    trace.unlink()
    totals: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            totals[event["args"]["op_name"]].append(event["dur"])
    calls = sum(event["name"] == "model_run" for event in events)
    print(f"{path.name}: {calls} calls")
    for operator, spent in sorted(totals.items(), key=lambda item: -sum(item[1])):
        print(f"  {operator:20} {sum(spent) / calls:8.1f} us   {len(spent) / calls:5.1f} nodes")


if __name__ == "__main__":
    main()
