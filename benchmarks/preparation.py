"""Cost of making training data: `python benchmarks/preparation.py` (needs the extra `train`).

CPU seconds per spoken clip of every engine that is here, and milliseconds per augmented view and per view's features.
CPU time of all threads, so it says the same on a busy machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch

from wakelark.audio import SAMPLE_RATE
from wakelark.augment.beds import BedLibrary
from wakelark.augment.chain import Chain
from wakelark.config import Config
from wakelark.corpus.engines import Utterance, find_engines
from wakelark.features.embedding import SpeechEmbedding
from wakelark.features.logmel_torch import LogMel

PHRASE = "hey computer"
WINDOW = 2 * SAMPLE_RATE


def main() -> None:
    """Print one line per engine, then views and features."""
    engines, _ = find_engines(None)
    for name, engine in engines.items():
        voice = engine.voices("en-us")[0]
        spent = cpu_s(lambda number, e=engine, v=voice: e.speak(Utterance(text=PHRASE, seed=number), v), times=10)
        print(f"{name:10} {spent:8.3f} s per clip")
    config, rng = Config(), np.random.default_rng(0)
    recording = (rng.standard_normal(60 * SAMPLE_RATE) * 1000).astype(np.int16)
    chain = Chain(config.augment, beds=BedLibrary([(recording, "music"), (recording, "speech")]))
    audio = (rng.standard_normal(WINDOW) * 0.1).astype(np.float32)
    spent = cpu_s(lambda number: chain.apply(audio, chain.draw(np.random.default_rng(number))), times=300)
    print(f"{'view':10} {1e3 * spent:8.1f} ms")
    logmel, embedding, batch = LogMel(), SpeechEmbedding(), np.stack([audio] * 16)
    spent = cpu_s(lambda number: (logmel(torch.from_numpy(batch)), embedding.embed(batch)), times=10) / len(batch)
    print(f"{'features':10} {1e3 * spent:8.1f} ms")


def cpu_s(work: Callable[[int], object], *, times: int) -> float:
    """CPU seconds of `work(number)`, children included, mean over `times` calls after one to warm up."""
    work(0)
    before = total_cpu_s()
    for number in range(1, times + 1):
        work(number)
    return (total_cpu_s() - before) / times


def total_cpu_s() -> float:
    """CPU seconds of this process and its finished children."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


if __name__ == "__main__":
    main()
