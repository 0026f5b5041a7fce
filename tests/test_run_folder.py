"""A run's folder: refused, held, resumed, forgotten; and what its stages cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wakelark.errors import BusyError, ConfigError, SetupError
from wakelark.pipeline.run_folder import RunFolder, slug

HOLDER = """
import sys
from pathlib import Path
from wakelark.pipeline.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).hold(resume=False):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "hey you")


def begin(folder: RunFolder) -> None:
    with folder.hold(resume=False):
        folder.config.write_text("phrase: hey you\n")


@pytest.mark.parametrize(
    ("phrase", "name"),
    [("Hey, Computer!", "hey-computer"), ("  ÉLAN  2 ", "elan-2"), ("../../etc", "etc"), ("a" * 300, "a" * 60)],
)
def test_slug(phrase: str, name: str) -> None:
    assert slug(phrase) == name


def test_slugs_of_phrases_without_latin_letters_differ() -> None:
    assert slug("小爱") != slug("小度")
    assert slug("小爱") == slug("小爱")


def test_a_run_is_not_overwritten_and_the_command_to_continue_is_named(folder: RunFolder) -> None:
    begin(folder)
    with pytest.raises(ConfigError) as refused, folder.hold(resume=False):
        pass
    assert f"wakelark train --resume --out '{folder.root}'" in str(refused.value)
    with folder.hold(resume=True):
        pass


def test_nothing_to_resume(folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match="nothing to resume"):
        folder.check(resume=True)
    assert not folder.root.exists()


def test_one_process_at_a_time(folder: RunFolder) -> None:
    command = [sys.executable, "-c", HOLDER, str(folder.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=f"process {holder.pid}") as busy, folder.hold(resume=False):
            pass
        assert busy.value.exit_code == 6
        holder.kill()
    begin(folder)  # a killed process holds nothing


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_the_way_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SetupError, match="--out") as error, RunFolder(tmp_path / name).hold(resume=False):
        pass
    assert str(tmp_path / name) in str(error.value)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc, where nobody can make a folder")
def test_a_place_where_nothing_can_be_written() -> None:
    with pytest.raises(SetupError, match="--out"), RunFolder(Path("/proc/wakelark")).hold(resume=False):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(SetupError, match="--out"), RunFolder(tmp_path / "locked").hold(resume=False):
        pass


def test_stages_are_recorded_when_they_end(folder: RunFolder) -> None:
    begin(folder)
    with folder.stage("corpus"):
        assert folder.stages() == {}
    with pytest.raises(KeyError), folder.stage("views"):
        raise KeyError
    assert list(folder.stages()) == ["corpus"]
    assert folder.stages()["corpus"].keys() == {"wall_s", "cpu_s", "peak_mb"}


def test_a_stage_costs_what_all_its_sessions_cost(folder: RunFolder) -> None:
    begin(folder)
    record = folder.root / "stages.json"
    record.write_text(json.dumps({"finished": [], "cost": {"views": {"wall_s": 50.0, "cpu_s": 40.0, "peak_mb": 9e9}}}))
    with folder.stage("views"):
        pass
    assert folder.stages()["views"]["wall_s"] == pytest.approx(50, abs=2)
    assert folder.stages()["views"]["peak_mb"] == 9e9


def test_a_run_that_made_nothing_is_forgotten(folder: RunFolder) -> None:
    begin(folder)
    with pytest.raises(KeyError), folder.stage("corpus"):
        raise KeyError
    folder.forget()
    assert not folder.root.exists()


def test_what_somebody_else_put_there_stays(folder: RunFolder) -> None:
    begin(folder)
    (folder.root / "notes.txt").write_text("mine")
    folder.forget()
    assert [path.name for path in folder.root.iterdir()] == ["notes.txt"]


def test_a_run_that_made_something_is_kept(folder: RunFolder) -> None:
    begin(folder)
    with folder.stage("corpus"):
        pass
    folder.forget()
    assert folder.config.is_file()


def test_the_day_a_run_began_stays_its_day(folder: RunFolder) -> None:
    begin(folder)
    os.utime(folder.config, (1_700_000_000, 1_700_000_000))
    assert folder.created == "2023-11-14"
