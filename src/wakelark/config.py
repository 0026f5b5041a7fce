"""The configuration: every key, its one default, its range. Nothing else in wakelark holds a default of these.

`load_config` (in `wakelark.config_file`) reads the YAML; presets are differences from the defaults below.
"""

from __future__ import annotations

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values may be set (and are checked) from Python."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)


class CorpusConfig(Section):
    """What is said, by whom, and which recordings go in."""

    recordings: Literal["none", "quick", "standard", "thorough"] = "standard"
    """Size set of the real negatives that `wakelark fetch` brings."""
    voices_dir: str | None = None
    """Folder with further Piper (`.onnx` + `.onnx.json`) and Kokoro (`.bin`, `.npz`) voices."""
    held_out_engine: Literal["espeak", "kokoro", "piper", "flite"] | None = None
    """An engine whose clips all go to the test split."""
    espeak_positives: int = Field(default=600, ge=0)
    kokoro_positives: int = Field(default=110, ge=0)
    piper_positives: int = Field(default=300, ge=0)
    flite_positives: int = Field(default=120, ge=0)
    in_sentence_share: float = Field(default=0.25, ge=0, le=1)
    """Share of the positives that end a sentence instead of standing alone."""
    near_miss_ratio: float = Field(default=0.8, ge=0)
    """Near-miss, partial and swapped clips per positive clip, in the same voices."""
    near_miss_distance: float = Field(default=0.18, ge=0)
    """Near misses nearer than this, per phoneme of the phrase, are not trained on (they are still tested with)."""
    sentence_ratio: float = Field(default=0.5, ge=0)
    """Ordinary sentences per positive clip, in the same voices."""
    near_miss_phrases: int = Field(default=120, ge=0)
    """How many near-miss phrases the training voices speak; a quarter as many again are kept for the others."""
    dev_share: float = Field(default=0.12, gt=0, lt=0.5)
    test_share: float = Field(default=0.12, gt=0, lt=0.5)


class AugmentConfig(Section):
    """How often and how strongly clips are changed before training."""

    speed_probability: float = Field(default=0.5, ge=0, le=1)
    speed_range: float = Field(default=0.12, ge=0, lt=0.5)
    room_probability: float = Field(default=0.6, ge=0, le=1)
    noise_probability: float = Field(default=0.75, ge=0, le=1)
    snr_db_min: float = 0.0
    snr_db_max: float = 25.0
    tilt_db_per_octave: float = Field(default=5.0, ge=0)
    low_pass_probability: float = Field(default=0.35, ge=0, le=1)
    high_pass_probability: float = Field(default=0.4, ge=0, le=1)
    codec_probability: float = Field(default=0.1, ge=0, le=1)
    clip_probability: float = Field(default=0.1, ge=0, le=1)
    gain_db_min: float = -32.0
    gain_db_max: float = 0.0
    speech_before_probability: float = Field(default=0.3, ge=0, le=1)
    speech_after_probability: float = Field(default=0.2, ge=0, le=1)
    views_per_positive: int = Field(default=5, ge=1)
    views_per_negative: int = Field(default=2, ge=1)


class TeacherConfig(Section):
    """The heads on the frozen speech embedding: `model.onnx`."""

    heads: int = Field(default=4, ge=1, le=8)
    context_steps: int = Field(default=10, ge=1, le=16)
    """Embedding steps (80 ms each) a head sees."""
    hidden: int = Field(default=32, ge=1)
    steps: int = Field(default=700, ge=1)
    batch_size: int = Field(default=256, ge=8)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    dropout: float = Field(default=0.3, ge=0, lt=1)


