"""A finished run with new material: what was mined is on trial, what was brought by hand is not, and both are told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from wakelark.config import EvaluationConfig
from wakelark.corpus.clip import Clip
from wakelark.errors import ModelError
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.models.saved import save_heads, save_student
from wakelark.models.student import Student
from wakelark.pipeline.corpus import Corpus
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial
from wakelark.pipeline.learned import Learned
from wakelark.pipeline.material import Material
from wakelark.pipeline.networks import AccurateNetwork, TinyNetwork
from wakelark.pipeline.retraining import Part, Verdict, choose, parts_to_do, plan, verdict_of
from wakelark.pipeline.run_folder import RunFolder
from wakelark.training.clip_features import ClipFeatures
from wakelark.training.stream_features import StreamFeatures

from .swinging import swinging_student


def material(mined: Sequence[str] = (), added: Sequence[str] = ()) -> Material:
    """Sounds of these ids."""
    clips = [
        Clip(id=name, path="x.flac", samples=9, label=0, kind=kind, voice="v", source="s", licence="CC0")
        for kind, names in (("own_negative", added), ("mined", mined)) for name in names
    ]  # fmt: skip
    return Material(clips=clips)


def learned(mined: Sequence[str] = (), added: Sequence[str] = ()) -> Learned:
    return Learned(added=material(added=added).added_key, mined=tuple(mined))


def shown(parts: Sequence[Part]) -> list[tuple[str, int, bool]]:
    """(what is trained with, how much of it is on trial, is it the last)."""
    return [("".join(clip.id for clip in part.material.clips), part.on_trial, part.is_last) for part in parts]


@pytest.mark.parametrize(
    ("before", "now", "parts"),
    [
        (None, material("m", "a"), [("am", 0, True)]),
        (learned(), material("mn"), [("mn", 2, True)]),
        (learned("m"), material("mn"), [("mn", 1, True)]),
        (learned(), material("", "a"), [("a", 0, True)]),
        (learned(), material("m", "a"), [("a", 0, False), ("am", 1, True)]),
        (learned("m", "a"), material("mn", "ab"), [("abm", 0, False), ("abmn", 1, True)]),
        (learned("mn", "a"), material("n", "a"), [("an", 0, True)]),
        (learned("m", "a"), material("n", "a"), [("a", 0, False), ("an", 1, True)]),
        (learned("m", "a"), material("m", "a"), [("am", 0, True)]),
    ],
    ids=["first training", "mined", "mined more", "added", "both", "both, more", "taken back", "exchanged", "the same"],
)
def test_what_is_mined_is_on_trial_after_what_is_done_by_hand(
    before: Learned | None, now: Material, parts: list[tuple[str, int, bool]]
) -> None:
    assert shown(plan(before, now)) == parts


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run whose models were written."""
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    write_models(folder, "0")
    folder.exported(learned())
    return folder


def write_models(folder: RunFolder, text: str) -> None:
    for path in (folder.accurate, folder.tiny):
        path.write_text(f"{path.name} {text}")
        path.with_name(f"{path.name}.json").write_text(text)
    for path in (folder.saved_heads, folder.saved_student):
        path.write_text(text)


def test_an_interrupted_retraining_goes_on_in_the_part_it_was_in(run: RunFolder) -> None:
    """By hand and on trial: stopped in the first part, between the two, in the second and after it."""
    both = material("m", "a")
    first, second = parts_to_do(run, both)
    run.begin(first.material.key)
    assert shown(parts_to_do(run, both)) == shown([first, second])
    write_models(run, "1")
    run.exported(learned((), "a"))
    assert shown(parts_to_do(run, both)) == shown([second])
    run.begin(second.material.key)
    assert run.copy_of(run.accurate).read_text() == "model.onnx 1"
    assert shown(parts_to_do(run, both)) == shown([second])
    run.exported(learned("m", "a"))  # it was kept, and the report is still to be made: it is told the same again
    assert shown(parts_to_do(run, both)) == shown([second])


