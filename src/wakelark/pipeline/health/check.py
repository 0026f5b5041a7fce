"""The health of a corpus in `train`, and of folders of recordings before any training in `doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wakelark.audio import BadAudio, audio_facts, printable
from wakelark.config import CorpusConfig
from wakelark.corpus.clip import Clip
from wakelark.corpus.ingest import IngestReport, ingest
from wakelark.corpus.streams import Stream
from wakelark.errors import SetupError
from wakelark.models.heads import HeadEnsemble
from wakelark.pipeline.corpus import PLAN_SEED, Corpus
from wakelark.pipeline.health.balance import check_balance, check_lengths
from wakelark.pipeline.health.findings import LISTED, Finding, Health
from wakelark.pipeline.health.labels import (
    bad_voices,
    doubted_as_odd,
    doubted_by_heads,
    doubted_by_neighbours,
    doubted_by_speech,
    label_findings,
    left_out_losses,
)
from wakelark.pipeline.health.own import Material, gather
from wakelark.pipeline.health.repeats import check_equal, check_near
from wakelark.pipeline.health.sound import check_own_sound, check_own_streams, check_voices
from wakelark.pipeline.known_sounds import OF_A_TEXT, choose_known, index_sounds
from wakelark.training.view_store import ViewStore

Progress = Callable[[int, int, str], None]

_LOW_RATE = 16_000
_REFERENCES_OF_A_TEXT = 1
"""In training, a few hundred synthesised clips vote besides the own ones: more would take longer and tell no more."""


@dataclass(slots=True)
class CorpusHealth:
    """The health of a run's corpus: sound, repeats and balance at once, labels once there are heads."""

    material: Material
    copies: Sequence[Sequence[Clip]]
    health: Health


def check_corpus(corpus: Corpus) -> CorpusHealth:
    """All checks that need no model.

    Raises:
        DataError: the audio of a clip is gone.
    """
    found = _examine(corpus.clips, corpus.streams, corpus.files, complete=True)
    for report in corpus.ingested:
        found.health.add(_low_rates(report))
    return found


def check_labels(found: CorpusHealth, store: ViewStore, heads: HeadEnsemble, *, progress: Progress) -> None:
    """Add what the heads, the synthesised phrase and the neighbours say about the labels."""
    losses = left_out_losses(store, heads)
    material, health = found.material, found.health
    health.checked["positives judged by a head without their voice"] = len(losses)
    health.add(bad_voices(material, losses))
    if not material.own:
        return
    trained = [clip for clip in material.clips if clip.split == "train"]
    known = index_sounds(choose_known(trained, of_a_text=_REFERENCES_OF_A_TEXT), progress=progress)
    doubts = [
        *doubted_by_heads(material, losses),
        *doubted_by_speech(material, known),
        # Positives are judged above, as long as anything is synthesised.
        *doubted_by_neighbours(material.without(1) if material.spoken else material, known, found.copies),
    ]
    health.checked["own clips judged by what they sound like"] = len(material.own)
    health.add(label_findings(material, doubts))


def check_folders(
    positives: Path | None, negatives: Path | None, *, config: CorpusConfig, workers: int, progress: Progress
) -> Health:
    """What is wrong with folders of recordings, as `train` would take them.

    Raises:
        ConfigError: there is no such folder.
        DataError: a folder holds nothing that can be used.
    """
    clips: list[Clip] = []
    streams: list[Stream] = []
    names: dict[str, str] = {}
    findings: list[Finding] = []
    for folder, label in ((positives, 1), (negatives, 0)):
        if folder is None:
            continue
        report = ingest(
            folder, label=label, dev_share=config.dev_share * label, test_share=config.test_share * label,
            split_seed=PLAN_SEED[0], voice_from="auto", workers=workers, progress=progress,
        )  # fmt: skip
        clips += report.clips
        streams += report.streams
        names |= {key: printable(path) for key, path in report.files.items()}
        findings += [*_refused(report), *_given_twice(report), *_low_rates(report), *_one_voice(report)]
    found = _examine(clips, streams, names, complete=False)
    found.health.add(findings)
    _add_labels(found, progress)
    return found.health


