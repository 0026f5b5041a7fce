"""The student for ESPHome's devices: trained like the tiny one, kept whole, and refused where it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wakelark.config import Config
from wakelark.config_file import load_config
from wakelark.corpus.clip import Clip
from wakelark.errors import ConfigError, ModelError
from wakelark.features.micro import micro
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.models.student import Student
from wakelark.models.trunk import MICRO
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial
from wakelark.pipeline.micro import TrainedMicro, micro_config, micro_run
from wakelark.pipeline.micro_model import MicroCard, MicroRun, load_micro, save_micro
from wakelark.pipeline.micro_tuning import TunedStudent, hear_in_eight_bits
from wakelark.pipeline.networks import TinyNetwork
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.settings import Request, settle
from wakelark.pipeline.student import StudentJob, StudentTraining
from wakelark.training.micro_features import compute_micro_views
from wakelark.training.stream_features import StreamFeatures
from wakelark.training.view_store import RECORD, ViewStore, shard_bytes

VIEWS = 24


def config() -> Config:
    made = Config(phrase="hey computer", seed=4)
    made.micro.channels, made.micro.kernels, made.micro.steps = 8, (3, 5), 6
    made.training.steps_per_epoch, made.training.batch_size = 3, 8
    made.micro.trunk = "none"
    return made


def store(folder: Path) -> ViewStore:
    """Noise; every other view has a tone in it and counts as the phrase."""
    rng = np.random.default_rng(0)
    records = np.zeros(VIEWS, RECORD)
    records["audio"] = rng.normal(0, 300, (VIEWS, 32_000))
    records["audio"][1::2, 16_000:24_000] += (3000 * np.sin(np.arange(8000) * 0.4)).astype(np.int16)
    records["embeddings"] = rng.normal(0, 5, (VIEWS, 16, 96))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.npy").write_bytes(shard_bytes(records))
    kinds = ("sentence", "alone")
    clips = tuple(
        Clip(id=kinds[n], path="", samples=32_000, label=n, kind=kinds[n], engine="piper", voice=f"v{n}")
        for n in (0, 1)
    )
    order = np.arange(VIEWS, dtype=np.int32)
    return ViewStore(shards=(folder / "a.npy",), shard=0 * order, row=order, clips=clips, clip=order % 2, view=order)


def development(views: ViewStore, settings: Config) -> DevelopmentSet:
    audio = views.audio(np.arange(VIEWS))
    heard = [
        StreamFeatures(name, len(sound), micro(sound).astype(np.float16), np.zeros((3, 96), np.float16))
        for name, sound in (("phrase", audio[1]), ("noise", np.concatenate(audio[::2])))
    ]
    return DevelopmentSet([PositiveTrial(heard[0], 0.0, 2.0, 0, False)], [heard[1]], settings.evaluation)


def job(folder: Path) -> StudentJob:
    settings = micro_config(config())
    views = store(folder)
    compute_micro_views(views, workers=1, progress=lambda done, total, what: None)
    torch.manual_seed(0)
    head = EmbeddingHead(context_steps=10, hidden=4, dropout=0.0)
    return StudentJob(
        config=settings, store=views, data_key="d", folder=folder / "checkpoints",
        development=development(views, settings), teacher=HeadEnsemble([head], temperatures=[1.0], biases=[0.0]),
        metrics=folder / "metrics.jsonl", device="cpu", name="micro", resume_command="again", front_end=MICRO,
    )  # fmt: skip


def made(folder: Path) -> MicroRun:
    """What a run would keep of a student with statistics of its own."""
    views, settings = store(folder / "views"), config()
    torch.manual_seed(1)
    student = Student(channels=8, kernels=(3, 5), rank=4, templates=6, taps=3, dilation=2, dropout=0.0, front_end=MICRO)
    features = micro(views.audio(np.arange(8)).ravel())
    student.train()
    student(torch.from_numpy(features.T.copy())[None])
    heard = hear_in_eight_bits(student.eval(), development(views, settings), features)
    return micro_run(settings, [], TrainedMicro(TunedStudent(heard, heard), features), created="2026-11-24")


class Stop(Exception):
    """Somebody pulls the plug."""


def test_training_learns_from_the_devices_features_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = StudentTraining(job(tmp_path / "whole"), 0).run(lambda done, steps: None)
    assert whole.result.distilled_share == 1.0

    def stop(done: int, _: int) -> None:
        if done == 5:
            raise Stop

    interrupted = job(tmp_path / "interrupted")
    with pytest.raises(Stop):
        StudentTraining(interrupted, 0).run(stop)
    steps: list[int] = []
    resumed = StudentTraining(interrupted, 0).run(lambda done, total: steps.append(done))
    assert steps == [4, 5, 6]
    assert all(np.array_equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    assert whole.weights["trunk.front.weight"].shape == (8, 40, 5)


def test_the_sound_reaches_the_student_through_the_devices_front_end(tmp_path: Path) -> None:
    begun = job(tmp_path)
    frames = begun.frames()
    assert frames.shape == (VIEWS, 40, 198)
    assert not np.array_equal(frames, replace(begun, store=begun.store.select(np.arange(VIEWS)[::-1])).frames())
    assert float(frames[1, :, 110:140].mean()) != pytest.approx(float(frames[0, :, 110:140].mean()), rel=1e-3)
    assert float(frames.max()) > 5  # log-mel lies between -2 and 4


def test_half_is_the_normal_threshold_and_the_steps_are_those_of_devices(tmp_path: Path) -> None:
    run = made(tmp_path)
    card = run.card
    assert card.preset("normal").threshold == 0.5
    assert [preset.name for preset in card.presets] == ["strict", "normal", "sensitive"]
    assert (card.step_samples, card.smoothing_steps) == (480, 4)  # 0.12 s in steps of 30 ms
    network = TinyNetwork(run.student)
    assert network.first_s == pytest.approx((run.student.receptive_field_frames * 160 + 320) / 16_000)
    heard = development(store(tmp_path / "views"), config()).hear(network)
    curve = heard.curve(card.logit_shift)
    assert curve.false_alarms_at(0.5) <= card.fa_per_hour * curve.hours


def test_a_run_keeps_it_whole(tmp_path: Path) -> None:
    before = made(tmp_path)
    save_micro(RunFolder(tmp_path), before)
    after = load_micro(tmp_path)
    assert after.card == before.card
    np.testing.assert_array_equal(after.calibration, before.calibration)
    features = torch.randn(2, 40, 100)
    assert torch.equal(after.student(features), before.student(features))
    bits = [file.read_bytes() for file in RunFolder(tmp_path).micro_files]
    save_micro(RunFolder(tmp_path), after)
    assert [file.read_bytes() for file in RunFolder(tmp_path).micro_files] == bits


def test_a_run_without_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model_micro.safetensors.*train --resume --out .* --for esphome"):
        load_micro(tmp_path)


@pytest.mark.parametrize("name", ["model_micro.safetensors", "model_micro.json", "micro_calibration.npz"])
@pytest.mark.parametrize("keep", [0, 60, -3])
def test_damaged_files_are_refused(tmp_path: Path, name: str, keep: int) -> None:
    save_micro(RunFolder(tmp_path), made(tmp_path))
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:keep])
    with pytest.raises(ModelError):
        load_micro(tmp_path)


def test_a_card_for_other_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="step_samples is 640, but must be 480"):
        replace(made(tmp_path).card, step_samples=640)
    with pytest.raises(ModelError, match="no valid JSON"):
        MicroCard.from_json("{")


def test_from_random_weights_it_learns_for_longer() -> None:
    settings = Config(phrase="a")
    settings.micro.trunk = "none"
    mine = micro_config(settings)
    assert (mine.training.steps, mine.training.learning_rate) == (1500, 4e-3)
    assert (mine.student.kernels, mine.student.head_taps, mine.student.trunk) == ((3, 5, 7, 7, 7), 13, "none")
    settings.micro.trunk = "mine.safetensors"
    assert micro_config(settings).training == settings.training
    assert micro_config(settings).student.trunk == "mine.safetensors"


def asked(folder: Path, targets: list[str], *, resume: bool) -> Config:
    request = Request(
        phrase="hey computer", config=None, overrides=[], pronunciations=[], language=None, positives=None,
        negatives=None, out=folder, preset=None, device="auto", resume=resume, targets=targets,
    )  # fmt: skip
    return settle(request)[1]


def test_targets_are_added_to_those_of_the_run(tmp_path: Path) -> None:
    assert asked(tmp_path, [], resume=False).targets == ["onnx"]
    settings = asked(tmp_path, ["esphome", "esphome", "onnx"], resume=False)
    assert settings.targets == ["onnx", "esphome"]
    (tmp_path / "config.yaml").write_text("phrase: hey computer\ntargets: [onnx]\n")
    assert asked(tmp_path, ["esphome"], resume=True).targets == ["onnx", "esphome"]
    with pytest.raises(ConfigError, match="targets"):
        load_config(None, overrides=["targets=[toaster]"], preset=None)


def test_a_run_that_is_asked_for_more_keeps_its_day(tmp_path: Path) -> None:
    import os

    folder = RunFolder(tmp_path)
    folder.keep_config("phrase: a\n")
    os.utime(folder.config, (86_400, 86_400))
    folder.keep_config("phrase: a\ntargets: [esphome]\n")
    assert (folder.created, folder.config.read_text()) == ("1970-01-02", "phrase: a\ntargets: [esphome]\n")
