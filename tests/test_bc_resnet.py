"""The BC-ResNet: its size is the paper's, a stream gives what a clip gives, and the exported file says the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from wakelark.config import StudentConfig
from wakelark.errors import ConfigError, ModelError
from wakelark.export.onnx import NetworkFacts, export_student, student_facts
from wakelark.export.parity import probe_audio, stream
from wakelark.features.logmel_torch import LogMel
from wakelark.model_card import ModelCard
from wakelark.models.bc_resnet import BcResNet, BroadcastBlock, SubSpectralNorm
from wakelark.models.build import build_student
from wakelark.models.saved import load_student, save_student


def settled(student: BcResNet) -> BcResNet:
    """Norms with scales and statistics of their own, logits that swing by about 1, then evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3, generator=generator)
            module.momentum = 0.5
    student.train()
    for _ in range(8):
        student(torch.randn(4, 40, 198, generator=generator) * 2 - 1)
    student.eval()
    with torch.no_grad():
        logits = student(torch.randn(4, 40, 400, generator=generator) * 2 - 1)
        student.head.out.weight /= logits.std()
        assert student.head.out.bias is not None
        student.head.out.bias -= logits.mean() / logits.std()
    return student


@pytest.fixture(scope="module")
def student() -> BcResNet:
    torch.manual_seed(0)
    return settled(BcResNet(width=1, dropout=0.1))


@pytest.mark.parametrize(("width", "paper"), [(1, 9_232), (3, 54_200), (8, 321_000)])
def test_sizes_are_the_papers(width: float, paper: int) -> None:
    # The paper counts 12 classes; ours has one, which takes 11 (32 width + 1) parameters away.
    count = sum(p.numel() for p in BcResNet(width=width, dropout=0).parameters()) + 11 * (32 * width + 1)
    assert count == pytest.approx(paper, rel=0.02)


def test_reach_in_time(student: BcResNet) -> None:
    # Columns of 20 ms: the stem's 5 frames, 2 blocks x 2 columns, 2 more before the second stage's stride; then columns
    # of 40 ms: 2, 4 blocks x 2, 4 blocks x 4, 4 x 2 before the last kernel.
    frames = 5 + 2 * (2 * 2 + 2) + 4 * (2 + 4 * 2 + 4 * 4 + 4 * 2)
    assert student.receptive_field_frames == student.trunk.receptive_field_frames == frames == 153
    assert frames < 198, "a view of two seconds gives some steps to pool over"
    assert student.receptive_field_samples == 152 * 160 + 400
    assert student.step_samples == 640
    assert student(torch.zeros(2, 40, 153)).shape == (2, 1)
    assert student(torch.zeros(2, 40, 198)).shape == (2, 12)
    assert student.trunk(torch.zeros(2, 40, 198)).shape == (2, student.trunk.channels, 12)


def test_logits_depend_on_the_receptive_field_and_on_nothing_else(student: BcResNet) -> None:
    frames = torch.randn(1, 40, student.receptive_field_frames + 4 * 3, requires_grad=True)
    student(frames)[0, 1].backward()
    assert frames.grad is not None
    touched = frames.grad.abs().sum((0, 1)).nonzero().flatten().tolist()
    assert min(touched) >= 4
    assert max(touched) == 4 + student.receptive_field_frames - 1


@pytest.mark.parametrize("width", [0.5, 1.5])
@pytest.mark.parametrize("split", [[4] * 60, [240], [4, 16, 100, 120], [8, 8, 224]])
def test_a_stream_gives_what_a_clip_gives(split: list[int], width: float) -> None:
    torch.manual_seed(0)
    student = settled(BcResNet(width=width, dropout=0.1))
    frames = torch.randn(3, 40, 240)
    with torch.inference_mode():
        state, parts = torch.zeros(3, student.state_size), []
        for piece in frames.split(split, dim=2):
            logits, state = student.stream(piece, state)
            parts.append(logits)
        # The state stands for one frame before the first, so step s of the stream starts at frame 4 s - 1.
        whole = student(frames[:, :, 3:])
    streamed = torch.cat(parts, 1)
    assert streamed.shape == (3, 60)
    assert whole.std() > 0.1, "the comparison would say little if nothing moved"
    torch.testing.assert_close(streamed[:, -whole.shape[1] :], whole, atol=1e-5, rtol=1e-5)


