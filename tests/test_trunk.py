"""The phrase-free trunk: aligned with the embedding, in noise, on disk, and resumed to the bit."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from wakelark.audio import HOP_SAMPLES, to_int16
from wakelark.augment.beds import coloured_noise
from wakelark.config import AugmentConfig, StudentConfig, TrunkConfig
from wakelark.errors import Interrupted, ModelError
from wakelark.features.embedding import EMBEDDING_HOP_SAMPLES, EMBEDDING_SPAN_SAMPLES, embedding_count
from wakelark.features.logmel import POWER_FLOOR, frame_count, logmel
from wakelark.features.spectrum import WINDOW_SAMPLES
from wakelark.losses.embedding import Whitening, embedding_regression
from wakelark.models.build import build_student
from wakelark.models.trunk import STEP_SAMPLES, Trunk
from wakelark.models.trunk_file import load_trunk, save_trunk
from wakelark.training.checkpoint import CheckpointFolder
from wakelark.training.metrics_log import Metrics, MetricsLog
from wakelark.training.trunk_data import EMBEDDINGS, NOISE, PIECE_FRAMES, PIECE_SAMPLES, Pieces, Source, render_pieces
from wakelark.training.trunk_noise import InputNoise, log_mel_of, power_of
from wakelark.training.trunk_training import EVERY, Distilled, TrunkRun, batch_of, train_trunk, weights


def test_a_trunk_step_ends_within_three_milliseconds_of_its_embedding() -> None:
    trunk = Trunk(channels=8, kernels=StudentConfig().kernels)
    for embedding in (0, 1, 15):
        step_ends = embedding * EVERY * STEP_SAMPLES + (trunk.receptive_field_frames - 1) * HOP_SAMPLES + WINDOW_SAMPLES
        embedding_ends = embedding * EMBEDDING_HOP_SAMPLES + EMBEDDING_SPAN_SAMPLES
        assert abs(step_ends - embedding_ends) <= 0.003 * 16_000
    assert embedding_count(PIECE_SAMPLES) == EMBEDDINGS
    assert frame_count(PIECE_SAMPLES) == PIECE_FRAMES
    network = Distilled(trunk, components=5)
    assert network(torch.zeros(2, 40, PIECE_FRAMES)).shape == (2, EMBEDDINGS, 5)
    assert network(torch.zeros(1, 40, 198)).shape == (1, embedding_count(32_000), 5)


def test_added_powers_are_close_to_added_sounds() -> None:
    rng = np.random.default_rng(0)
    one = (coloured_noise(-3.0, 32_000, seed=1) * 0.05).astype(np.float32)
    other = (coloured_noise(-6.0, 32_000, seed=2) * 0.03).astype(np.float32)
    frames = [torch.from_numpy(logmel(audio).T)[None] for audio in (one, other, one + other)]
    ratio = power_of(frames[0]).mean() / power_of(frames[1]).mean()
    noise = InputNoise(
        probability=1.0, snr_db_min=float(10 * torch.log10(ratio)), snr_db_max=float(10 * torch.log10(ratio)),
        gain_db=0.0,
    )  # fmt: skip
    mixed = log_mel_of(power_of(frames[0]) + power_of(frames[1]))
    # A log-mel unit is 5 nepers of power: two frames of noise interfere by some 2 dB, and on average by little.
    assert float((mixed - frames[2]).abs().mean()) < 0.12
    assert abs(float((mixed - frames[2]).mean())) < 0.05
    # The drawn tilt is the only difference between the two ways.
    drawn = noise.apply(frames[0], frames[1], rng)
    tilt = (drawn - mixed).mean((0, 2))
    assert torch.allclose(tilt.diff(n=2), torch.zeros(38), atol=2e-3)


def test_no_noise_and_no_gain_changes_only_the_tilt() -> None:
    still = InputNoise(probability=0.0, snr_db_min=0.0, snr_db_max=1.0, gain_db=0.0)
    frames = torch.rand(3, 40, 50) * 3
    changed = still.apply(frames, torch.zeros(3, 40, 50), np.random.default_rng(0)) - frames
    torch.testing.assert_close(changed, changed[:, :, :1].expand_as(changed), atol=2e-3, rtol=0)
    assert float(power_of(log_mel_of(torch.tensor(0.5)))) == pytest.approx(0.5, rel=1e-4)
    assert float(log_mel_of(torch.tensor(0.0))) == pytest.approx((np.log(POWER_FLOOR) + 8) / 5)


def test_whitening_gives_unit_variance_and_explains_all_or_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(4000, 6, generator=generator) @ torch.randn(6, 6, generator=generator) * 10 + 3
    whitening = Whitening.fit(rows, components=6)
    white = whitening(rows)
    torch.testing.assert_close(white.var(0, correction=0), torch.ones(6), atol=0.02, rtol=0)
    off_diagonal = white.T @ white / 4000 - torch.diag(white.square().mean(0))
    assert float(off_diagonal.abs().max()) < 0.02
    assert whitening.explained_variance(white, white) == pytest.approx(1.0, abs=1e-6)
    assert whitening.explained_variance(torch.zeros_like(white), white) == pytest.approx(0.0, abs=1e-6)
    two = Whitening.fit(rows, components=2)
    assert two.explained_variance(two(rows), two(rows)) == pytest.approx(
        float(two.eigenvalues.sum()) / two.total_variance
    )
    assert float(two.weights.mean()) == pytest.approx(1.0)


def test_the_regression_by_hand() -> None:
    predicted = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    target = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    # Step 1: squares 1 and 1, weights 1 and 3: mean 2; cosine 0. Step 2: squares 0 and 1: mean 1.5; cosine 1.
    expected = ((2.0 + 0.3 * 1.0) + (1.5 + 0.0)) / 2
    loss = embedding_regression(predicted, target, torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(loss, torch.tensor([expected]))


def test_a_trunk_and_its_provenance_survive_the_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trunk = Trunk(channels=16, kernels=(3, 5)).eval()
    path = tmp_path / "trunk.safetensors"
    save_trunk(trunk, path, provenance={"steps": 3})
    found = load_trunk(str(path))
    assert (found.channels, found.kernels, found.provenance) == (16, (3, 5), {"steps": 3})
    student = build_student(StudentConfig(trunk=str(path))).eval()
    frames = torch.randn(2, 40, 150)
    torch.testing.assert_close(student.trunk(frames), trunk(frames), rtol=0, atol=0)
    assert student.trunk.statistics_fixed
    data = path.read_bytes()
    for broken in (b"", data[: len(data) // 2], b"\x00" * 200):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match="is not a whole trunk"):
            load_trunk(str(path))
    with pytest.raises(ModelError, match="there is no trunk"):
        load_trunk(str(tmp_path / "absent"))


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Pieces:
    folder = tmp_path_factory.mktemp("pieces")
    speech = (coloured_noise(-6.0, 3 * PIECE_SAMPLES, seed=5) * 0.05).astype(np.float32)
    np.save(folder / "a.npy", to_int16(speech))
    return render_pieces(
        [Source(folder / "a.npy", "a", "speech")], variants=2, augment=AugmentConfig(), out=folder / "out",
        workers=1, progress=lambda done, total, what: None,
    )  # fmt: skip


def test_pieces_are_cut_in_variants_and_noise_is_there(pieces: Pieces) -> None:
    assert (pieces.kinds == "speech").sum() == 3 + 2  # as it is: 3 pieces; from half a piece on: 2
    assert (pieces.kinds == NOISE).sum() > 50
    assert pieces.logmel(np.array([0, 4])).shape == (2, 40, PIECE_FRAMES)
    assert weights(pieces).sum() == pytest.approx(1.0)


def run_of(pieces: Pieces, folder: Path, steps: int, on_step: int | None = None) -> TrunkRun:
    def interrupt(done: int, total: int) -> None:
        if done == on_step:
            signal.raise_signal(signal.SIGINT)

    return TrunkRun(
        config=TrunkConfig(steps=steps, batch_size=2, components=8), seed=1, pieces=pieces,
        whitening=Whitening.fit(torch.from_numpy(pieces.embeddings(np.arange(20))).flatten(0, 1), components=8),
        validate=lambda network: Metrics(), checkpoints=CheckpointFolder(folder, keep=2, report=print),
        identity={"a": 1}, metrics=MetricsLog(folder / "metrics.jsonl", stage="trunk"), on_step=interrupt,
        resume_command="again",
    )  # fmt: skip


def test_batches_are_a_function_of_the_step(pieces: Pieces, tmp_path: Path) -> None:
    run = run_of(pieces, tmp_path, 5)
    for one, other in zip(batch_of(run, 3), batch_of(run, 3), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert not torch.equal(batch_of(run, 3)[0], batch_of(run, 4)[0])


def test_interrupted_and_resumed_a_trunk_has_the_same_bits(
    pieces: Pieces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wakelark.training.trunk_training.CHECKPOINT_STEPS", 4)

    def fresh() -> Distilled:
        torch.manual_seed(0)
        return Distilled(Trunk(channels=8, kernels=(3, 3, 5, 5, 7)), 8)

    whole = fresh()
    history = train_trunk(whole, run_of(pieces, tmp_path / "whole", 10))
    assert [line["step"] for line in history] == [4, 8, 10]
    with pytest.raises(Interrupted, match="go on with: again"):
        train_trunk(fresh(), run_of(pieces, tmp_path / "parts", 10, on_step=6))
    parts = fresh()
    again = train_trunk(parts, run_of(pieces, tmp_path / "parts", 10))
    assert [line["loss"] for line in again] == [line["loss"] for line in history]
    for one, other in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert torch.equal(one, other)
