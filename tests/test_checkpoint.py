"""Checkpoints: what is saved comes back, what is damaged is named and skipped."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch

from wakelark.errors import ModelError, SetupError
from wakelark.training.checkpoint import CheckpointFolder, Snapshot

IDENTITY = {"seed": 1, "student.kernels": (5, 7)}


def snapshot(step: int) -> Snapshot:
    generator = torch.Generator().manual_seed(step)
    model = {"weight": torch.randn(3, 2, generator=generator), "batches": torch.tensor(step)}
    optimizer = {"0/step": torch.tensor(float(step)), "0/exp_avg": torch.randn(3, 2, generator=generator)}
    tensors = {"model": model, "optimizer": optimizer, "random": {"torch": torch.get_rng_state()}}
    return Snapshot(step=step, tensors=tensors, progress={"figure": 0.1 + 0.2, "history": [{"loss": 1 / 3}]})


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path, reports: list[str]) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "student", keep=2, report=reports.append)


def test_what_is_saved_comes_back_to_the_bit(folder: CheckpointFolder) -> None:
    assert folder.newest(IDENTITY) is None
    saved = snapshot(100)
    folder.save(saved, IDENTITY)
    found = folder.newest(IDENTITY)
    assert found is not None
    assert (found.step, found.progress) == (100, saved.progress)
    assert found.tensors.keys() == saved.tensors.keys()
    for stem, tensors in saved.tensors.items():
        assert all(torch.equal(tensor, found.tensors[stem][name]) for name, tensor in tensors.items())


def test_the_last_two_are_kept(folder: CheckpointFolder, tmp_path: Path) -> None:
    for step in (100, 200, 300):
        folder.save(snapshot(step), IDENTITY)
    assert sorted(path.name for path in (tmp_path / "student").iterdir()) == ["step-00000200", "step-00000300"]


FILES = ["model.safetensors", "optimizer.safetensors", "random.safetensors", "state.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["bit", "cut", "missing"])
def test_a_damaged_file_is_named_and_the_older_checkpoint_used(
    folder: CheckpointFolder, tmp_path: Path, reports: list[str], name: str, damage: str
) -> None:
    folder.save(snapshot(1000), IDENTITY)
    path = folder.save(snapshot(1200), IDENTITY) / name
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data if damage == "bit" else data[: len(data) // 2])
    found = folder.newest(IDENTITY)
    assert found is not None
    assert found.step == 1000
    assert len(reports) == 1
    assert "step 1200" in reports[0]
    assert name in reports[0]
    # The run comes by the damaged one again and replaces it; what lies beyond a new one is of no use any more.
    folder.save(snapshot(1100), IDENTITY)
    assert sorted(entry.name for entry in (tmp_path / "student").iterdir()) == ["step-00001000", "step-00001100"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", None])
def test_a_broken_manifest_is_damage(folder: CheckpointFolder, reports: list[str], content: bytes | None) -> None:
    manifest = folder.save(snapshot(5), IDENTITY) / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_bytes(content)
    assert folder.newest(IDENTITY) is None
    assert "manifest.json" in reports[0]


def test_no_file_outside_the_checkpoint_is_read(folder: CheckpointFolder, tmp_path: Path, reports: list[str]) -> None:
    path = folder.save(snapshot(5), IDENTITY)
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["../../secret.json"] = manifest["files"]["state.json"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert folder.newest(IDENTITY) is None
    assert "secret.json" in reports[0]


def test_half_a_save_is_cleaned_up(folder: CheckpointFolder, tmp_path: Path, reports: list[str]) -> None:
    folder.save(snapshot(5), IDENTITY)
    stray = tmp_path / "student" / ".tmp-0123"
    stray.mkdir()
    (stray / "model.safetensors").write_bytes(b"half")
    found = folder.newest(IDENTITY)
    assert found is not None
    assert not stray.exists()
    assert reports == ["removed .tmp-0123: left by a save that was interrupted"]


def test_every_difference_of_another_run_is_named(folder: CheckpointFolder) -> None:
    folder.save(snapshot(5), IDENTITY)
    with pytest.raises(ModelError, match=r"(?s)new: absent in the checkpoint, 3 now.*seed: 1 in the checkpoint, 2 now"):
        folder.newest({"seed": 2, "student.kernels": (5, 7), "new": 3})


def test_another_format_is_refused(folder: CheckpointFolder) -> None:
    path = folder.save(snapshot(5), IDENTITY) / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(ModelError, match="format 99"):
        folder.newest(IDENTITY)


def test_a_full_disk_leaves_the_earlier_checkpoint(
    folder: CheckpointFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save(snapshot(5), IDENTITY)
    calls = {"left": 2}

    def full(descriptor: int) -> None:
        calls["left"] -= 1
        if calls["left"] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError, match=r"No space left.*MB are free"):
        folder.save(snapshot(6), IDENTITY)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "student").iterdir()] == ["step-00000005"]
    found = folder.newest(IDENTITY)
    assert found is not None
    assert found.step == 5


def test_a_crash_at_any_write_flush_or_rename_leaves_a_good_checkpoint(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fsync and rename of a save in turn is the last thing that happens."""

    class CrashError(BaseException):
        pass

    folder.save(snapshot(1), IDENTITY)
    folder.save(snapshot(2), IDENTITY)
    crashes = 0
    for allowed in range(40):
        calls = {"left": allowed}

        def counted(real, calls=calls):  # type: ignore[no-untyped-def]
            def call(*arguments: object) -> None:
                if calls["left"] == 0:
                    raise CrashError
                calls["left"] -= 1
                real(*arguments)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", counted(os.fsync))
            patch.setattr(os, "rename", counted(os.rename))
            try:
                folder.save(snapshot(3 + allowed), IDENTITY)
            except CrashError:
                crashes += 1
        found = folder.newest(IDENTITY)
        assert found is not None
        assert found.step <= 3 + allowed
        if calls["left"] > 0:
            break
    assert crashes >= 8
    assert found is not None
    assert found.step == 3 + crashes