class StudentConfig(Section):
    """The tiny causal network: `model_tiny.onnx`."""

    architecture: Literal["ds_tcn", "bc_resnet"] = "ds_tcn"
    """"bc_resnet", for those with a GPU, takes `width` and `dropout` of the keys below, and `trunk` must be "none"."""
    width: float = Field(default=2.0, ge=0.5, le=16)
    """Multiplies the channels of "bc_resnet": 1 to 8 are the paper's BC-ResNet-1 to -8."""
    trunk: str = "small"
    """What it starts from: "small" or "large" (phrase-free trunks that come with wakelark), the path of a trunk that
    `wakelark trunk` made, or "none": random weights of the shape below."""
    trunk_rate: float = Field(default=0.15, ge=0, le=1)
    """Learning rate of a trunk that comes trained, as a share of the head's; 0 leaves it as it is."""
    channels: int = Field(default=64, ge=8)
    kernels: tuple[int, ...] = (3, 3, 5, 5, 7)
    """Kernel lengths of the trunk's blocks, in steps of 40 ms: together 0.79 s, the span of one speech embedding."""
    head_rank: int = Field(default=16, ge=1)
    """Values per step that the head narrows the trunk's features to."""
    head_templates: int = Field(default=32, ge=1)
    head_taps: int = Field(default=10, ge=1)
    head_dilation: int = Field(default=2, ge=1)
    """The head looks at `head_taps` steps, every `head_dilation`-th one: 1.5 s with the trunk's own span."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    candidates: int = Field(default=2, ge=1)
    """So many are trained, from different random starts, one per core; the best on development data is kept."""


class MicroConfig(Section):
    """The student for ESPHome's devices (`--for esphome`), on the `micro` front end: steps of 30 ms."""

    trunk: str = "auto"
    """What it starts from: "none": random weights of the shape below, "auto": the trunk for this front end that comes
    with wakelark where there is one, else "none", or the path of a trunk for this front end."""
    channels: int = Field(default=48, ge=8)
    kernels: tuple[int, ...] = (3, 5, 7, 7, 7)
    """Kernel lengths of the trunk's blocks, in steps of 30 ms: together 0.79 s, the span of one speech embedding."""
    head_taps: int = Field(default=13, ge=1)
    """With the trunk's span the head hears 1.5 s, as much as the tiny model's; the rest of it is as `student` says."""
    steps: int = Field(default=1500, ge=1)
    """Training steps from random weights; a student that starts from a trunk takes `training.steps`."""
    learning_rate: float = Field(default=4e-3, gt=0)
    """Its peak, from random weights; a student that starts from a trunk takes `training.learning_rate`."""


class TrunkConfig(Section):
    """How `wakelark trunk` distils the phrase-free trunk of the student from the speech embedding."""

    espeak_sentences: int = Field(default=500, ge=0)
    kokoro_sentences: int = Field(default=250, ge=0)
    piper_sentences: int = Field(default=500, ge=0)
    """Sentences spoken beside the recordings. None by flite, so that it stays an engine that can be held out."""
    leave_out: list[str] = Field(default_factory=lambda: ["alexa", "smart mirror", "snowboy"])
    """Phrases that no spoken sentence may contain: those that trunks are measured on."""
    variants: int = Field(default=2, ge=1)
    """Each piece of audio is used as it is and in this number of variants less one: other speed, room, microphone."""
    components: int = Field(default=64, ge=1, le=96)
    """Principal components of the embedding that are learned."""
    steps: int = Field(default=16_000, ge=1)
    batch_size: int = Field(default=20, ge=2)
    learning_rate: float = Field(default=5e-3, gt=0)
    noise_probability: float = Field(default=0.75, ge=0, le=1)
    """Share of the inputs with noise; the target is the embedding without it."""
    snr_db_min: float = -3.0
    snr_db_max: float = 25.0
    gain_db: float = Field(default=10.0, ge=0)
    """The input alone is louder or quieter by up to this."""


