"""What a second stage costs is measured, and grows with how much it hears."""

from __future__ import annotations

from pathlib import Path

import pytest

from wakelark.pipeline.judge_cost import judge_cost

from .judged_pair import write_pair


def test_a_judge_that_hears_little_costs_little(tmp_path: Path) -> None:
    tiny, judge = write_pair(tmp_path)
    cost = judge_cost(tiny, judge, heard_share=0.01)
    assert cost.keys() == {"tiny_cpu_s_per_hour", "judge_cpu_s_per_hour", "judge_alone_cpu_s_per_hour"}
    assert 0 < cost["judge_cpu_s_per_hour"] < cost["judge_alone_cpu_s_per_hour"]
    assert cost["tiny_cpu_s_per_hour"] > 0
    assert judge_cost(tiny, judge, heard_share=0.0)["judge_cpu_s_per_hour"] == pytest.approx(0.0)
