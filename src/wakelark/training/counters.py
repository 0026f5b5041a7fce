"""What a trainer has seen and done, in numbers: for the log, the metrics, the checkpoint and the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

DISTILLATION_OFF = "distillation is off"


@dataclass(slots=True, kw_only=True)
class Counters:
    """Running counts of one training. Every field only grows.

    Attributes:
        batches, examples: for which a loss was computed.
        weighted_examples: flagged negatives, which got the hard-negative weight.
        flagged_positives: positives with the hard-negative flag, which was ignored.
        distilled_examples: whose loss held a part of the teacher's.
        batches_without_audio: plain loss because no raw audio was passed.
        batches_with_spectrograms: plain loss because spectrograms were passed instead of raw audio.
        batches_with_broken_teacher: plain loss because the teacher's logits were not finite.
        batches_without_teacher: plain loss because alpha is 0, and so is the weight of every other part.
    """

    batches: int = 0
    examples: int = 0
    weighted_examples: int = 0
    flagged_positives: int = 0
    distilled_examples: int = 0
    batches_without_audio: int = 0
    batches_with_spectrograms: int = 0
    batches_with_broken_teacher: int = 0
    batches_without_teacher: int = 0

    @property
    def distilled_share(self) -> float:
        """Share of the examples whose loss held the teacher's part; 0 before the first."""
        return self.distilled_examples / self.examples if self.examples else 0.0

    def why_not_distilled(self) -> str:
        """One sentence for a share below 1, "" when every example was distilled.

        >>> Counters(batches=4, examples=8, distilled_examples=6, batches_without_audio=1).why_not_distilled()
        'the teacher taught 75.0 % of the examples: 1 of 4 batches came without raw audio'
        """
        reasons = (
            (self.batches_without_teacher, "needed no teacher (alpha is 0)"),
            (self.batches_without_audio, "came without raw audio"),
            (self.batches_with_spectrograms, "held spectrograms instead of raw audio"),
            (self.batches_with_broken_teacher, "met a teacher whose logits were not finite"),
        )
        said = [f"{count} of {self.batches} batches {reason}" for count, reason in reasons if count]
        if not said:
            return "" if self.distilled_share == 1 or not self.examples else DISTILLATION_OFF
        return f"the teacher taught {100 * self.distilled_share:.1f} % of the examples: " + ", ".join(said)

    def to_dict(self) -> dict[str, int]:
        """All counts by name."""
        return asdict(self)

    def restore(self, counts: dict[str, int]) -> None:
        """Set all counts to those of `to_dict`.

        >>> counters = Counters()
        >>> counters.restore(Counters(batches=3).to_dict())
        >>> counters.batches
        3
        """
        for field in fields(self):
            setattr(self, field.name, counts[field.name])