def test_a_sound_that_was_undone_is_judged_again_only_when_something_changes(run: RunFolder) -> None:
    run.begin(material("m").key)
    run.exported(learned())  # undone
    with run.stage("report"):
        pass
    for file in (run.report, run.report_html):
        file.write_text("{}")
    assert run.is_finished(material("m").key)
    assert shown(parts_to_do(run, material("mn"))) == [("mn", 2, True)]
    assert shown(parts_to_do(run, material("m", "a"))) == [("a", 0, False), ("am", 1, True)]


def test_the_earlier_models_are_those_that_were_written_whole(run: RunFolder) -> None:
    """A retraining that is stopped while it writes, and then begun with other material, is compared with the first."""
    run.begin(material("m").key)
    run.accurate.write_text("half of another")
    run.begin(material("n").key)
    assert shown(parts_to_do(run, material("n"))) == [("n", 1, True)]
    run.restore("accurate")
    assert run.accurate.read_text() == "model.onnx 0"


def test_a_model_is_restored_to_the_byte_and_the_other_is_left(run: RunFolder) -> None:
    run.begin(material("m").key)
    write_models(run, "1")
    run.restore("tiny")
    found = [path.read_text() for path in (run.accurate, run.saved_heads, run.tiny, run.saved_student)]
    assert found == ["model.onnx 1", "1", "model_tiny.onnx 0", "0"]
    assert run.tiny.with_name("model_tiny.onnx.json").read_text() == "0"


def test_without_whole_earlier_models_there_is_nothing_to_compare_with(run: RunFolder) -> None:
    run.saved_heads.unlink()
    run.begin(material("m").key)
    assert run.before is None
    assert shown(parts_to_do(run, material("m"))) == [("m", 0, True)]


