"""The grid: which arms run, what shares a run, what a control is made of, and what the summary says of known runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE
from wakelark.config_file import load_config
from wakelark.corpus.clip import Clip
from wakelark.errors import ConfigError, ModelError
from wakelark.models.saved import save_student
from wakelark.pipeline.ablation import AblationRequest, ablate
from wakelark.pipeline.ablation_arms import DEFAULT, Arm, Comparison, Design, read_design
from wakelark.pipeline.ablation_material import Material, ShuffledStore, random_clips, smoothing_of_entropy, teacher_key
from wakelark.pipeline.ablation_report import compare, write_ablation
from wakelark.pipeline.ablation_run import RunTask
from wakelark.pipeline.ablation_trials import HeldOutSet
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.development import DevelopmentSet
from wakelark.pipeline.mining import TrainStream
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.teachers import teacher_fingerprint
from wakelark.pipeline.views import Prepared
from wakelark.training.stream_features import StreamFeatures
from wakelark.training.view_store import RECORD, ViewStore, shard_bytes

from .swinging import swinging_student


def test_the_default_design_is_sound() -> None:
    names = {arm.name for arm in DEFAULT.arms}
    assert len(names) == len(DEFAULT.arms)
    assert [arm.name for arm in DEFAULT.choose(["headline"]).arms] == ["A0", "A2", "B", "B1", "C", "C1"]
    for comparison in DEFAULT.comparisons:
        assert {comparison.arm, comparison.against, *comparison.controls} <= names
    assert [comparison.name for comparison in DEFAULT.comparisons if comparison.headline] == ["distillation", "mining"]


@pytest.mark.parametrize("arm", DEFAULT.arms, ids=lambda arm: arm.name)
def test_every_default_arm_is_a_configuration(arm: Arm) -> None:
    config = load_config(None, overrides=arm.overrides, preset=None)
    sections = config.model_dump()
    for key, value in arm.set.items():
        section, _, name = key.partition(".")
        assert sections[section][name] == value


def test_arms_bring_what_they_cannot_do_without() -> None:
    assert [arm.name for arm in DEFAULT.choose(["A2-random"]).arms] == ["A0", "A2-random"]
    assert [arm.name for arm in DEFAULT.choose(["A0-long"]).arms] == ["A0", "B", "A0-long"]
    assert {c.name for c in DEFAULT.choose(["B"]).comparisons} == set()
    assert len(DEFAULT.choose(["all"]).arms) == len(DEFAULT.arms)
    with pytest.raises(ConfigError, match="no arm 'Z'.*A2-random"):
        DEFAULT.choose(["Z"])


def test_a_file_holds_other_arms(tmp_path: Path) -> None:
    path = tmp_path / "arms.yaml"
    path.write_text("arms:\n- name: plain\n- name: wide\n  set: {student.channels: 96}\n")
    design = read_design(path)
    assert design.baseline == "plain"
    assert [(c.arm, c.against, c.headline) for c in design.comparisons] == [("wide", "plain", True)]
    assert design.arm("wide").overrides == ["student.channels=96"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("arms: []\n", "no arms"),
        ("arms:\n- name: a\n  mining: some\n", "mined"),
        ("arms:\n- name: a\n- name: a\n", "same name"),
        ("arms:\n- name: a\n  as_long_as: b\n", "b is named, but is no arm"),
        ("arms:\n- name: a\n  mining: mined\n", "cannot itself be mined"),
        ("arms:\n- name: a\nbaseline: a\nmore: 1\n", "more"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "arms.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        read_design(path)


def request(folder: Path, *arms: Arm, overrides: list[str] | None = None) -> AblationRequest:
    return AblationRequest(
        phrases=["alexa"], controls_on=[], seeds=1, design=Design((Arm(name="A0"), *arms)), positives={}, config=None,
        overrides=overrides or [], preset=None, out=folder / "ablation", prepare_only=False, command="wakelark ablate",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "error", "complaint"),
    [
        ({"corpus.recordings": "none"}, ConfigError, "arm odd: corpus.recordings would change nothing.*student, loss"),
        ({"mining.events_per_round": 9, "loss.focal_gamma": 1.0}, ConfigError, "odd: mining.events_per_round would"),
        ({"student.candidates": 3, "training.workers": 1}, ConfigError, "odd: student.candidates, training.workers w"),
        ({"trunk.components": 32}, ConfigError, "odd: trunk.components would"),
        ({"seed": 3}, ConfigError, "odd: seed would"),
        ({"student.channel": 3}, ConfigError, "arm odd: .*student.channel"),
        ({"student.trunk": "gone.safetensors"}, ModelError, "arm odd: there is no trunk 'gone.safetensors'"),
        ({"distillation.teachers": ["run:gone"]}, ModelError, "arm odd: distillation.teachers, run:.*gone"),
    ],
)
def test_what_cannot_work_or_changes_nothing_is_refused_at_the_start(
    tmp_path: Path, changed: dict[str, object], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        ablate(request(tmp_path, Arm(name="odd", set=changed)), progress=lambda *_: None, warn=pytest.fail)
    assert not (tmp_path / "ablation").exists()


@pytest.mark.parametrize("arm", DEFAULT.arms, ids=lambda arm: arm.name)
def test_every_default_arm_changes_something(arm: Arm) -> None:
    arm.check_effect()


def test_the_teacher_has_a_key_of_all_that_its_heads_depend_on() -> None:
    def key(*words: str) -> str:
        return teacher_key(load_config(None, overrides=list(words), preset=None), "views")

    changes = [
        "training.near_miss_share=0.2", "training.mined_share=0.2", "training.positive_share=0.4",
        "training.source_share=0.5",
        "training.warmup_share=0.2", "training.clip_norm=1", "training.ema_decay=0.9", "teacher.steps=7", "seed=1",
    ]  # fmt: skip
    assert len({key(), *(key(change) for change in changes)}) == 1 + len(changes)
    assert key("training.steps=700", "training.learning_rate=0.1") == key()


def material(folder: Path) -> Material:
    """Of a phrase without any clips: enough for keys."""
    config = load_config(None, overrides=[], preset=None)
    none = np.zeros(0, np.int32)
    store = ViewStore(shards=(), shard=none, row=none, clips=(), clip=none, view=none)
    return Material(
        config=config, corpus=Corpus([], []),
        prepared=Prepared(store, DevelopmentSet([], [], config.evaluation), [], "key"),
        heads_file=folder / "heads", folder=folder, key="key",
        held_out=HeldOutSet(what="", clean=[], noisy=[], streams=[], seconds=[], key="key"),
    )  # fmt: skip


def test_a_run_has_a_key_of_what_its_arm_and_all_arms_set(tmp_path: Path) -> None:
    shared = material(tmp_path)

    def key(arm: str, *words: str) -> str:
        overrides = [*words, *DEFAULT.arm(arm).overrides]
        config = load_config(None, overrides=overrides, preset=None)
        return RunTask(material=shared, arm=DEFAULT.arm(arm), config=config).key

    assert key("B", "trunk.components=32") != key("B")  # its embeddings are regressed onto that many
    assert key("A0", "trunk.components=32") == key("A0")
    assert key("A0", "training.workers=1") == key("A0") != key("A0", "training.clip_norm=1")


def test_a_run_has_a_key_of_what_its_teachers_are_not_of_where_they_lie(tmp_path: Path) -> None:
    def key(folder: Path, *words: str) -> str:
        teacher_fingerprint.cache_clear()  # as in a process of its own
        teachers = ["heads", f"run:{folder}"]
        config = load_config(None, overrides=[f"distillation.teachers={json.dumps(teachers)}", *words], preset=None)
        return RunTask(material=material(tmp_path), arm=DEFAULT.arm("B"), config=config).key

    here, there, student = tmp_path / "here", tmp_path / "there", swinging_student(gain=5)
    for folder in (here, there):
        save_student(student, RunFolder(folder).saved_student)
    same = key(here)
    assert key(there) == same
    unheard = key(there, "distillation.enabled=false")
    save_student(swinging_student(gain=6), RunFolder(there).saved_student)
    assert key(there) != same
    assert key(there, "distillation.enabled=false") == unheard


def clip(number: int, label: int) -> Clip:
    return Clip(
        id=f"c{number}", path=f"c{number}.flac", samples=32_000, label=label, kind="alone" if label else "sentence",
        voice=f"v{number}", source="s", licence="CC0",
    )  # fmt: skip


def test_a_shuffled_teacher_hears_others_of_the_same_class(tmp_path: Path) -> None:
    records = np.zeros(20, RECORD)
    records["embeddings"] = np.arange(20)[:, None, None]
    (tmp_path / "shard.npy").write_bytes(shard_bytes(records))
    store = ViewStore(
        shards=(tmp_path / "shard.npy",), shard=np.zeros(20, np.int32), row=np.arange(20, dtype=np.int32),
        clips=tuple(clip(number, int(number < 8)) for number in range(20)), clip=np.arange(20, dtype=np.int32),
        view=np.zeros(20, np.int32),
    )  # fmt: skip
    shuffled = ShuffledStore.of(store, seed=3)
    told = shuffled.embeddings()[:, 0, 0].astype(int)
    assert sorted(told[:8]) == list(range(8))
    assert sorted(told[8:]) == list(range(8, 20))
    assert (told != np.arange(20)).sum() > 12
    assert (shuffled.embeddings() == shuffled.embeddings()).all()
    assert (ShuffledStore.of(store, seed=4).embeddings()[:, 0, 0].astype(int) != told).any()
    assert (shuffled.audio([5]) == store.audio([5])).all()


def test_random_windows_look_like_mined_ones() -> None:
    streams = [
        TrainStream(
            Clip(
                id=name, path=f"recordings/{name}.npy", samples=seconds * SAMPLE_RATE, label=0, kind="recording",
                voice=f"recording/{name}", source=name, licence="CC0",
            ),
            StreamFeatures(name, seconds * SAMPLE_RATE, np.zeros((0, 40), np.float16), np.zeros((0, 96), np.float16)),
        )
        for name, seconds in (("short", 100), ("long", 900))
    ]  # fmt: skip
    clips = random_clips(400, streams, seed=1)
    assert len(clips) == 400
    assert {(c.kind, c.hard_negative, c.label, c.split, c.samples) for c in clips} == {("mined", 1, 0, "train", 28_800)}
    assert all(0 <= c.start <= (100 if c.source == "short" else 900) * SAMPLE_RATE - c.samples for c in clips)
    assert 340 <= sum(c.source == "long" for c in clips) <= 380
    assert clips == random_clips(400, streams, seed=1) != random_clips(400, streams, seed=2)


@pytest.mark.parametrize("smoothing", [0.02, 0.1, 0.3])
def test_smoothing_has_the_entropy_it_was_asked_for(smoothing: float) -> None:
    half = smoothing / 2
    entropy = -(half * np.log(half) + (1 - half) * np.log(1 - half))
    assert smoothing_of_entropy(entropy) == pytest.approx(smoothing, abs=1e-5)


def run(arm: str, phrase: str, seed: int, missed: int, *, seconds: float = 60.0) -> dict[str, Any]:
    """A run on 50 clips and an hour of negatives with ten loud events; `missed` clips lie below all of them."""
    clips = [0.01] * missed + [0.99] * (50 - missed)
    curve = {"mean": missed / 50, "matched": dict.fromkeys(("0.5", "1", "2", "4"), missed / 50)}
    curve["realised"] = {"miss_rate": missed / 50, "fa_per_hour": 1.0}
    return {
        "arm": arm, "phrase": phrase, "seed": seed, "positives": 50, "hours": 1.0, "seconds": seconds,
        "development_figure": 0.1, "clean": curve, "noisy": curve,
        "scores": {
            "clean": clips, "noisy": clips, "event": [0.5] * 10, "event_time_s": [300.0 * n + 1 for n in range(10)],
            "event_recording": [0] * 10, "recording_s": [3600.0], "recordings": ["r"],
        },
    }  # fmt: skip


def grid(missed: dict[str, list[int]]) -> list[dict[str, Any]]:
    return [run(arm, "alexa", seed, count) for arm, counts in missed.items() for seed, count in enumerate(counts)]


DESIGN = Design(
    arms=tuple(Arm(name=name, about=f"arm {name}") for name in ("A0", "B", "C")),
    comparisons=(Comparison(name="part", arm="B", against="A0", controls=("C",), headline=True),),
)


def test_a_part_that_halves_the_misses_helps() -> None:
    runs = grid({"A0": [20, 22, 18, 20, 21, 19], "B": [10, 11, 9, 10, 10, 10], "C": [20, 21, 18, 20, 21, 19]})
    (row,) = compare(DESIGN, runs)
    clean = row["clean"]["mean"]
    assert (row["pairs"], clean["better"], clean["p"], row["p_holm"]) == (6, 6, 2 / 64, 2 / 64)
    assert (clean["without"], clean["with"], clean["plain"]) == (0.4, 0.2, -0.2)
    assert clean["log"] == pytest.approx(np.log(0.5), abs=0.03)
    assert clean["log_ci"][0] < clean["log"] < clean["log_ci"][1] < 0
    assert clean["plain_ci"][0] < -0.2 < clean["plain_ci"][1] < 0
    assert row["verdict"] == "helps"


def test_a_control_that_does_it_too_takes_the_claim_away() -> None:
    runs = grid({"A0": [20] * 6, "B": [10] * 6, "C": [12] * 6})
    (row,) = compare(DESIGN, runs)
    assert row["verdict"].startswith("no claim: C reproduces")


def test_without_one_of_its_controls_nothing_is_said_to_help() -> None:
    design = Design(
        arms=(*DESIGN.arms, Arm(name="D")),
        comparisons=(Comparison(name="part", arm="B", against="A0", controls=("C", "D"), headline=True),),
    )
    runs = grid({"A0": [20] * 6, "B": [10, 11, 9, 10, 10, 10], "C": [20] * 6})
    (row,) = compare(design, runs)
    assert (row["controls_missing"], row["verdict"]) == (["D"], "lower miss rate; not all controls were run")
    (row,) = compare(design, runs + grid({"D": [20] * 6}))
    assert (row["controls_missing"], row["verdict"]) == ([], "helps")


def test_no_difference_is_no_claim_and_stays_in_the_table(tmp_path: Path) -> None:
    runs = grid({"A0": [20, 10, 15, 15, 15], "B": [15, 20, 10, 15, 15], "C": [10] * 5})
    teachers = [{key: value for key, value in run("T", "alexa", 0, 2).items() if key not in ("arm", "seconds", "seed")}]
    result = write_ablation(
        tmp_path, DESIGN, runs=runs, teachers=teachers, command="wakelark ablate", tested_on={"alexa": "people"}
    )
    assert result["comparisons"][0]["verdict"] == "no claim: the interval includes zero"
    text = (tmp_path / "ablation.md").read_text()
    assert "| part | B - A0 | 5 | 30.0 | 30.0 |" in text
    assert "| T (teacher) | 1 | 4.0 |" in text
    assert "| A0 | 5 | 30.0 | 20.0-40.0 |" in text
    stored = json.loads((tmp_path / "ablation.json").read_text())
    assert stored == json.loads(json.dumps(result))
    assert all("scores" not in entry for entry in stored["runs"] + stored["teacher"])


def test_only_pairs_that_both_arms_have_are_compared() -> None:
    runs = grid({"A0": [20, 20, 20], "B": [10]})
    (row,) = compare(DESIGN, runs)
    assert row["pairs"] == 1
    assert compare(DESIGN, grid({"A0": [1]})) == []
