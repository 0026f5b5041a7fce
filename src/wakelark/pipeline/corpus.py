"""Stage "corpus": what is said, by whom, and which recordings go with it; ends in the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wakelark.audio import printable
from wakelark.config import Config
from wakelark.corpus.clip import Clip
from wakelark.corpus.engines import ENGINES, Engine, find_engines
from wakelark.corpus.engines.kokoro import KokoroEngine, fetch_kokoro_voices
from wakelark.corpus.ingest import IngestReport, ingest
from wakelark.corpus.manifest import write_manifest
from wakelark.corpus.recordings import fetch_recordings, missing, streams
from wakelark.corpus.speech_plan import cast_voices, plan_jobs, positives_of
from wakelark.corpus.streams import Stream
from wakelark.corpus.synthesise import synthesise
from wakelark.errors import DataError, SetupError
from wakelark.models.trunk_file import load_trunk
from wakelark.phrase import near_misses, pronounce
from wakelark.phrase.phrase_risk import Risk, risk
from wakelark.pipeline.material import Material
from wakelark.training.stream_features import Progress

FEWEST_POSITIVES = 20
PLAN_SEED = (0, 1)
"""What is spoken does not depend on the run's seed: runs with other seeds share their clips and splits."""


@dataclass(slots=True)
class Corpus:
    """The clips, the recordings, and what the user should know about them.

    Attributes:
        clips: spoken and own clips of all splits, and one line per recording stream.
        streams: the recordings, all roles.
        warnings: what is missing and what it costs.
        facts: for the report: pronunciations, near misses, risks, counts.
        files: id of an own clip or name of an own recording -> the file that it came from.
        ingested: what was found in the user's own folders.
    """

    clips: list[Clip]
    streams: list[Stream]
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    ingested: list[IngestReport] = field(default_factory=list)

    def of(self, split: str, *kinds: str) -> list[Clip]:
        """Short clips of a split, of some kinds or of all."""
        return [
            clip for clip in self.clips
            if clip.split == split and not clip.is_stream and (not kinds or clip.kind in kinds)
        ]  # fmt: skip

    def roles(self, role: str) -> list[Stream]:
        """Recordings of a role."""
        return [stream for stream in self.streams if stream.role == role]


def build_corpus(config: Config, manifest: Path, *, progress: Progress, material: Material | None = None) -> Corpus:
    """Make the whole corpus and write its manifest. What is in the cache already is not made again.

    Args:
        config: of the run.
        manifest: where it is written.
        progress: called with (done, total, what).
        material: what the user brought with `wakelark add` and `wakelark mine`.

    Raises:
        ConfigError: the phrase, a folder or a voice cannot be used.
        DataError: too few positives, or too many clips that could not be spoken.
        SetupError: the disk is full.
    """
    corpus = Corpus([], [])
    _add_own(corpus, config, progress)
    if material is not None:
        _add_material(corpus, material)
    _add_recordings(corpus, config, progress)
    _add_voices(corpus, config)
    _say_what_the_trunk_heard(corpus, config)
    _add_speech(corpus, config, progress)
    corpus.clips += [stream_line(stream) for stream in corpus.streams]
    positives = [clip for clip in corpus.of("train") if clip.label == 1]
    if len(positives) < FEWEST_POSITIVES:
        raise DataError(
            f"only {len(positives)} clips of the phrase to train on, at least {FEWEST_POSITIVES} are needed; raise "
            "corpus.espeak_positives, install more voices (wakelark doctor), or add recordings with --positives"
        )
    corpus.facts["clips"] = _counts(corpus.clips)
    write_manifest(corpus.clips, manifest)
    return corpus


def _add_recordings(corpus: Corpus, config: Config, progress: Progress) -> None:
    size = config.corpus.recordings
    if size == "none":
        corpus.warnings.append(
            "no recordings without the phrase (corpus.recordings: none): false alarms are trained and measured on "
            "synthetic speech only, and the figures say little about a living room"
        )
        return
    if missing(size):
        report = fetch_recordings(size, workers=config.training.processes, progress=progress)
        corpus.warnings += report.warnings()
    corpus.streams += streams(size=size)


def _add_voices(corpus: Corpus, config: Config) -> None:
    """Bring Kokoro's voices when they are wanted and absent; without them it speaks with fewer, and says so."""
    if not config.corpus.kokoro_positives or KokoroEngine.why_missing():
        return
    try:
        fetch_kokoro_voices()
    except SetupError as error:
        corpus.warnings.append(str(error))


def _say_what_the_trunk_heard(corpus: Corpus, config: Config) -> None:
    """An engine is not held out of a student whose trunk has heard it."""
    held_out, trunk = config.corpus.held_out_engine, config.student.trunk
    if held_out is None or trunk == "none":
        return
    spoken = load_trunk(trunk).provenance.get("spoken")
    if isinstance(spoken, dict) and held_out in spoken:
        corpus.warnings.append(
            f"corpus.held_out_engine is {held_out}, but the trunk {trunk!r} was trained on sentences spoken by it: the "
            "tiny model's figures are not those of an engine it never heard. Hold out flite, or start from "
            "student.trunk: none"
        )


