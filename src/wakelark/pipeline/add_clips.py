"""`wakelark add`: the user's clips join a run's corpus, through a manifest of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wakelark.audio import SAMPLE_RATE, printable
from wakelark.config import Config
from wakelark.config_file import load_config
from wakelark.corpus.clip import Clip
from wakelark.corpus.ingest import IngestReport, ingest
from wakelark.corpus.manifest import read_manifest, write_manifest
from wakelark.pipeline.corpus import PLAN_SEED, stream_line
from wakelark.pipeline.health.findings import Finding
from wakelark.pipeline.health.own import gather
from wakelark.pipeline.health.sound import check_own_sound
from wakelark.pipeline.material import MINED
from wakelark.pipeline.run_folder import RunFolder
from wakelark.training.stream_features import Progress

ROLES = ("positive", "negative", "hard-negative")
MAX_HARD_S = 10.0
"""A longer hard negative is mostly not hard: `wakelark mine` finds the part that is."""
_OWN_KINDS = ("own_positive", "own_negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of the user's folder.

    Attributes:
        taken: the new manifest lines.
        already: files that the run has already.
        refused: (file, why).
        duplicates: (file, the file it repeats).
        notes: what the user should know about the split.
        findings: what is wrong with the sound of those that were taken.
    """

    taken: Sequence[Clip]
    already: Sequence[str]
    refused: Sequence[tuple[str, str]]
    duplicates: Sequence[tuple[str, str]]
    notes: Sequence[str]
    findings: Sequence[Finding]


def add_clips(folder: RunFolder, clips: Path, role: str, *, workers: int, progress: Progress) -> Added:
    """Check a folder of clips and add what can be used to a run's `corpus/added.jsonl`.

    Args:
        folder: of the run, finished or not.
        clips: the user's folder.
        role: one of `ROLES`.
        workers: processes.
        progress: called with (done, total, what).

    Raises:
        ConfigError: there is no run, or no such folder.
        DataError: the folder holds no audio that can be used.
        BusyError: the run is being trained.
    """
    folder.check_run()
    with folder.hold(resume=True):
        config = load_config(folder.config, overrides=[], preset=None)
        label = int(role == "positive")
        report = ingest(
            clips, label=label, split_seed=PLAN_SEED[0], voice_from="auto", workers=workers, progress=progress,
            dev_share=config.corpus.dev_share * label, test_share=config.corpus.test_share * label,
        )  # fmt: skip
        names = {key: printable(path.relative_to(clips)) for key, path in report.files.items()}
        added = read_manifest(folder.added) if folder.added.is_file() else []
        lines, refused = _usable(report, names, role)
        known = _known(folder, config, added)
        taken = [line for name, line in lines if line.id not in known]
        refused += [(name, why) for name, line in lines if (why := _contradiction(line, known.get(line.id)))]
        if taken:
            write_manifest([*added, *taken], folder.added)
    return Added(
        taken=taken,
        already=[name for name, line in lines if line.id in known and not _contradiction(line, known[line.id])],
        refused=[*((printable(x.path.relative_to(clips)), x.detail) for x in report.skipped), *refused],
        duplicates=[(printable(a.relative_to(clips)), printable(b.relative_to(clips))) for a, b in report.duplicates],
        notes=report.notes if label else (),
        findings=check_own_sound(gather(taken, (), names)),
    )


def _usable(
    report: IngestReport, names: Mapping[str, str], role: str
) -> tuple[list[tuple[str, Clip]], list[tuple[str, str]]]:
    """(file, manifest line) of what the role allows, and (file, why) of what it does not."""
    lines = [(names[clip.id], clip) for clip in report.clips]
    lines += [(names[stream.name], stream_line(stream)) for stream in report.streams]
    if role != "hard-negative":
        return lines, []
    why = f"longer than {MAX_HARD_S:g} s, and most of it is not hard; let `wakelark mine` find the part that is"
    too_long = [(name, why) for name, line in lines if line.samples > MAX_HARD_S * SAMPLE_RATE]
    hard = [
        (name, dataclasses.replace(line, hard_negative=1))
        for name, line in lines if line.samples <= MAX_HARD_S * SAMPLE_RATE
    ]  # fmt: skip
    return hard, too_long


def _known(folder: RunFolder, config: Config, added: Sequence[Clip]) -> dict[str, Clip]:
    """What the run has already, by the content of the audio.

    Of the manifest, which is from the last training, lines of `added.jsonl` that were deleted since do not count.
    """
    manifest = read_manifest(folder.manifest) if folder.manifest.is_file() else []
    given_at_start = config.positives is not None or config.negatives is not None
    # What was mined may be added, too: then it is the user's word that it is no mistake of the search.
    lasting = [
        clip for clip in manifest
        if clip.kind != MINED and (given_at_start or not (clip.kind in _OWN_KINDS or _is_own_stream(clip)))
    ]  # fmt: skip
    return {clip.id: clip for clip in (*lasting, *added)}


def _is_own_stream(clip: Clip) -> bool:
    return clip.is_stream and clip.path.startswith("own/")


def _contradiction(line: Clip, known: Clip | None) -> str:
    """Why a clip that the run has already cannot be added in another role; "" where it is the same role."""
    if known is None or (known.label, known.hard_negative) == (line.label, line.hard_negative):
        return ""
    role = "positive" if known.label else "hard negative" if known.hard_negative else "negative"
    return f"the run has it as a {role} already; change or delete its line in corpus/added.jsonl if that is wrong"