def test_norm_of_sub_bands_by_hand() -> None:
    norm = SubSpectralNorm(2).train()
    values = torch.randn(3, 2, 10, 7) * 4 + 1
    result = norm(values)
    for channel in range(2):
        for band in range(5):
            rows = values[:, channel, 2 * band : 2 * band + 2]
            expected = (rows - rows.mean()) / (rows.var(correction=0) + 1e-5).sqrt()
            torch.testing.assert_close(result[:, channel, 2 * band : 2 * band + 2], expected, atol=1e-5, rtol=1e-5)


def test_a_block_by_hand() -> None:
    """Kernels that pass their centre (across) and their oldest tap (along); every norm does nothing in evaluation."""
    block = BroadcastBlock(
        channels_in=1, channels=1, first=False, band_stride=1, time_stride=1, dilation=2, dropout=0.5
    ).eval()
    with torch.no_grad():
        block.across.weight.copy_(torch.tensor([0.0, 1.0, 0.0])[None, None, :, None])
        block.along.weight.copy_(torch.tensor([1.0, 0.0, 0.0])[None, None, None])
        block.mix.weight.fill_(2.0)
    values = torch.arange(30.0).reshape(1, 1, 5, 6) / 10
    # Bands are 0.6 apart, so the mean over frequency at column t is 1.2 + t / 10; 4 columns later it is added twice,
    # through x * sigmoid(x), to spectral(x) + x = 2 x.
    mean = 1.2 + torch.arange(2) / 10
    expected = 2 * values[..., 4:] + 2 * mean * torch.sigmoid(mean)
    torch.testing.assert_close(block(values), expected, atol=1e-4, rtol=1e-4)


def test_trunk_feeds_the_head(student: BcResNet) -> None:
    frames = torch.randn(2, 40, 198)
    torch.testing.assert_close(student.head(student.trunk(frames)), student(frames))


def test_every_parameter_learns() -> None:
    student = BcResNet(width=1, dropout=0.1).train()
    student(torch.randn(8, 40, 198)).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in student.parameters())


def test_it_is_chosen_by_the_configuration() -> None:
    student = build_student(StudentConfig(architecture="bc_resnet", trunk="none", width=1.5, dropout=0.2))
    assert isinstance(student, BcResNet)
    assert (student.width, student.dropout) == (1.5, 0.2)
    with pytest.raises(ConfigError, match=r"student\.trunk is 'small'.*with bc_resnet, set student\.trunk: none"):
        build_student(StudentConfig(architecture="bc_resnet", trunk="small"))


def card_of(facts: NetworkFacts) -> ModelCard:
    values: dict[str, Any] = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    return ModelCard(
        **values, wakelark_version="0.1.0", phrase="hey computer", language="en-us", threshold=0.5, smoothing_steps=2,
        refractory_s=1.5, gate_db=0.0, gate_hold_s=1.5, fa_per_hour=0.5, created="2026-11-22", logit_shift=-1.5,
    )  # fmt: skip


def test_the_file_says_what_torch_says_in_any_chunking(student: BcResNet, tmp_path: Path) -> None:
    card = card_of(student_facts(student))
    assert card.state_size == 320 + student.state_size
    exported = export_student(student, card, tmp_path / "model_tiny.onnx")
    assert exported.difference < 1e-4
    model, audio = exported.path.read_bytes(), probe_audio(np.random.default_rng(3), seconds=8)
    silence = np.zeros((student.receptive_field_frames - 4 + 2) * 160, np.float32)
    with torch.inference_mode():
        frames = LogMel()(torch.from_numpy(np.concatenate([silence, audio]))[None])
        expected = torch.sigmoid(student(frames) + card.logit_shift)[0].numpy()
    assert expected.std() > 0.01, "the comparison would say little if nothing moved"
    for steps in (1, 5, 200):
        scores = stream(model, audio, card, output="scores", chunk_steps=lambda steps=steps: steps)
        np.testing.assert_allclose(scores, expected, atol=1e-4, rtol=0)


def test_contract_of_the_file(student: BcResNet, tmp_path: Path) -> None:
    card = card_of(student_facts(student))
    graph = onnx.load(str(export_student(student, card, tmp_path / "a.onnx").path)).graph
    shapes = {
        value.name: [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    size = card.state_size
    assert shapes == {"audio": [1, "n"], "state": [1, size], "scores": [1, "steps"], "new_state": [1, size]}
    assert not {node.op_type for node in graph.node} & {"Dropout", "BatchNormalization", "STFT"}


def test_it_comes_back_from_disk(student: BcResNet, tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    save_student(student, path)
    after = load_student(path)
    assert isinstance(after, BcResNet)
    features = torch.randn(2, 40, 198)
    assert torch.equal(after(features), student(features))
    assert (after.width, after.dropout, after.training) == (1, 0.1, False)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        load_student(path)
