"""Two real (tiny) model files that hear loudness, the second as the judge of the first, in other steps than its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from wakelark.evaluation.cascade import CascadeRule
from wakelark.model_card import CardJudged, CardPreset, ModelCard, lookback_steps, model_digest, patience_steps

from .tiny_model import STEP, tiny_bytes, tiny_card

JUDGE_STEP = 2 * STEP


def presets(strict: float = 0.7, normal: float = 0.5, sensitive: float = 0.3) -> tuple[CardPreset, ...]:
    """Presets with these thresholds."""
    named = {"strict": (strict, 0.1), "normal": (normal, 0.5), "sensitive": (sensitive, 2.0)}
    return tuple(
        CardPreset(
            name=name, threshold=threshold, fa_per_hour=budget, miss_rate=0.0, false_alarms=0, supported=False,
            hours_needed=30.0,
        )
        for name, (threshold, budget) in named.items()
    )  # fmt: skip


def judged(judge: bytes, *, wake_threshold: float = 0.1, judge_weight: float = 0.5) -> CardJudged:
    """An operating point with the judge whose file this is; its normal threshold is 0.4."""
    return CardJudged(
        judge=model_digest(judge), wake_threshold=wake_threshold, wakes_per_hour=20.0, lookback_s=0.4, patience_s=0.2,
        judge_weight=judge_weight, logit_shift=0.3, presets=presets(0.6, 0.4, 0.2),
    )  # fmt: skip


def judge_bytes(*, gain: float = 5.0) -> bytes:
    """The judge's file."""
    card = tiny_card(step_samples=JUDGE_STEP, warm_up_samples=4 * JUDGE_STEP, smoothing_steps=2, kind="accurate",
                     presets=presets())  # fmt: skip
    return tiny_bytes(card, gain=gain, step=JUDGE_STEP)


def write_pair(folder: Path, *, gain: float = 5.0) -> tuple[Path, Path]:
    """`model_tiny.onnx` and its judge `model.onnx` in a folder."""
    judge = judge_bytes(gain=gain)
    paths = folder / "model_tiny.onnx", folder / "model.onnx"
    paths[0].write_bytes(tiny_bytes(tiny_card(presets=presets(), judged=judged(judge))))
    paths[1].write_bytes(judge)
    return paths


def rule_of(point: CardJudged, tiny: ModelCard, judge: ModelCard) -> CascadeRule:
    """The rule that the cards of two models say, for the offline calculation."""
    return CascadeRule(
        wake_threshold=point.wake_threshold, judge_weight=point.judge_weight, logit_shift=point.logit_shift,
        patience_steps=patience_steps(point.patience_s, step_s=tiny.step_samples / tiny.sample_rate),
        lookback_steps=lookback_steps(point.lookback_s, step_s=judge.step_samples / judge.sample_rate),
    )  # fmt: skip


def with_judge(card: ModelCard, point: CardJudged) -> ModelCard:
    """A card with an operating point with a judge."""
    return dataclasses.replace(card, judged=point)
