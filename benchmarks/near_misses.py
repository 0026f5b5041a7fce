"""What near misses cost: the accurate model trained without those nearer than some distance, or with fewer of them.

    python benchmarks/near_misses.py "smart mirror" --nearest 0 1.2 1.6 --share 0.02 0.1

Recordings of real people are the dev split of `../shared/data`, false alarms are counted on the development
recordings, near misses are those that only voices of the development and test splits speak. Prints a line per model:
the mean miss rate over 0.5 to 4 false alarms per hour, and how many of 1,000 near misses wake it at the threshold of
0.5 per hour. Nothing of the test role is touched: this is for choosing.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wakelark.audio import to_int16
from wakelark.config import Config
from wakelark.config_file import load_config
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.recordings import streams
from wakelark.evaluation.events import smooth, smoothing_steps
from wakelark.evaluation.operating_point import selection_figure
from wakelark.phrase import pronounce
from wakelark.phrase.distance import distance
from wakelark.phrase.espeakng import espeak
from wakelark.pipeline.ablation_trials import SNR_DB
from wakelark.pipeline.corpus import build_corpus
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial, trial_audio
from wakelark.pipeline.evaluate import test_noise
from wakelark.pipeline.networks import AccurateNetwork
from wakelark.pipeline.scoring import clip_trial
from wakelark.pipeline.sources import ClipSource
from wakelark.pipeline.teacher import TeacherJob, train_heads
from wakelark.pipeline.views import Prepared, prepare
from wakelark.training.clip_audio import ClipReader
from wakelark.training.clip_features import ClipFeatures, compute_clip_features

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    """Train a model per distance and share, and print what each does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phrase")
    parser.add_argument("--nearest", type=float, nargs="+", default=[0.0, 1.2, 1.6])
    parser.add_argument("--share", type=float, nargs="+", default=[0.02])
    parser.add_argument("--work", type=Path, default=None, help="keep views here")
    asked = parser.parse_args()
    settings = [f"phrase={asked.phrase}", "corpus.recordings=thorough", "corpus.near_miss_distance=0"]
    config = load_config(None, overrides=settings, preset=None)
    with tempfile.TemporaryDirectory() as folder:
        work = asked.work or Path(folder)
        corpus = build_corpus(config, work / "manifest.jsonl", progress=_quiet)
        prepared = prepare(config, corpus, work / "views", progress=_quiet)
        people = [DevelopmentSet(_people(config, snr), prepared.development.negatives, config.evaluation)
                  for snr in (None, SNR_DB)]  # fmt: skip
        near = [clip for clip in corpus.clips if clip.hard_negative and clip.split != "train"]
        features = _padded([to_int16(ClipReader(cache_folder()).read(clip)) for clip in near])
        for nearest in asked.nearest:
            for share in asked.share:
                network = _trained(config, prepared, nearest, share, work)
                clean, noisy = (group.curve(network) for group in people)
                threshold = clean.threshold_for_budget(0.5)
                alarms = np.mean([_peak(network, item) >= threshold for item in features])
                missed = [f"{100 * selection_figure(curve):5.2f} %" for curve in (clean, noisy)]
                print(
                    f"nearest {nearest:4.2f}, share {share:5.3f}: real people miss {missed[0]} clean, {missed[1]} at "
                    f"{SNR_DB:g} dB; {1000 * alarms:4.0f} of 1,000 near misses wake it",
                    flush=True,
                )


def _trained(config: Config, prepared: Prepared, nearest: float, share: float, work: Path) -> AccurateNetwork:
    """Heads trained without the near misses that are nearer than `nearest`."""
    said = pronounce(config.phrase, language=config.language, extra=config.pronunciations)
    voice = espeak().identifier(config.language)

    def far(text: str) -> bool:
        sounds = espeak().phonemes(text, voice=voice).flat
        return min(distance(p.sounds.flat, sounds) for p in said) >= nearest

    store = prepared.store
    texts = {text: far(text) for text in {clip.text for clip in store.clips if clip.hard_negative}}
    used = np.array([not clip.hard_negative or texts[clip.text] for clip in store.clips])
    changed = config.model_copy(deep=True)
    changed.training.near_miss_share = share
    job = TeacherJob(
        config=changed, store=store.select(np.flatnonzero(used[store.clip])), development=prepared.development,
        data_key=f"{prepared.data_key}/{nearest}", folder=work / f"heads-{nearest}-{share}",
        metrics=work / "metrics.jsonl", name="teacher", resume_command="the same command",
    )  # fmt: skip
    return AccurateNetwork(train_heads(job, progress=_quiet, warn=print))


def _people(config: Config, snr_db: float | None) -> list[PositiveTrial]:
    """Trials of the dev split of real people, in training music or coloured noise where `snr_db` says so."""
    with (RECORDINGS / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["phrase"] == config.phrase and row["split"] == "dev"]
    music = [stream for stream in streams(size="thorough") if stream.role == "train"]
    noise = None if snr_db is None else test_noise(snr_db, music)
    opened = [] if noise is None else [np.load(path, mmap_mode="r") for path in noise.recordings]
    found = [
        clip_trial(ClipSource(name=row["file"], path=RECORDINGS / row["file"]), noise=noise, recordings=opened, seed=0)
        for row in rows
    ]
    features = compute_clip_features([to_int16(trial.audio) for trial in found], workers=2, progress=_quiet, what="")
    return [
        PositiveTrial(item, trial.hit_from_s, trial.hit_until_s, index, snr_db is not None)
        for index, (item, trial) in enumerate(zip(features, found, strict=True))
    ]


def _padded(clips: Sequence[np.ndarray]) -> list[ClipFeatures]:
    audio = [trial_audio(clip, rng=np.random.default_rng(i), lead_s=3.0, tail_s=1.0) for i, clip in enumerate(clips)]
    return compute_clip_features(audio, workers=2, progress=_quiet, what="")


def _peak(network: AccurateNetwork, features: ClipFeatures) -> float:
    steps = smoothing_steps(step_s=network.step_s, smoothing_s=Config(phrase="x").evaluation.smoothing_s)
    return float(smooth(network.scores(features), steps).max())


def _quiet(done: int, total: int, what: str) -> None:
    pass


if __name__ == "__main__":
    main()