def _add_speech(corpus: Corpus, config: Config, progress: Progress) -> None:
    """Speak the phrase, what sounds like it, and ordinary sentences, all in the same voices."""
    rng = np.random.default_rng(PLAN_SEED)
    pronunciations = pronounce(config.phrase, language=config.language, extra=config.pronunciations)
    corpus.facts |= {
        "pronunciations": [p.phonemes for p in pronunciations],
        "near_misses": [],
        "risks": [_risk_line(item) for item in risk(config.phrase, pronunciations, language=config.language)],
        "engines": {},
    }
    if not any(positives_of(name, config.corpus) for name in ENGINES):
        corpus.warnings.append(
            "nothing is synthesised (all corpus.*_positives are 0): the model learns from the own recordings alone, "
            "without near misses and sentences in the same voices"
        )
        return
    misses = near_misses(
        pronunciations, phrase=config.phrase, language=config.language, count=config.corpus.near_miss_phrases, rng=rng
    )
    engines, reasons = find_engines(config.corpus.voices_dir)
    wanted = {name: reason for name, reason in reasons.items() if positives_of(name, config.corpus)}
    corpus.warnings += [f"voices of {name} are not used: {reason}" for name, reason in wanted.items()]
    cast = cast_voices(engines, config=config, rng=rng)
    corpus.warnings += cast.remarks
    jobs = plan_jobs(pronunciations, misses, config=config, cast=cast, engines=engines, rng=rng)
    spoken = synthesise(jobs, voices_dir=config.corpus.voices_dir, workers=config.training.processes, progress=progress)
    corpus.clips += spoken.clips
    if spoken.failed:
        first = spoken.failed[0]
        corpus.warnings.append(
            f"{len(spoken.failed)} clips could not be spoken, for instance {first.text!r} by {first.voice}: "
            f"{first.reason}"
        )
    corpus.facts["near_misses"] = [miss.text for miss in misses]
    corpus.facts["engines"] = _engine_sources(engines, spoken.clips)


def _risk_line(item: Risk) -> dict[str, str]:
    return {"level": item.level, "what": item.what, "why": item.why, "remedy": item.remedy}


def _engine_sources(engines: dict[str, Engine], clips: Sequence[Clip]) -> dict[str, str]:
    used = {clip.engine for clip in clips}
    return {name: engine.source for name, engine in engines.items() if name in used}


def _add_own(corpus: Corpus, config: Config, progress: Progress) -> None:
    """The user's own recordings."""
    for folder, label in ((config.positives, 1), (config.negatives, 0)):
        if folder is None:
            continue
        # Short clips without the phrase all go to training: development and test hear whole recordings.
        shares = (config.corpus.dev_share, config.corpus.test_share) if label == 1 else (0.0, 0.0)
        report = ingest(
            Path(folder), label=label, dev_share=shares[0], test_share=shares[1],
            split_seed=PLAN_SEED[0], voice_from="auto", workers=config.training.processes, progress=progress,
        )  # fmt: skip
        corpus.ingested.append(report)
        corpus.clips += report.clips
        corpus.streams += report.streams
        corpus.files |= {key: printable(path) for key, path in report.files.items()}
        corpus.warnings += [f"skipped {problem}" for problem in report.skipped]
        corpus.warnings += [
            f"{printable(extra)} repeats {printable(first)}: used once" for extra, first in report.duplicates
        ]
        corpus.warnings += report.notes if label == 1 else ()


def _add_material(corpus: Corpus, material: Material) -> None:
    """What `add` and `mine` brought, as far as it is not among the own recordings already."""
    present = {clip.id for clip in corpus.clips} | {stream.sha256[:16] for stream in corpus.streams}
    corpus.clips += [clip for clip in material.clips if clip.id not in present]
    corpus.streams += [stream for stream in material.streams if stream.sha256[:16] not in present]
    corpus.files |= material.files
    corpus.warnings += material.warnings
    corpus.facts["material"] = material.facts


def stream_line(stream: Stream) -> Clip:
    """The manifest line of a recording."""
    return Clip(
        id=stream.sha256[:16], path=stream.path, samples=stream.samples, label=0,
        kind="music" if stream.kind == "music" else "recording", voice=f"recording/{stream.name}",
        source=stream.package, licence=stream.licence, split=stream.role,
    )  # fmt: skip


def _counts(clips: Sequence[Clip]) -> dict[str, dict[str, int]]:
    """kind -> split -> number."""
    counted = Counter((clip.kind, clip.split) for clip in clips)
    kinds = sorted({kind for kind, _ in counted})
    return {kind: {split: counted[kind, split] for split in ("train", "dev", "test")} for kind in kinds}
