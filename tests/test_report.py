"""report.json from scores that were made up, but counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from wakelark.evaluation.events import Events
from wakelark.evaluation.groups import ScoredClip, ScoredStream
from wakelark.evaluation.page.whole import report_page
from wakelark.evaluation.report import JudgedModel, build_report
from wakelark.evaluation.verdict import verdict

from .judged_pair import presets
from .report_material import facts, measured


def test_report_is_plain_json_with_hand_countable_figures() -> None:
    clips = [ScoredClip(file=str(n), score=score, engine="piper") for n, score in enumerate((0.9, 0.8, 0.4, 0.2))]
    streams = [
        ScoredStream(name="a", kind="speech", seconds=7200, events=Events(np.array([1.0, 9.0]), np.array([0.3, 0.6])))
    ]
    model = measured(positives=clips, near_misses=clips[:2], streams=streams, threshold=0.5)
    report = build_report(facts(), [model], seed=0)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    found = report["models"][0]
    assert (found["realised"]["missed"], found["realised"]["miss_rate"]) == (2, 0.5)
    assert (found["realised"]["false_alarms"], found["realised"]["fa_per_hour"]) == (1, 0.5)
    assert found["near_misses"]["per_1000"] == 1000
    by_budget = {row["fa_per_hour_budget"]: row for row in found["matched"]}
    assert by_budget[0.2]["threshold"] == np.nextafter(0.6, 1)  # 0.4 alarms: none fits
    assert by_budget[0.5]["threshold"] == np.nextafter(0.3, 1)
    assert (by_budget[0.2]["miss_rate"], by_budget[0.5]["miss_rate"], by_budget[1.0]["miss_rate"]) == (0.5, 0.25, 0.0)
    assert found["selection_figure"] == pytest.approx(0.25 / 4)
    assert [row["score"] for row in found["loudest_false_alarms"]] == [0.6, 0.3]
    assert [row["fires"] for row in found["loudest_false_alarms"]] == [True, False]
    assert [row["score"] for row in found["missed_clips"]] == [0.2, 0.4]
    assert sum(found["histogram"]["positives"]) == 4


def test_presets_show_what_development_said_and_what_the_test_says() -> None:
    clips = [ScoredClip(file=str(n), score=score, engine="piper") for n, score in enumerate((0.9, 0.8, 0.4, 0.2))]
    streams = [
        ScoredStream(name="a", kind="speech", seconds=7200, events=Events(np.array([1.0, 9.0]), np.array([0.35, 0.6])))
    ]
    model = measured(positives=clips, noisy_positives=clips[2:], snr_db=10.0, streams=streams, presets=presets())
    rows = build_report(facts(), [model], seed=0)["models"][0]["presets"]
    told = [(row["name"], row["threshold"], row["miss_rate"], row["false_alarms"], row["fa_per_hour"]) for row in rows]
    assert told == [("strict", 0.7, 0.5, 0, 0.0), ("normal", 0.5, 0.5, 1, 0.5), ("sensitive", 0.3, 0.25, 2, 1.0)]
    assert rows[2]["miss_rate_noisy"] == 0.5
    assert rows[0]["development"] == {"miss_rate": 0.0, "false_alarms": 0, "supported": False, "hours_needed": 30.0}
    silent = build_report(facts(), [measured(streams=[], positives=[], presets=presets())], seed=0)
    assert silent["models"][0]["presets"][0]["miss_rate"] is None
    json.dumps(silent, allow_nan=False)


def test_both_models_as_one_are_told_beside_them() -> None:
    streams = [
        ScoredStream(
            name="a", kind="speech", seconds=7200, events=Events(np.array([1.0]), np.array([0.6])), judge_wakes=40,
            judge_heard_s=72.0,
        )
    ]  # fmt: skip
    cost = {"tiny_cpu_s_per_hour": 9.0, "judge_cpu_s_per_hour": 0.1, "judge_alone_cpu_s_per_hour": 15.0}
    both = JudgedModel(
        measured=measured("judged", streams=streams, file="model_tiny.onnx, judged by model.onnx"),
        wake_threshold=0.05, cost=cost,
    )  # fmt: skip
    report = build_report(facts(), [measured()], seed=0, judged=both)
    assert len(report["models"]) == 1
    assert report["judged"].keys() >= report["models"][0].keys()
    assert (report["judged"]["wakes_per_hour"], report["judged"]["heard_share"]) == (20.0, 0.01)
    assert (report["judged"]["wake_threshold"], report["judged"]["cost"]) == (0.05, cost)
    assert any("judged by model.onnx" in line for line in report["verdict"]["details"])
    assert "</html>" in report_page(report, metrics=[], snippets={})
    assert build_report(facts(), [measured()], seed=0)["judged"] is None


def test_corpus_is_counted_and_licences_are_listed() -> None:
    report = build_report(facts(), [measured()], seed=0)
    assert report["corpus"] == [
        {"split": "test", "kind": "alone", "engine": "piper", "clips": 1, "voices": 1, "hours": 1 / 3600},
        {"split": "train", "kind": "alone", "engine": "piper", "clips": 4, "voices": 2, "hours": 4 / 3600},
    ]
    assert report["provenance"][0]["licence"] == "CC0"
    assert report["provenance"][0]["splits"] == ["test", "train"]


def test_a_run_without_recordings_or_positives_still_has_a_report() -> None:
    for model in (
        measured(streams=[]), measured(positives=[]), measured(streams=[], positives=[], near_misses=[]),
    ):  # fmt: skip
        report = build_report(facts(), [model], seed=0)
        json.dumps(report, allow_nan=False)
        assert report["verdict"]["grade"] == "unmeasured"
        assert "</html>" in report_page(report, metrics=[], snippets={})
    empty = build_report(facts(clips=[], stages={}, hours={}, distillation={}), [], seed=0)
    assert "Nothing was measured" in report_page(empty, metrics=[], snippets={})


@pytest.mark.parametrize(
    ("quality", "fa_threshold", "grade"), [(8.0, 0.9, "good"), (1.9, 0.5, "usable"), (-1.0, 0.5, "weak")]
)
def test_the_verdict_follows_the_figures(quality: float, fa_threshold: float, grade: str) -> None:
    report = build_report(facts(), [measured(quality=quality, threshold=fa_threshold, hours=20.0)], seed=0)
    assert report["verdict"]["grade"] == grade


def test_the_verdict_never_claims_more_than_was_measured() -> None:
    short = build_report(facts(), [measured(hours=2.0)], seed=0)["verdict"]["details"]
    assert any("cannot prove 0.5 false alarms per hour" in line and "6.0 hours" in line for line in short)
    assert any("synthetic voices" in line for line in short)
    # At 0.5 per hour, 3 alarms take 15.5 hours: chi2(0.95, 8) / 2 = 7.75 expected ones.
    heard = measured(hours=7.0)
    [stream, *rest] = heard.streams
    three = replace(stream, events=Events(np.array([1.0, 2.0, 3.0]), np.full(3, 0.9)), live_alarms=3)
    none = [replace(other, events=Events(np.zeros(0), np.zeros(0)), live_alarms=0) for other in rest]
    few = build_report(facts(), [replace(heard, streams=[three, *none])], seed=0)["verdict"]["details"]
    assert any("at least 15.5 hours with the 3 heard" in line for line in few)
    long = build_report(facts(), [measured(hours=20.0)], seed=0)["verdict"]["details"]
    assert not any("cannot prove" in line for line in long)
    for little in (measured(hours=0.5), measured(positives=measured().positives[:20])):
        assert build_report(facts(), [little], seed=0)["verdict"]["grade"] == "unproven"
    good = [build_report(facts(), [measured(quality=8.0, threshold=0.9, hours=h)], seed=0)["verdict"] for h in (2, 20)]
    assert [found["grade"] for found in good] == ["good", "good"]
    assert "too few hours" in good[0]["headline"]
    assert "Ready to use" in good[1]["headline"]
    assert verdict("x", [])["grade"] == "unmeasured"