class LossConfig(Section):
    """The supervised loss."""

    hard_negative_weight: float = Field(default=1.5, ge=0)
    """Weight of a flagged negative; 1.0 switches the weighting off."""
    all_steps_weight: float = Field(default=0.2, ge=0)
    """Weight of the term that asks every step of a negative to be silent, beside the loudest one."""
    focal_gamma: float = Field(default=0.0, ge=0, le=10)
    """Examples count by (1 - probability of the right class) to this power; 0 switches it off."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of every label that is spread evenly over both classes."""
    negative_weight_end: float = Field(default=1.0, ge=0)
    """Weight of all negatives at the end of the training; it goes there linearly from 1."""
    teacher_hard_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the student's negative views that are flagged hard in addition: those the teacher scores highest."""


class DistillationConfig(Section):
    """Total = (1 - alpha) * weighted student loss + alpha * temperature^2 * KL(teacher || student)."""

    enabled: bool = True
    teachers: list[str] = Field(default_factory=lambda: ["heads"])
    """Who teaches: "heads" (this run's accurate model), "run:DIR" (a finished run's student), "hf:DIR" (a local
    Hugging Face directory); several are weighted per clip by how sure they are."""
    alpha: float = Field(default=0.6, ge=0, le=1)
    temperature: float = Field(default=3.0, gt=0)
    gated: bool = False
    """The teacher's logit teaches only where it has the sign of the label."""
    logit_weight: float = Field(default=0.0, ge=0)
    """Weight of the regression of the teacher's log-odds, beside the formula."""
    embedding_weight: float = Field(default=0.0, ge=0)
    """Weight of the regression of the speech embedding by the student's trunk; fades out over the last quarter."""
    on_missing_audio: Literal["count", "error"] = "count"
    """What a batch without raw audio means: counted and reported, or an error."""


class TrainingConfig(Section):
    """The student's optimisation."""

    steps: int = Field(default=400, ge=1)
    """A student that starts from a trunk gains nothing from more (docs/ablation.md, `A0-long`); from random weights
    take 1,500."""
    batch_size: int = Field(default=160, ge=8)
    learning_rate: float = Field(default=2e-3, gt=0)
    """Its peak, for a student that starts from a trunk; from random weights (`student.trunk: none`) take 4e-3."""
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    clip_norm: float = Field(default=2.0, gt=0)
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    steps_per_epoch: int = Field(default=100, ge=1)
    """An epoch is this many steps: the unit of metrics, checkpoints and selection."""
    positive_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of positives in a batch."""
    near_miss_share: float = Field(default=0.02, ge=0, le=0.25)
    """Share of the negatives in a batch that sound almost like the phrase."""
    mined_share: float = Field(default=0.05, ge=0, le=0.25)
    """Share of the negatives in a batch that fooled a model: mined ones, and false alarms that the user brought."""
    source_share: float = Field(default=0.4, gt=0, le=1)
    """No source has more than this share of the recordings in a batch, when there are enough of them."""
    workers: int = Field(default=0, ge=0)
    """Processes for synthesis, views, features and trainings; 0 is one per core. The models do not depend on it."""
    tensorboard: bool = False

    @property
    def processes(self) -> int:
        """`workers`, with 0 resolved to the number of cores."""
        return self.workers or os.cpu_count() or 1


class MiningConfig(Section):
    """Hard negatives from the training recordings."""

    rounds: int = Field(default=1, ge=0)
    """Rounds with the accurate model."""
    student_rounds: int = Field(default=1, ge=0)
    """Rounds with the tiny model: briefly trained scouts look for what fools a student."""
    scout_steps: int = Field(default=400, ge=1)
    """Training steps of a scout."""
    events_per_round: int = Field(default=400, ge=1)
    share_per_source: float = Field(default=0.35, gt=0, le=1)
    """At most this share of a round's events comes from one source."""
    score_min: float = Field(default=0.005, gt=0, lt=1)
    """Quieter events teach nothing."""
    views_per_event: int = Field(default=3, ge=1)
    look_alike_similarity: float = Field(default=0.7, ge=-1, le=1)
    """Events whose mean-removed speech embeddings are at least this similar (cosine) are one group."""
    events_per_group: int = Field(default=3, ge=1)
    """At most this many events are taken of each group of look-alikes."""
    quarantine_score: float = Field(default=0.9, gt=0, le=1)
    """What the accurate model gives at least this score may be the phrase itself; see docs/mining.md, "Quarantine"."""


