"""Teacher against student: the figures counted by hand, what the user is told, and which audio is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from typing_extensions import override

from wakelark.audio import SAMPLE_RATE
from wakelark.config import Config
from wakelark.corpus.clip import Clip
from wakelark.errors import DataError
from wakelark.evaluation.operating_point import DetCurve
from wakelark.evaluation.page.training import training
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.teacher_quality import (
    TeacherQuality,
    curves_quality,
    negative_windows,
    positive_windows,
    windows_quality,
)
from wakelark.training.teacher import Teacher


class FirstSample(Teacher):
    """Says what stands at the beginning of the clip."""

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign

    @property
    @override
    def fingerprint(self) -> str:
        return "first sample"

    @override
    def logits(self, audio: Tensor) -> Tensor:
        return self.sign * audio[:, 0].float()


def windows(values: list[int]) -> np.ndarray:
    return np.repeat(np.array(values, np.int16)[:, None], 32_000, axis=1)


def test_curves_are_compared_at_the_budget() -> None:
    # Two hours at 0.5 per hour: one event may fire, so the threshold lies just above the second loudest.
    teacher = DetCurve([0.9, 0.8, 0.7, 0.6], [0.95, 0.65], hours=2.0)
    student = DetCurve([0.9, 0.8, 0.7, 0.6], [0.95, 0.75], hours=2.0)
    found = curves_quality(("heads",), teacher, student, fa_per_hour=0.5)
    assert (found.teacher_miss_rate, found.student_miss_rate, found.positives) == (0.25, 0.5, 4)
    assert found.is_better
    assert found.warnings() == []
    assert "2.00 h of development recordings, at 0.5 false alarms per hour" in found.compared


def test_windows_are_compared_at_one_in_a_hundred() -> None:
    negatives = windows(list(range(200)))  # 2 of 200 may fire: the threshold lies just above 197
    positives = windows([100, 197, 198, 300])
    found = windows_quality(("hf:/m",), FirstSample(), FirstSample(-1), positives=positives, negatives=negatives)
    # The other way round the loudest are 0, -1, -2: all positives lie below.
    assert (found.teacher_miss_rate, found.student_miss_rate) == (0.5, 1.0)
    assert "200 pieces" in found.compared
    assert "1%" in found.compared
    with pytest.raises(DataError, match="cannot be compared"):
        windows_quality(("hf:/m",), FirstSample(), FirstSample(), positives=positives[:0], negatives=negatives)


@pytest.mark.parametrize(
    ("teacher", "student", "better"), [(0.1, 0.2, True), (0.2, 0.2, False), (0.3, 0.2, False), (0.0, 0.0, None)]
)
def test_a_teacher_that_is_no_better_is_reported(teacher: float, student: float, better: bool | None) -> None:
    quality = TeacherQuality(
        teachers=("heads", "run:/a<b>"), teacher_miss_rate=teacher, student_miss_rate=student, positives=50,
        compared="development clips",
    )  # fmt: skip
    assert quality.is_better is better
    assert len(quality.warnings()) == (better is False)
    if better is False:
        assert f"misses {teacher:.1%} of 50 clips, the student 20.0%" in quality.warnings()[0]
    page = training([], {"enabled": True, "quality": quality.facts()}, {})
    assert {True: "is better", False: "is no better", None: "Both miss nothing"}[better] in page
    assert "run:/a&lt;b&gt;" in page
    assert "teacher_miss_rate" not in page


def test_without_distillation_nothing_is_shown() -> None:
    assert "Teacher and student" not in training([], {"enabled": False, "quality": None}, {})


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Two development clips, a tone of 0.5 s each, and near misses that stand in for recordings."""
    monkeypatch.setenv("WAKELARK_CACHE", str(tmp_path))
    tone = (8000 * np.sin(np.arange(8000) * 0.3)).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", tone, SAMPLE_RATE, subtype="PCM_16")
    clips = [
        Clip(
            id=str(number), path="a.flac", samples=8000, label=label, kind="alone" if label else "near_miss",
            split="dev", voice=f"v{number}", phrase_start=0 if label else None, phrase_end=8000 if label else None,
        )
        for number, label in enumerate((1, 1, 0, 0, 0))
    ]  # fmt: skip
    return Corpus(clips, [])


def test_the_phrase_ends_shortly_before_its_window(corpus: Corpus) -> None:
    found = positive_windows(Config(phrase="beep"), corpus)
    assert found.shape == (4, 32_000), "each clip as it is, and augmented"
    loud = np.flatnonzero(np.abs(found[0]) > 1000)
    assert abs(int(loud[-1]) - (32_000 - 4800)) < 10
    assert abs(int(loud[0]) - (32_000 - 4800 - 8000)) < 10


def test_without_recordings_clips_in_a_row_stand_in(corpus: Corpus) -> None:
    # three clips of 0.5 s with 1.1 s around each: 4.8 s, two windows
    assert negative_windows(Config(phrase="beep"), corpus).shape == (2, 32_000)
    assert negative_windows(Config(phrase="beep"), Corpus(corpus.clips[:2], [])).shape == (0, 32_000)


def test_the_same_clips_are_heard_each_time(corpus: Corpus) -> None:
    first, second = (positive_windows(Config(phrase="beep"), corpus) for _ in range(2))
    assert torch.equal(torch.from_numpy(first), torch.from_numpy(second))