def _examine(
    clips: Sequence[Clip], streams: Sequence[Stream], names: Mapping[str, str], *, complete: bool
) -> CorpusHealth:
    material = gather(clips, streams, names)
    health = Health()
    near, copies, compared = check_near(material)
    voices, voice_count = check_voices(material)
    recordings, recording_count = check_own_streams(material)
    health.checked = Counter(
        {
            "own clips": len(material.own), "synthesised clips": len(material.spoken),
            "synthesised voices heard": voice_count, "recordings": len(streams),
            "own recordings heard in windows": recording_count, "own clips compared for copies": compared,
        }
    )  # fmt: skip
    health.add(
        [
            *check_equal(material), *near, *check_own_sound(material), *voices, *recordings, *check_lengths(material),
            *check_balance(material, complete=complete),
        ]
    )  # fmt: skip
    return CorpusHealth(material, copies, health)


def _add_labels(found: CorpusHealth, progress: Progress) -> None:
    """The labels of folders, by neighbours; where the embedding is missing, a note says that nothing was looked at."""
    if not found.material.own:
        return
    try:
        known = index_sounds(choose_known(found.material.clips, of_a_text=OF_A_TEXT), progress=progress)
        doubts = [
            *doubted_by_neighbours(found.material, known, found.copies),
            *doubted_as_odd(found.material, known, found.copies),
        ]
        found.health.add(label_findings(found.material, doubts))
        found.health.checked["own clips judged by what they sound like"] = len(found.material.own)
    except SetupError as error:
        what = "the labels were not looked at: the speech embedding is missing"
        found.health.add([Finding(check="label", level="note", count=0, of=0, what=what, remedy=str(error))])


def _refused(report: IngestReport) -> list[Finding]:
    reasons: dict[str, list[BadAudio]] = {}
    for problem in report.skipped:
        reasons.setdefault(problem.reason, []).append(problem)
    total = len(report.skipped) + len(report.files) + len(report.duplicates)
    return [
        Finding(
            check=f"refused-{reason}", level="warn", count=len(problems), of=total,
            what=f"{len(problems)} of {total} files are not used ({reason})", remedy=problems[0].detail,
            items=tuple({"file": printable(problem.path), "detail": problem.detail} for problem in problems[:LISTED]),
        )
        for reason, problems in reasons.items()
    ]  # fmt: skip


def _given_twice(report: IngestReport) -> list[Finding]:
    if not report.duplicates:
        return []
    return [
        Finding(
            check="repeats", level="note", count=len(report.duplicates),
            of=len(report.files) + len(report.duplicates),
            what=f"{len(report.duplicates)} files repeat another one and are used once", remedy="nothing to do",
            items=tuple(
                {"file": printable(extra), "same": [printable(first)]} for extra, first in report.duplicates[:LISTED]
            ),
        )
    ]  # fmt: skip


def _low_rates(report: IngestReport) -> list[Finding]:
    rates = {path: audio_facts(path).sample_rate for path in report.files.values()}
    low = [path for path, rate in rates.items() if rate < _LOW_RATE]
    if not low:
        return []
    return [
        Finding(
            check="low-rate", level="warn" if len(low) > 0.2 * len(rates) else "note", count=len(low), of=len(rates),
            what=f"{len(low)} of {len(rates)} files have less than 16,000 samples per second",
            remedy="they lack the upper half of speech; record at 16 kHz or more, as the device will hear it",
            items=tuple({"file": printable(path), "detail": f"{rates[path]} Hz"} for path in low[:LISTED]),
        )
    ]  # fmt: skip


def _one_voice(report: IngestReport) -> list[Finding]:
    return [
        Finding(check="one-voice", level="note", count=len(report.clips), of=len(report.clips), what=note,
                remedy="name the speakers by sub-folders")
        for note in report.notes if report.clips and report.clips[0].label == 1
    ]  # fmt: skip
