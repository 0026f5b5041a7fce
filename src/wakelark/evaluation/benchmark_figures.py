"""What a benchmark says of one model: realised and matched figures, clean and in noise, and its curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wakelark.evaluation.groups import (
    ScoredClip,
    ScoredStream,
    alarm_figures,
    alarm_groups,
    det_curve,
    miss_figures,
    total_hours,
)
from wakelark.evaluation.operating_point import DetCurve, operating_rows
from wakelark.evaluation.report_entry import thinned


def benchmark_figures(
    clean: Sequence[ScoredClip],
    noisy: Sequence[ScoredClip] | None,
    heard: Sequence[ScoredStream],
    *,
    threshold: float,
    floor: float,
    seed: int,
) -> dict[str, Any]:
    """`realised, realised_noisy, kinds, matched, det, det_noisy`; the noisy ones None without noise.

    Args:
        clean, noisy: the positives after scoring.
        heard: the recordings without the phrase after scoring.
        threshold: the model's own.
        floor: events below this score are not known.
        seed: of the bootstrap.

    Raises:
        DataError: the recordings hold no audio.
    """
    curve = det_curve(clean, heard, floor=floor)
    noisy_curve = None if noisy is None else det_curve(noisy, heard, floor=floor)
    alarms = {"hours": total_hours(heard)} | alarm_figures(
        heard, curve, threshold=threshold, rng=np.random.default_rng(seed)
    )

    def realised(clips: Sequence[ScoredClip]) -> dict[str, object]:
        return miss_figures(clips, threshold=threshold, rng=np.random.default_rng(seed)) | alarms

    return {
        "realised": realised(clean),
        "realised_noisy": None if noisy is None else realised(noisy),
        "kinds": alarm_groups(heard, lambda stream: stream.kind, threshold=threshold),
        "matched": _matched(curve, noisy_curve),
        "det": thinned(curve),
        "det_noisy": None if noisy_curve is None else thinned(noisy_curve),
    }


def _matched(curve: DetCurve, noisy: DetCurve | None) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for row, (_, point) in zip(operating_rows(curve), curve.operating_points(), strict=True):
        under_noise = None if noisy is None else noisy.at(point.threshold)
        rows.append(
            row
            | {
                "miss_rate_noisy": None if under_noise is None else under_noise.miss_rate,
                "miss_rate_noisy_ci": None if under_noise is None else list(under_noise.miss_rate_ci),
            }
        )
    return rows
