"""Fetching recordings: real packages, made here, brought by a stand-in for apt-get that needs no network."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from wakelark.audio import write_wav
from wakelark.corpus.packages import PACKAGES, ROLES, SIZES, packages_of, stream_names
from wakelark.corpus.recordings import clean, fetch_recordings, missing, size_and_disk, streams
from wakelark.corpus.streams import GAP_SAMPLES, read_stream
from wakelark.errors import BusyError, ConfigError, SetupError

NAME = "codec2-examples"
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not on this machine")

APT = """#!/bin/sh
# apt-get of the tests: `download NAME` copies the package from the folder of packages.
for word; do name=$word; done
case "$*" in *--print-uris*|update*) exit 0;; esac
cp "{folder}/$name"_*.deb . 2>/dev/null || {{ echo "E: Unable to locate package $name" >&2; exit 100; }}
"""


def noise(seed: int, samples: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9000, 9000, samples).astype(np.int16)


def build(folder: Path, name: str, files: dict[str, np.ndarray]) -> None:
    """A Debian package with these WAV files."""
    root = folder / "root"
    (root / "DEBIAN").mkdir(parents=True)
    control = (
        f"Package: {name}\nVersion: 1:1.0-1\nArchitecture: all\nMaintainer: test <t@example.org>\nDescription: test\n"
    )
    (root / "DEBIAN" / "control").write_text(control)
    for path, audio in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_wav(root / path, audio)
    deb = folder / f"{name}_1%3a1.0-1_all.deb"
    subprocess.run(["dpkg-deb", "-b", root, deb], check=True, capture_output=True)
    shutil.rmtree(root)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """The folder from which the stand-in for apt-get takes packages."""
    folder, programs = tmp_path / "shop", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    (programs / "apt-get").write_text(APT.format(folder=folder))
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return folder


def silent_progress(done: int, total: int, what: str) -> None:
    assert 0 <= done <= total


def test_the_table_keeps_roles_apart() -> None:
    names = [name for package in PACKAGES for name in stream_names(package)]
    assert len(names) == len(set(names))
    order = [ROLES.index(package.parts[-1].role) for package in PACKAGES]
    assert order == sorted(order)  # duplicates are lost by the later role
    sizes = [sum(package.megabytes for package in packages_of(size)) for size in SIZES]
    assert sizes == sorted(sizes)
    assert [
        size for size in SIZES if not {part.role for p in packages_of(size) for part in p.parts} >= set(ROLES)
    ] == []


def test_an_unknown_set_is_refused(cache: Path) -> None:
    with pytest.raises(ConfigError, match="quick, standard, thorough"):
        missing("huge")
    assert missing("none") == []
    assert streams() == []


@needs_dpkg
def test_fetch_decodes_skips_and_resumes(shop: Path, cache: Path) -> None:
    first, second = noise(1, 8000), noise(2, 4000)
    files = {
        "usr/share/b.wav": second,
        "usr/share/a.wav": first,
        "usr/share/c.wav": first,
        "usr/share/d.wav": first[:9] * 0,
    }
    build(shop, NAME, files)
    report = fetch_recordings("quick", workers=1, progress=silent_progress)
    assert report.fetched == (NAME,)
    assert set(report.failed) == {package.name for package in packages_of("quick")} - {NAME}
    assert "Unable to locate package klettres-data" in report.failed["klettres-data"]
    assert report.lost_minutes["dev"] == sum(
        p.parts[0].minutes for p in packages_of("quick") if p.parts[0].role == "dev"
    )
    assert "this costs" in report.warnings()[-1]
    assert report.skipped == {"duplicate": 1, "silent": 1}

    (stream,) = streams("test")
    assert (stream.version, stream.kind, stream.package) == ("1:1.0-1", "speech", NAME)
    assert [file.name for file in stream.files] == ["usr/share/a.wav", "usr/share/b.wav"]
    assert stream.seconds == pytest.approx(12_000 / 16_000)
    audio = stream.load()
    assert audio.dtype == np.int16
    assert (audio == np.concatenate([first, np.zeros(GAP_SAMPLES, np.int16), second])).all()
    assert sorted(path.name for path in (cache / "recordings").iterdir()) == [".lock", f"{NAME}.json", f"{NAME}.npy"]

    written = (cache / stream.path).stat().st_mtime_ns
    assert fetch_recordings("quick", workers=1, progress=silent_progress).fetched == ()
    assert (cache / stream.path).stat().st_mtime_ns == written


@needs_dpkg
def test_a_broken_stream_is_made_again(shop: Path, cache: Path) -> None:
    build(shop, NAME, {"a.wav": noise(1, 8000)})
    fetch_recordings("quick", workers=1, progress=silent_progress)
    array = cache / "recordings" / f"{NAME}.npy"
    whole = array.read_bytes()
    array.write_bytes(whole[:5000])  # cut
    (cache / "recordings" / ".tmp-left").mkdir()  # of a killed run
    assert NAME in missing("quick")
    assert fetch_recordings("quick", workers=1, progress=silent_progress).fetched == (NAME,)
    assert array.read_bytes() == whole
    assert not (cache / "recordings" / ".tmp-left").exists()
    array.with_suffix(".json").write_text('{"format": 1}')
    assert NAME in missing("quick")


@needs_dpkg
def test_a_file_in_two_roles_stays_in_training_only(shop: Path, cache: Path) -> None:
    shared = noise(5, 3000)
    build(shop, NAME, {"a.wav": shared, "b.wav": noise(6, 3000)})
    fetch_recordings("quick", workers=1, progress=silent_progress)
    build(shop, "klettres-data", {"x.wav": noise(7, 3000), "y.wav": shared})  # comes later, is trained on
    report = fetch_recordings("quick", workers=1, progress=silent_progress)
    (train,) = streams("train")
    (test,) = streams("test")
    assert [file.name for file in train.files] == ["x.wav", "y.wav"]
    assert [file.name for file in test.files] == ["b.wav"]
    assert (test.load() == noise(6, 3000)).all()
    assert report.skipped == {"also in klettres-data": 1}


@needs_dpkg
def test_parts_of_one_package(shop: Path, cache: Path) -> None:
    build(shop, "fillets-ng-data-nl", {f"{name}.wav": noise(index, 2000) for index, name in enumerate("abcde")})
    build(shop, "hedgewars-data", {"voices/x.wav": noise(11, 2000), "Music/y.wav": noise(12, 2000)})
    fetch_recordings("standard", workers=1, progress=silent_progress)
    parts = {stream.name: [file.name for file in stream.files] for stream in streams()}
    assert parts == {
        "hedgewars-data.voices": ["voices/x.wav"],
        "hedgewars-data.music": ["Music/y.wav"],
        "fillets-ng-data-nl.dev": ["a.wav", "b.wav", "c.wav"],
        "fillets-ng-data-nl.test": ["d.wav", "e.wav"],
    }
    assert streams(size="quick") == []
    assert clean() > 0
    assert streams() == []


@needs_dpkg
def test_a_damaged_package_is_reported(shop: Path) -> None:
    (shop / f"{NAME}_1_all.deb").write_bytes(b"not a package")
    report = fetch_recordings("quick", workers=1, progress=silent_progress)
    assert "cannot be unpacked" in report.failed[NAME]


def test_without_apt_it_says_what_to_bring(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    report = fetch_recordings("quick", workers=1, progress=silent_progress)
    assert len(report.failed) == len(packages_of("quick"))
    assert "--negatives DIR" in "\n".join(report.warnings())
    assert len(report.warnings()) == 3  # the same reason is said once


def test_a_full_disk_stops_before_anything_is_fetched(shop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, needed = size_and_disk("quick")
    usage = shutil._ntuple_diskusage(10**12, 10**12 - 10**7, 10**7)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SetupError, match=f"need {needed} MB"):
        fetch_recordings("quick", workers=1, progress=silent_progress)


def test_two_at_once(shop: Path, cache: Path) -> None:
    from filelock import FileLock

    (cache / "recordings").mkdir(parents=True)
    with FileLock(cache / "recordings" / ".lock"), pytest.raises(BusyError):
        fetch_recordings("quick", workers=1, progress=silent_progress)


def test_index_of_another_format_is_not_there(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", json.dumps({"format": 99})):
        (tmp_path / "a.json").write_text(text)
        assert read_stream(tmp_path / "a.json") is None