def summing_heads(sign: float) -> HeadEnsemble:
    """A head whose logit is a hundredth of the sum of its ten embeddings, or minus that."""
    head = EmbeddingHead(context_steps=10, hidden=2, dropout=0.0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
        head.window.weight[0] = 0.01
        head.window.bias[0] = 20.0  # keeps the rectifiers open
        head.mix.weight[0, 0] = 1.0
        head.out.weight[0, 0] = sign
        head.out.bias[0] = -20.0 * sign
    return HeadEnsemble([head], temperatures=[1.0], biases=[0.0])


def turned(sign: float) -> Student:
    student = swinging_student(gain=5)
    with torch.no_grad():
        student.head.out.weight *= sign
        if student.head.out.bias is not None:
            student.head.out.bias *= sign
    return student


@pytest.fixture
def development() -> DevelopmentSet:
    """Positives with larger features than the recording's."""
    rng = np.random.default_rng(0)
    trials = [
        PositiveTrial(
            ClipFeatures(
                (2.0 + rng.normal(0, 0.5, (320, 40))).astype(np.float16),
                rng.normal(0.5, 0.1, (40, 96)).astype(np.float16),
            ),
            1.6, 3.5, number, False,
        )
        for number in range(10)
    ]  # fmt: skip
    quiet = StreamFeatures(
        "dev", 400 * 1280, rng.normal(0, 0.5, (3200, 40)).astype(np.float16),
        rng.normal(-0.5, 0.1, (390, 96)).astype(np.float16),
    )  # fmt: skip
    return DevelopmentSet(trials, [quiet], EvaluationConfig())


@pytest.fixture
def networks(development: DevelopmentSet) -> list[tuple[HeadEnsemble, Student]]:
    """Heads and student that miss much, and such that miss less."""
    students = sorted(map(turned, (1.0, -1.0)), key=lambda one: -development.figure(TinyNetwork(one)))
    assert len({round(development.figure(TinyNetwork(student)), 2) for student in students}) == 2
    heads = [summing_heads(-1.0), summing_heads(1.0)]
    assert [round(development.figure(AccurateNetwork(one))) for one in heads] == [1, 0]
    return list(zip(heads, students, strict=True))


def retrained(run: RunFolder, earlier: tuple[HeadEnsemble, Student]) -> None:
    """The run with these as the earlier models, about to be trained with a mined sound."""
    save_heads(earlier[0], run.saved_heads)
    save_student(earlier[1], run.saved_student)
    run.begin(material("m").key)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("on_trial", [1, 0])
@pytest.mark.parametrize("is_better", [True, False])
def test_a_model_that_does_not_miss_less_stays_what_it_was_where_sounds_are_on_trial(
    run: RunFolder, development: DevelopmentSet, networks: list[tuple[HeadEnsemble, Student]], on_trial: int,
    is_better: bool,
) -> None:  # fmt: skip
    earlier, new = networks if is_better else networks[::-1]
    retrained(run, earlier)
    got = choose(run, development, heads=new[0], student=new[1], on_trial=on_trial)
    kept = is_better or not on_trial
    assert got.undone == (set() if kept else {"accurate", "tiny"})
    expected = new if kept else earlier
    assert same(got.heads, expected[0])
    assert same(got.student, expected[1])
    assert (
        got.accurate.curve(0.0).points()[2].tolist()
        == development.curve(AccurateNetwork(expected[0])).points()[2].tolist()
    )
    for verdict in got.verdicts:
        assert (verdict.figure_after < verdict.figure_before) is is_better
        text = verdict.warning()
        assert (text is None) is is_better
        if text is not None:
            assert f"misses {100 * verdict.figure_after:.2f} %" in text
            assert f"before {100 * verdict.figure_before:.2f} %" in text
            assert ("stays as it was" in text, "your decision" in text) == (not kept, kept)
        assert verdict_of(verdict.facts()) == verdict


def test_each_model_is_judged_for_itself(
    run: RunFolder, development: DevelopmentSet, networks: list[tuple[HeadEnsemble, Student]]
) -> None:
    worse, better = networks
    retrained(run, (worse[0], better[1]))
    got = choose(run, development, heads=better[0], student=worse[1], on_trial=3)
    assert got.undone == {"tiny"}
    assert same(got.heads, better[0])
    assert same(got.student, better[1])
    part = Part(material=material("mn"), on_trial=2, is_last=True)
    before = learned("m")
    assert got.learned(part, before, {}).mined == ("m",)  # what one of the two has not learned is judged again
    corpus = Corpus(part.material.clips, [])
    assert got.clips(corpus, before) == corpus.clips


def test_equal_models_are_no_gain(
    run: RunFolder, development: DevelopmentSet, networks: list[tuple[HeadEnsemble, Student]]
) -> None:
    retrained(run, networks[1])
    got = choose(run, development, heads=networks[1][0], student=networks[1][1], on_trial=1)
    assert got.undone == {"accurate", "tiny"}
    corpus = Corpus(material("mn").clips, [])
    assert [clip.id for clip in got.clips(corpus, learned("m"))] == ["m"]


def test_a_damaged_earlier_model_is_named_with_a_way_out(
    run: RunFolder, development: DevelopmentSet, networks: list[tuple[HeadEnsemble, Student]]
) -> None:
    run.begin(material("m").key)  # its models are no safetensors
    with pytest.raises(ModelError, match=r"damaged.*or delete .*checkpoints/before"):
        choose(run, development, heads=networks[0][0], student=networks[0][1], on_trial=1)


def test_verdicts_of_a_first_part_are_kept_for_the_report_of_the_second() -> None:
    verdict = Verdict(model="tiny", on_trial=0, figure_before=0.1, figure_after=0.2)
    record = Learned(added="a", mined=("m",), export={"tiny": {"parity": 1e-6}}, told=(verdict.facts(),))
    assert Learned.from_json(record.to_json()) == record
    assert verdict_of(record.told[0]) == verdict
