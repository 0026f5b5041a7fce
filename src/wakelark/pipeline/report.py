"""Stage "report": both written model files, and the two as one detector, run over the test clips and recordings."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence

import numpy as np

from wakelark import __version__
from wakelark.audio import SAMPLE_RATE
from wakelark.config import Config
from wakelark.corpus.cache import cache_folder, write_atomically
from wakelark.corpus.clip import Clip
from wakelark.errors import DataError
from wakelark.evaluation.groups import ScoredClip
from wakelark.evaluation.report import JudgedModel, MeasuredModel, RunFacts, build_report
from wakelark.pipeline.cards import card_of
from wakelark.pipeline.clip_lists import NEAR_MISS_KINDS, clip_source
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.development import clips_in_a_row
from wakelark.pipeline.evaluate import EVENT_FLOOR, stream_source, test_noise
from wakelark.pipeline.health.findings import Health
from wakelark.pipeline.judge_cost import judge_cost
from wakelark.pipeline.listener import Listener
from wakelark.pipeline.report_page import synthetic_stream, write_page
from wakelark.pipeline.retraining import Verdict
from wakelark.pipeline.rounds import Round
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.scoring import score_clips, score_streams
from wakelark.pipeline.sources import ClipSource, NoiseSource, StreamSource
from wakelark.pipeline.teacher_quality import TeacherQuality
from wakelark.training.clip_audio import ClipReader
from wakelark.training.stream_features import Progress
from wakelark.training.training_loop import TrainingResult

NOISE_SNR_DB = 10.0


def write_report(
    config: Config,
    folder: RunFolder,
    corpus: Corpus,
    result: TrainingResult,
    *,
    export: Mapping[str, Mapping[str, float]],
    mined: Sequence[Clip],
    rounds: Sequence[Round],
    verdicts: Sequence[Verdict],
    quality: TeacherQuality | None,
    health: Health,
    warnings: Sequence[str],
    progress: Progress,
) -> dict[str, object]:
    """Measure both files and write `report.json` and `report.html`; returns the report.

    Args:
        config, folder, corpus: of the run.
        result: of the student's training.
        export: "accurate" and "tiny" -> what is known of the file's export.
        mined: clips of the rounds inside the training.
        rounds: what happened in them.
        verdicts: on a run that was trained anew: its models before and after.
        quality: teacher and student in development.
        warnings: of the stages.
        progress: called with (done, total, what).
    """
    positives = [clip_source(clip) for clip in corpus.of("test") if clip.label == 1]
    near = [clip_source(clip) for clip in corpus.of("test", *NEAR_MISS_KINDS)]
    streams = [stream_source(stream) for stream in corpus.roles("test")] or _synthetic_stream(corpus, folder)
    # Of this run's recordings, not of whatever else lies in the cache: the figures follow from the configuration.
    noise = test_noise(NOISE_SNR_DB, corpus.roles("test"))
    material = _TestMaterial(positives, near, streams, noise)
    models = [
        _measure(config, Listener(model=path), material, name=name, progress=progress)
        for name, path in (("accurate", folder.accurate), ("tiny", folder.tiny))
    ]
    judged = _measure_judged(config, folder, material, progress=progress)
    facts = RunFacts(
        phrase=config.phrase,
        preset=config.preset,
        created=folder.created,
        wakelark_version=__version__,
        stages=folder.stages(),
        distillation={
            "enabled": config.distillation.enabled,
            "alpha": config.distillation.alpha,
            "temperature": config.distillation.temperature,
            "share": result.distilled_share,
            "why": result.why_not_distilled,
            "quality": None if quality is None else quality.facts(),
        },
        clips=[*corpus.clips, *mined],
        hours=_hours(corpus),
        pretrained=[
            {"name": item.name, "licence": item.licence, "note": item.note}
            for item in card_of(folder.accurate).pretrained
        ],
        warnings=[
            *(text for verdict in verdicts if (text := verdict.warning())),
            *warnings,
            *(quality.warnings() if quality else ()),
        ],
        health=health.facts(),
        facts=corpus.facts
        | {
            "mining": [_round(entry) for entry in rounds],
            "export": export,
            "retraining": [verdict.facts() for verdict in verdicts],
        },
    )
    report = build_report(facts, models, seed=config.seed, judged=judged)
    write_atomically(folder.report, json.dumps(report, indent=1, allow_nan=False).encode())
    # Audio that is gone since it was scored is missing on the page, which says so in its place.
    write_page(folder, report, [*positives, *near], streams, seed=config.seed, progress=progress)
    return report


@dataclasses.dataclass(frozen=True, slots=True)
class _TestMaterial:
    """What every model is tested on."""

    positives: Sequence[ClipSource]
    near: Sequence[ClipSource]
    streams: Sequence[StreamSource]
    noise: NoiseSource


def _measure(
    config: Config, listener: Listener, material: _TestMaterial, *, name: str, progress: Progress
) -> MeasuredModel:
    card = card_of(listener.model)
    workers, seed = config.training.processes, config.seed

    def report_progress(done: int, total: int, what: str) -> None:
        progress(done, total, f"{name}: {what}")

    def scored(clips: Sequence[ClipSource], noise: NoiseSource | None) -> list[ScoredClip]:
        found, refused = score_clips(listener, clips, noise=noise, seed=seed, workers=workers, progress=report_progress)
        if refused:
            raise DataError(f"a test clip cannot be read: {refused[0]}; run again with --resume, which makes it anew")
        return found

    clean, noisy = scored(material.positives, None), scored(material.positives, material.noise)
    close = scored(material.near, None)
    heard, unheard = score_streams(
        listener, material.streams, floor=EVENT_FLOOR, workers=workers, progress=report_progress
    )
    if unheard:
        raise DataError(f"a test recording cannot be read: {unheard[0]}; run `wakelark fetch`, then --resume")
    return MeasuredModel(
        name=name, file=listener.model.name, size_bytes=listener.model.stat().st_size, parameters=card.parameters,
        step_s=card.step_samples / SAMPLE_RATE, threshold=card.threshold, fa_per_hour=card.fa_per_hour,
        presets=card.presets, positives=clean, noisy_positives=noisy, snr_db=NOISE_SNR_DB, near_misses=close,
        streams=heard, floor=EVENT_FLOOR,
    )  # fmt: skip


def _measure_judged(
    config: Config, folder: RunFolder, material: _TestMaterial, *, progress: Progress
) -> JudgedModel | None:
    """Both models as one detector; None where the tiny model's card knows of no judge."""
    tiny, judge = folder.tiny, folder.accurate
    point = card_of(tiny).judged
    if point is None:
        return None
    found = _measure(config, Listener(model=tiny, judge=judge), material, name="judged", progress=progress)
    measured = dataclasses.replace(
        found, file=f"{tiny.name}, judged by {judge.name}", size_bytes=found.size_bytes + judge.stat().st_size,
        parameters=found.parameters + card_of(judge).parameters, threshold=point.preset("normal").threshold,
        presets=point.presets,
    )  # fmt: skip
    heard_s, seconds = sum(item.judge_heard_s for item in found.streams), sum(item.seconds for item in found.streams)
    cost = judge_cost(tiny, judge, heard_share=heard_s / seconds if seconds else 0.0)
    return JudgedModel(measured=measured, wake_threshold=point.wake_threshold, cost=cost)


def _synthetic_stream(corpus: Corpus, folder: RunFolder) -> list[StreamSource]:
    """Without test recordings: the sentences of the test voices, one after the other, labelled synthetic."""
    audio = clips_in_a_row(corpus.of("test", "sentence"), ClipReader(cache_folder()), seed=[7])
    if not audio.size:
        return []
    stream = synthetic_stream(folder)
    buffer = io.BytesIO()
    np.save(buffer, audio)
    write_atomically(stream.path, buffer.getvalue())
    return [stream]


def _hours(corpus: Corpus) -> dict[str, dict[str, float]]:
    hours: dict[str, dict[str, float]] = {}
    for stream in corpus.streams:
        kinds = hours.setdefault(stream.role, {})
        kinds[stream.kind] = round(kinds.get(stream.kind, 0.0) + stream.seconds / 3600, 3)
    return hours


def _round(entry: Round) -> Mapping[str, object]:
    return dataclasses.asdict(entry) | {"kept": entry.kept}
