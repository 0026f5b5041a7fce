"""How well the checks of the data work: on recordings of people, some of them spoilt on purpose.

    python benchmarks/data_health.py ../shared/data

The folder holds a sub-folder per phrase and `manifest.csv` (`file, phrase, split`); only the split "dev" is used. One
JSON object is printed: what is found of wrong labels when 10 % are swapped, what is doubted when none is, which copies
are found, and how often faults of the sound are.

    python benchmarks/data_health.py ../shared/data --manifest RUN/corpus/manifest.jsonl

tells instead how similar the recordings of each phrase are to the run's synthesised phrase and to any of its clips.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from wakelark.audio import SAMPLE_RATE, Float32Array, Int16Array, read_audio, to_float, to_int16
from wakelark.corpus.manifest import read_manifest
from wakelark.corpus.speech_span import speech_span
from wakelark.evaluation.label_check import WRONG_BELOW, own_votes
from wakelark.evaluation.neighbours import SoundIndex
from wakelark.evaluation.repeats import find_repeats
from wakelark.evaluation.sound_check import measure_sound, sound_faults
from wakelark.pipeline.health.labels import SPOKEN_PHRASE, UNLIKE_SPOKEN
from wakelark.pipeline.known_sounds import OF_A_TEXT, choose_known, describe, index_sounds, stretch_ending_at

POSITIVES, NEGATIVES, SWAPPED, TRIALS = 60, 120, 18, 5


@dataclass(frozen=True)
class Take:
    """A recording: what is said, its audio, its embeddings, and where the speech ends."""

    phrase: str
    audio: Int16Array
    sequence: NDArray[np.float16]
    end_s: float


def read_takes(folder: Path) -> list[Take]:
    """The recordings of the split "dev" in which the phrase stands out."""
    takes = []
    with open(folder / "manifest.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == "dev":
                audio = to_int16(read_audio(folder / row["file"], max_seconds=60))
                if (span := speech_span(audio)) is not None:
                    takes.append(Take(row["phrase"], audio, describe(audio), span[1] / SAMPLE_RATE))
    return takes


def labels(takes: Sequence[Take], phrase: str, *, swapped: int, rng: np.random.Generator) -> dict[str, float]:
    """The doubted labels among `POSITIVES` takes of a phrase and `NEGATIVES` others, of which some are swapped."""
    said = np.array([take.phrase == phrase for take in takes])
    chosen = [
        *rng.permutation(np.flatnonzero(said))[:POSITIVES].tolist(),
        *rng.permutation(np.flatnonzero(~said))[:NEGATIVES].tolist(),
    ]
    label = said[chosen].astype(np.int64)
    wrong = rng.permutation(len(chosen))[:swapped]
    label[wrong] = 1 - label[wrong]
    index = SoundIndex([takes[number].sequence for number in chosen])
    alike = np.concatenate(
        [index.similarities(stretch_ending_at(index, takes[number].sequence, takes[number].end_s)) for number in chosen]
    )
    shares = own_votes(alike, label, label, excluded=[[row] for row in range(len(chosen))])
    doubted = set(np.flatnonzero(shares < WRONG_BELOW).tolist())
    worst = set(np.argsort(shares, kind="stable")[: max(1, len(chosen) // 10)].tolist())
    return {
        "doubted": len(doubted), "doubted_and_wrong": len(doubted & set(wrong.tolist())),
        "wrong_in_the_worst_tenth": len(worst & set(wrong.tolist())), "wrong": swapped,
    }  # fmt: skip


def nearest(takes: Sequence[Take]) -> float:
    """Share of the takes whose nearest other take is of the same phrase."""
    index = SoundIndex([take.sequence for take in takes])
    right = 0
    for number, take in enumerate(takes):
        alike = index.similarities(stretch_ending_at(index, take.sequence, take.end_s))[0]
        alike[number] = -1
        right += takes[int(alike.argmax())].phrase == take.phrase
    return right / len(takes)


def encoded(audio: Float32Array, container: str) -> Int16Array:
    """A copy through a lossy format."""
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, SAMPLE_RATE, format=container)
    buffer.seek(0)
    return to_int16(np.asarray(soundfile.read(buffer, dtype="float32")[0], np.float32))


def telephone(audio: Float32Array) -> Float32Array:
    """The same at 8 kHz, and back."""
    return soxr.resample(soxr.resample(audio, SAMPLE_RATE, 8_000), 8_000, SAMPLE_RATE).astype(np.float32)


def copies_found(takes: Sequence[Take]) -> dict[str, float]:
    """Share of the copies of each kind that are told to be copies."""
    rng = np.random.default_rng(0)
    kinds = {
        "turned down by 18 dB": lambda audio: to_int16(audio / 8),
        "trimmed": lambda audio: to_int16(audio[3_000:-2_000]),
        "ogg": lambda audio: encoded(audio, "OGG"),
        "mp3": lambda audio: encoded(audio, "MP3"),
        "at 8 kHz": lambda audio: to_int16(telephone(audio)),
        "20 dB noise": lambda audio: to_int16(
            audio + np.float32(0.1 * audio.std()) * rng.standard_normal(len(audio)).astype(np.float32)
        ),
    }
    return {
        kind: float(np.mean([bool(find_repeats([take.audio, change(to_float(take.audio))])) for take in takes]))
        for kind, change in kinds.items()
    }


def faults_found(takes: Sequence[Take]) -> dict[str, dict[str, float]]:
    """Share of the takes with each fault: as they are, clipped by 12 dB, and at 8 kHz."""
    changes = {
        "as they are": lambda audio: audio,
        "clipped by 12 dB": lambda audio: np.clip(audio / np.abs(audio).max() * 4, -1, 1),
        "at 8 kHz": telephone,
    }
    found: dict[str, dict[str, float]] = {}
    for name, change in changes.items():
        codes = [
            fault.code for take in takes for fault in sound_faults(measure_sound(change(to_float(take.audio))))
        ]  # fmt: skip
        found[name] = {code: codes.count(code) / len(takes) for code in sorted(set(codes))}
    return found


def resembles(takes: Sequence[Take], manifest: Path) -> dict[str, dict[str, list[float]]]:
    """Per phrase, deciles of the similarity to the nearest clip of a run, and to the five nearest spoken phrases."""
    clips = choose_known(read_manifest(manifest), of_a_text=OF_A_TEXT)
    known = index_sounds(clips, progress=lambda done, total, what: None)
    spoken = np.array([clip.kind in SPOKEN_PHRASE for clip in clips])
    found: dict[str, dict[str, list[float]]] = {}
    for phrase in sorted({take.phrase for take in takes}):
        alike = np.concatenate(
            [
                known.index.similarities(stretch_ending_at(known.index, take.sequence, take.end_s))
                for take in takes if take.phrase == phrase
            ]
        )  # fmt: skip
        figures = {"nearest": alike.max(axis=1), "spoken": np.sort(alike[:, spoken], axis=1)[:, -5:].mean(axis=1)}
        found[phrase] = {name: np.quantile(values, np.linspace(0, 1, 11)).tolist() for name, values in figures.items()}
        found[phrase]["doubted"] = [float(np.mean(figures["spoken"] < UNLIKE_SPOKEN))]
    return found


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--manifest", type=Path)
    arguments = parser.parse_args()
    takes = read_takes(arguments.folder)
    if arguments.manifest is not None:
        print(json.dumps(resembles(takes, arguments.manifest), indent=1))
        return
    phrases = sorted({take.phrase for take in takes})
    start_s = time.process_time()
    repeats = find_repeats([take.audio for take in takes])
    repeats_s = time.process_time() - start_s
    print(
        json.dumps(
            {
                "takes": len(takes),
                "nearest_is_of_the_same_phrase": nearest(takes),
                "labels": {
                    phrase: {
                        name: [
                            labels(takes, phrase, swapped=swapped, rng=np.random.default_rng(trial))
                            for trial in range(TRIALS)
                        ]
                        for name, swapped in (("10 % swapped", SWAPPED), ("none swapped", 0))
                    }
                    for phrase in phrases
                },
                "repeats": {
                    phrase: sum(len(group) - 1 for group in repeats if takes[group[0]].phrase == phrase)
                    for phrase in phrases
                },
                "repeats_across_phrases": sum(len({takes[n].phrase for n in group}) > 1 for group in repeats),
                "repeats_cpu_s": repeats_s,
                "copies_found": copies_found(takes[::9]),
                "faults": faults_found(takes[::3]),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
