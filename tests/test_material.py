"""The user's material: what the lists say is taken, nothing else; its key changes only with what is trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE, write_wav
from wakelark.config import Config
from wakelark.config_file import dump_config
from wakelark.corpus.manifest import read_manifest, write_manifest
from wakelark.errors import BusyError, ConfigError, DataError
from wakelark.export.parity import probe_audio
from wakelark.pipeline.add_clips import Added, add_clips
from wakelark.pipeline.harvest_folder import FoundSound, new_folder, read_list, write_list
from wakelark.pipeline.material import Material, read_material
from wakelark.pipeline.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> RunFolder:
    """A run that was begun and nothing more."""
    folder = RunFolder(tmp_path / "run")
    folder.root.mkdir()
    folder.config.write_text(dump_config(Config(phrase="hey you")))
    return folder


def sound(number: int, seconds: int = 2) -> np.ndarray:
    return probe_audio(np.random.default_rng(number), seconds=seconds)


def harvested(run: RunFolder, *statuses: str, name: str = "tv", first: int = 0) -> Path:
    """A folder as `wakelark mine` writes it, with one sound per status."""
    folder = new_folder(run.harvests, name)
    folder.mkdir(parents=True)
    lines = []
    for number, status in enumerate(statuses, first):
        write_wav(folder / f"{number}.wav", sound(number))
        lines.append(
            FoundSound(
                file=f"{number}.wav", status=status, recording="monday.wav", time_s=9.0 * number, accurate=0.8,
                tiny=0.7, group=number, source="tv", digest="0" * 16,
            )
        )  # fmt: skip
    write_list(lines, folder)
    return folder


def material(run: RunFolder) -> Material:
    return read_material(run, workers=1, progress=lambda done, total, what: None)


def add(run: RunFolder, clips: Path, role: str) -> Added:
    return add_clips(run, clips, role, workers=1, progress=lambda done, total, what: None)


def test_nothing_brought_is_no_key(run: RunFolder) -> None:
    assert (material(run).key, material(run).facts) == ("", {})


def test_kept_sounds_are_hard_negatives_and_quarantined_ones_are_not_trained_on(run: RunFolder) -> None:
    harvested(run, "keep", "quarantine", "keep")
    got = material(run)
    assert got.facts["mined"] == {"kept": 2, "quarantined": 1, "deleted": 0, "repeated": 0, "refused": []}
    assert {(c.kind, c.label, c.hard_negative, c.split, c.source, c.voice) for c in got.clips} == {
        ("mined", 0, 1, "train", "tv", "recording/monday.wav")
    }


def test_the_user_may_delete_a_wav_or_a_line_or_change_a_status(run: RunFolder) -> None:
    folder = harvested(run, "keep", "keep", "keep", "quarantine")
    keys = [material(run).key]
    (folder / "0.wav").unlink()
    keys.append(material(run).key)
    assert material(run).facts["mined"] == {"kept": 2, "quarantined": 1, "deleted": 1, "repeated": 0, "refused": []}
    lines = (folder / "mined.jsonl").read_text().splitlines()
    (folder / "mined.jsonl").write_text("\n".join([lines[0], "", lines[2], lines[3].replace("quarantine", "keep")]))
    keys.append(material(run).key)
    assert material(run).facts["mined"] == {"kept": 2, "quarantined": 0, "deleted": 1, "repeated": 0, "refused": []}
    assert len({*keys, ""}) == 4
    assert material(run).key == keys[-1]


def test_only_what_is_trained_on_changes_the_key(run: RunFolder) -> None:
    harvested(run, "keep")
    key = material(run).key
    harvested(run, "quarantine", first=5)
    harvested(run, "keep")  # the same sound again
    assert material(run).key == key
    assert material(run).facts["mined"] == {"kept": 1, "quarantined": 1, "deleted": 0, "repeated": 1, "refused": []}
    harvested(run, "keep", first=6)
    assert material(run).key != key


def test_what_cannot_be_used_is_listed(run: RunFolder) -> None:
    folder = harvested(run, "keep", "keep")
    write_wav(folder / "0.wav", np.zeros(SAMPLE_RATE, np.float32))
    got = material(run)
    assert len(got.clips) == 1
    assert "silent" in got.warnings[0]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"keep"', '"kepe"', "neither"),
        ("{", "[", "line 1"),
        ('"group"', '"grp"', "grp"),
        ("0.wav", "../x.wav", "not a name"),
    ],
)
def test_a_list_with_a_mistake_is_refused_with_its_line(run: RunFolder, old: str, new: str, says: str) -> None:
    folder = harvested(run, "keep", "quarantine")
    text = (folder / "mined.jsonl").read_text()
    (folder / "mined.jsonl").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=r"mined.jsonl, line 1") as refused:
        read_list(folder)
    assert says in str(refused.value)


def test_harvests_do_not_overwrite_each_other(run: RunFolder) -> None:
    names = [harvested(run, "keep", name=name).name for name in ("My TV", "My TV", "../..", "小爱")]
    assert names == ["my-tv", "my-tv-2", "audio", "audio-2"]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(3):
        write_wav(folder / f"door_{number}.wav", sound(number))
    write_wav(folder / "long.wav", sound(7, seconds=12))
    write_wav(folder / "hour.wav", sound(8, seconds=40))
    write_wav(folder / "again.wav", sound(0))
    write_wav(folder / "silent.wav", np.zeros(SAMPLE_RATE, np.float32))
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


def test_hard_negatives_are_flagged_and_long_ones_are_refused(run: RunFolder, clips: Path) -> None:
    got = add(run, clips, "hard-negative")
    assert {file for file, _ in got.refused} == {"long.wav", "hour.wav", "silent.wav", "broken.wav"}
    assert all("wakelark mine" in why for file, why in got.refused if file in ("long.wav", "hour.wav"))
    assert len(got.duplicates) == 1
    lines = read_manifest(run.added)
    assert list(got.taken) == lines
    assert {(c.kind, c.label, c.hard_negative, c.split) for c in lines} == {("own_negative", 0, 1, "train")}
    assert material(run).clips == lines
    assert material(run).facts["added"] == {"positive": 0, "negative": 0, "hard_negative": 3}


def test_long_negatives_are_recordings(run: RunFolder, clips: Path) -> None:
    got = add(run, clips, "negative")
    assert sum(clip.is_stream for clip in got.taken) == 1
    brought = material(run)
    (stream,) = brought.streams
    assert (stream.package, len(brought.clips)) == ("clips", 4)
    assert stream.load().shape == (stream.samples,)
    assert not any(clip.hard_negative for clip in brought.clips)


@pytest.mark.parametrize("role", ["negative", "hard-negative"])
def test_adding_twice_changes_nothing(run: RunFolder, clips: Path, role: str) -> None:
    first = add(run, clips, role)
    before, key = run.added.read_bytes(), material(run).key
    again = add(run, clips, role)
    assert (list(again.taken), run.added.read_bytes(), material(run).key) == ([], before, key)
    assert len(again.already) == len(first.taken)
    write_wav(clips / "new.wav", sound(99))
    assert len(add(run, clips, role).taken) == 1
    assert material(run).key != key


def test_one_sound_is_not_added_in_two_roles(run: RunFolder, clips: Path) -> None:
    add(run, clips, "hard-negative")
    got = add(run, clips, "negative")
    assert len([why for _, why in got.refused if "as a hard negative already" in why]) == 3
    assert {clip.samples > 5 * SAMPLE_RATE for clip in got.taken} == {True}  # the two that were too long before


def test_a_mined_sound_may_be_added_and_is_then_no_longer_on_trial(run: RunFolder) -> None:
    run.config.write_text(dump_config(Config(phrase="hey you", negatives="/radio")))
    folder = harvested(run, "keep", "keep")
    write_manifest(material(run).clips, run.manifest)  # it was trained with, and undone
    assert len(material(run).mined) == 2
    assert material(run).added_key == ""
    (folder / "1.wav").unlink()
    assert len(add(run, folder, "hard-negative").taken) == 1
    got = material(run)
    assert (len(got.mined), got.facts["mined"]) == (
        0, {"kept": 0, "quarantined": 0, "deleted": 1, "repeated": 1, "refused": []}
    )  # fmt: skip
    assert got.added_key == got.key != ""
    assert got.with_mined(()).key == got.key


def test_a_deleted_line_is_taken_back_and_may_be_added_again(run: RunFolder, clips: Path) -> None:
    add(run, clips, "hard-negative")
    run.added.write_text("".join(run.added.read_text().splitlines(keepends=True)[1:]))
    assert len(material(run).clips) == 2
    assert len(add(run, clips, "hard-negative").taken) == 1


def test_lost_audio_is_an_error_that_names_the_remedy(run: RunFolder, clips: Path, cache: Path) -> None:
    add(run, clips, "hard-negative")
    (cache / read_manifest(run.added)[0].path).unlink()
    with pytest.raises(DataError, match="`wakelark add` again"):
        material(run)
    add(run, clips, "hard-negative")
    assert len(material(run).clips) == 3


def test_there_must_be_a_run_and_nobody_at_work_in_it(run: RunFolder, clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        add(RunFolder(tmp_path / "elsewhere"), clips, "negative")
    assert not (tmp_path / "elsewhere").exists()
    with run.hold(resume=True), pytest.raises(BusyError):
        add(run, clips, "negative")


def test_new_material_opens_a_finished_run_again(run: RunFolder) -> None:
    for name in ("corpus", "report"):
        with run.stage(name):
            pass
    for file in run.results:
        file.write_text("x")
    assert run.is_finished("")
    assert not run.is_finished("abc")
    run.begin("abc")
    assert run.stages() == {}
    assert not run.is_finished("abc")
    assert all(file.is_file() for file in run.results)
    with run.stage("report"):
        pass
    run.begin("abc")
    assert run.is_finished("abc")
    assert run.checkpoints_of("abc") != run.checkpoints_of("") == run.checkpoints


def test_stage_records_of_before_there_was_material_are_read(run: RunFolder) -> None:
    (run.root / "stages.json").write_text(json.dumps({"finished": ["report"], "cost": {"report": {"wall_s": 1.0}}}))
    assert list(run.stages()) == ["report"]
    for file in run.results:
        file.write_text("x")
    assert run.is_finished("")