class EvaluationConfig(Section):
    """Operating points and the decision rule."""

    fa_per_hour: float = Field(default=0.5, gt=0)
    """False alarms per hour of the normal threshold, on development audio; strict has a fifth, sensitive four times."""
    smoothing_s: float = Field(default=0.12, ge=0)
    """The scores are averaged over about this time (at least one step)."""
    refractory_s: float = Field(default=1.5, gt=0)
    gate_db: float = Field(default=0.0, ge=0)
    """A score counts only where speech-band sound stood this far above the background; 0 switches the gate off."""
    gate_hold_s: float = Field(default=1.5, gt=0)
    """For how long after such sound the gate stays open."""
    judge_wakes_per_hour: float = Field(default=20.0, gt=0)
    """How often the tiny model may wake its judge, on development audio."""
    judge_weight: float = Field(default=0.5, ge=0, le=1)
    """Share of the judge in the verdict, a mean of log-odds; the rest is the tiny model's. 1: it decides alone."""
    judge_lookback_s: float = Field(default=0.4, ge=0, le=10)
    """What counts of the judge is the peak of its smoothed score over this time."""
    judge_patience_s: float = Field(default=0.4, ge=0, le=10)
    """The judge stays awake for so long after the last score that wakes it."""


class Config(Section):
    """The whole configuration of one run."""

    phrase: str = ""
    pronunciations: list[str] = Field(default_factory=list)
    """Other spellings, or espeak phonemes in [[...]], of the phrase."""
    language: str = "en-us"
    preset: Literal["smoke", "quick", "standard", "thorough"] = "standard"
    seed: int = Field(default=0, ge=0)
    positives: str | None = None
    """Folder with own recordings of the phrase."""
    negatives: str | None = None
    """Folder with own recordings without the phrase."""
    targets: list[Literal["onnx", "esphome"]] = Field(default_factory=lambda: ["onnx"])
    """What models are trained for, beside ONNX, which always is: "esphome" trains one more student in the same run."""
    corpus: CorpusConfig = Field(default_factory=CorpusConfig)
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    teacher: TeacherConfig = Field(default_factory=TeacherConfig)
    student: StudentConfig = Field(default_factory=StudentConfig)
    micro: MicroConfig = Field(default_factory=MicroConfig)
    trunk: TrunkConfig = Field(default_factory=TrunkConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    distillation: DistillationConfig = Field(default_factory=DistillationConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    mining: MiningConfig = Field(default_factory=MiningConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)


PRESETS: dict[str, dict[str, object]] = {
    "smoke": {
        "corpus.recordings": "none",
        "corpus.espeak_positives": 60,
        "corpus.kokoro_positives": 0,
        "corpus.piper_positives": 16,
        "corpus.flite_positives": 32,
        "corpus.near_miss_phrases": 12,
        "augment.views_per_positive": 2,
        "augment.views_per_negative": 2,
        "teacher.heads": 2,
        "student.candidates": 1,
        "teacher.steps": 120,
        "training.steps": 240,
        "training.steps_per_epoch": 80,
        "micro.steps": 160,
        "mining.events_per_round": 40,
    },
    "quick": {
        "corpus.recordings": "quick",
        "corpus.espeak_positives": 300,
        "corpus.kokoro_positives": 40,
        "corpus.piper_positives": 160,
        "augment.views_per_positive": 4,
    },
    "standard": {},
    "thorough": {"corpus.recordings": "thorough"},
}
"""Differences from the defaults, as dotted keys, per preset."""
