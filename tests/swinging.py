"""Networks that nobody trained, with logits that swing: where nothing moves, a comparison of scores says little."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from wakelark.config import StudentConfig
from wakelark.models.build import build_student
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.models.student import Student


def swinging_student(*, gain: float) -> Student:
    """A student with batch-norm statistics of its own and logits `gain` times as large as they come."""
    torch.manual_seed(0)
    student = build_student(StudentConfig(trunk="none"))
    assert isinstance(student, Student)
    for _ in range(20):
        student(torch.randn(8, 40, 198) * 1.5)
    with torch.no_grad():
        student.head.out.weight *= gain
    return student.eval()


def swinging_heads(*, gain: float, temperatures: Sequence[float], biases: Sequence[float]) -> HeadEnsemble:
    """A head per temperature, with statistics like those of the embedding."""
    torch.manual_seed(1)
    heads = [EmbeddingHead(context_steps=10, hidden=32, dropout=0.3) for _ in temperatures]
    for head in heads:
        head.set_statistics(torch.randn(200, 96) * 15 + torch.randn(96) * 5)
        with torch.no_grad():
            head.out.weight *= gain
    return HeadEnsemble(heads, temperatures=temperatures, biases=biases)
