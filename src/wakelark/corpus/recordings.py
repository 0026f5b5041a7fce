"""The real recordings: fetched once as Debian packages, decoded, kept in the cache as one stream per package part."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wakelark.audio import find_audio_files, printable
from wakelark.corpus.apt import NO_APT, Apt, apt_is_there, unpack
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.decode import Decoded, decode_all
from wakelark.corpus.packages import PACKAGES, ROLES, SIZES, Package, Part, packages_of, stream_names
from wakelark.corpus.streams import Piece, Stream, read_stream, write_stream
from wakelark.errors import BusyError, ConfigError, SetupError

Progress = Callable[[int, int, str], None]

_MEGABYTES_PER_MINUTE = 1.92  # 16 kHz int16
_WHAT = "recordings (MB)"


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What `fetch_recordings` did.

    Attributes:
        size: the size set asked for.
        fetched: packages that were fetched and decoded now.
        failed: package -> why it could not be had.
        lost_minutes: role -> minutes of audio that the failed packages would have given.
        minutes: role -> minutes of audio that are there now, of this size set.
        skipped: reason -> how many files were left out, in all streams of this size set.
        seconds: it took.
    """

    size: str
    fetched: tuple[str, ...]
    failed: dict[str, str]
    lost_minutes: dict[str, float]
    minutes: dict[str, float]
    skipped: dict[str, int]
    seconds: float

    def warnings(self) -> list[str]:
        """Lines for people: what could not be had and what that costs; empty when all is there."""
        if not self.failed:
            return []
        lost = ", ".join(f"{role} {minutes / 60:.2f} h" for role, minutes in self.lost_minutes.items())
        return [
            f"warning: {len(self.failed)} packages are missing: {', '.join(self.failed)}",
            *(f"  {reason}" for reason in dict.fromkeys(self.failed.values())),  # often one reason for all
            f"  this costs {lost} of recordings: more false alarms, and less certain figures about them",
        ]


def streams(role: str | None = None, *, size: str = "thorough") -> list[Stream]:
    """The streams in the cache that belong to a size set, of one role or of all, in the order of the package table."""
    found = (read_stream(_folder() / f"{name}.json") for package in packages_of(size) for name in stream_names(package))
    return [stream for stream in found if stream is not None and role in (None, stream.role)]


def missing(size: str) -> list[str]:
    """Packages of a size set of which at least one stream is not in the cache.

    Raises:
        ConfigError: no such size set.
    """
    if size not in ("none", *SIZES):
        raise ConfigError(f"{size!r} is no set of recordings; use one of {', '.join(SIZES)}")
    have = {stream.name for stream in streams()}
    return [package.name for package in packages_of(size) if not have.issuperset(stream_names(package))]


def size_and_disk(size: str) -> tuple[int, int]:
    """(megabytes to download, megabytes of free disk needed meanwhile) for what is missing of a size set."""
    wanted = [package for package in packages_of(size) if package.name in missing(size)]
    kept = sum(part.minutes for package in wanted for part in package.parts) * _MEGABYTES_PER_MINUTE
    # Packages are worked off one by one: the largest is on disk as a package, unpacked, and decoded twice.
    meanwhile = max(
        (p.megabytes + p.unpacked_megabytes + _minutes(p) * _MEGABYTES_PER_MINUTE for p in wanted), default=0
    )
    return sum(package.megabytes for package in wanted), round(1.1 * (kept + meanwhile))


def fetch_recordings(size: str, *, workers: int, progress: Progress) -> FetchReport:
    """Fetch, decode and keep the packages of a size set that are not in the cache yet.

    Interrupted at any moment it goes on from the last finished package. A package that cannot be had is reported and
    the rest goes on. The packages themselves are deleted once decoded.

    Args:
        size: "none", "quick", "standard" or "thorough".
        workers: processes that decode.
        progress: called with (megabytes done, megabytes in all, what).

    Raises:
        ConfigError: no such size set.
        SetupError: the disk is too small.
        BusyError: another process is fetching into this cache.
    """
    from filelock import FileLock, Timeout  # here, so that `streams` and `missing` need the base install only

    began = time.monotonic()
    if not missing(size):
        return _report(size, (), {}, began)
    if not apt_is_there():
        return _report(size, (), {name: NO_APT for name in missing(size)}, began)
    _folder().mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(_folder() / ".lock", timeout=0):
            fetched, failed = _fetch(size, workers, progress)
            _remove_leaks()
    except Timeout as error:
        raise BusyError(f"another wakelark is fetching recordings into {_folder()}; wait until it is done") from error
    return _report(size, fetched, failed, began)


def clean() -> int:
    """Delete what was fetched (recordings, Kokoro's voices) and the recordings' features; returns the bytes freed."""
    freed = 0
    for folder in (_folder(), cache_folder() / "features", cache_folder() / "kokoro" / "voices"):
        freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    return freed


def _folder() -> Path:
    return cache_folder() / "recordings"


def _minutes(package: Package) -> float:
    return sum(part.minutes for part in package.parts)


def _fetch(size: str, workers: int, progress: Progress) -> tuple[tuple[str, ...], dict[str, str]]:
    for leftover in _folder().glob(".tmp-*"):  # of a killed run; the lock says that nobody uses it
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    absent = missing(size)
    wanted = [package for package in packages_of(size) if package.name in absent]
    _check_disk(size)
    total = sum(package.megabytes for package in wanted)
    done, fetched, failed = 0.0, [], {}
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=_folder()) as name:
        apt = Apt(Path(name))
        progress(0, total, _WHAT)
        apt.prepare([package.name for package in wanted])
        for package in wanted:

            def show(share: float, before: float = done, package: Package = package) -> None:
                progress(round(before + share * package.megabytes), total, _WHAT)

            try:
                _bring(package, apt, Path(name), workers, show)
                fetched.append(package.name)
            except SetupError as error:
                _check_disk(size)  # when the disk is what failed, the others would fail too: stop
                failed[package.name] = str(error)
            done += package.megabytes
            show(1.0, done - package.megabytes)
    return tuple(fetched), failed


def _bring(package: Package, apt: Apt, folder: Path, workers: int, show: Callable[[float], None]) -> None:
    """One package: download (counted as half of the work), unpack, decode, write its streams, delete the rest."""
    work = folder / "work"
    deb = None
    try:
        deb = apt.download(package.name, lambda got: show(min(0.5, 0.5e-6 * got / package.megabytes)))
        show(0.5)
        version = unpack(deb, work / "files")
        paths = find_audio_files(work / "files")
        if not paths:
            raise SetupError(f"{package.name}: version {version} holds no audio")
        decoded = decode_all(
            paths, work / "pcm", max_seconds=None, workers=workers,
            progress=lambda done: show(0.5 + 0.5 * done / len(paths)),
        )  # fmt: skip
        for part in package.parts:
            chosen = _files_of(part, decoded)
            if not any(file.pcm for file in chosen):
                raise SetupError(
                    f"{package.name}: version {version} holds none of the files of its part {part.suffix!r}"
                )
            _write_part(package, part, version, chosen, work / "files")
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if deb is not None:
            deb.unlink(missing_ok=True)


def _files_of(part: Part, decoded: Sequence[Decoded]) -> list[Decoded]:
    """The files of a part; halves are of all files of the package, in the order of their paths."""
    middle = (len(decoded) + 1) // 2
    files = decoded[:middle] if part.half == 1 else decoded[middle:] if part.half == 2 else decoded
    return [
        file
        for file in files
        if (not part.inside or part.inside in file.path.parts)
        and (not part.outside or part.outside not in file.path.parts)
    ]


def _write_part(package: Package, part: Part, version: str, decoded: Sequence[Decoded], root: Path) -> None:
    pieces, skipped, seen = [], [], set()
    for file in decoded:
        name = printable(file.path.relative_to(root))
        if file.pcm is None:
            skipped.append((name, file.reason))
        elif file.digest in seen:
            skipped.append((name, "duplicate"))
        else:
            seen.add(file.digest)
            pieces.append(Piece(name, file.digest, file.load()))
    stream = package.name + part.suffix
    write_stream(
        pieces, name=stream, path=f"recordings/{stream}.npy", role=part.role, kind=part.kind,
        licence=package.licence, package=package.name, version=version, skipped=skipped,
    )  # fmt: skip


def _remove_leaks() -> None:
    """Take out of a stream what an earlier stream of the package table holds too.

    The table is in the order train, dev, test, so nothing that is trained on stays in what is measured on.
    """
    owner: dict[str, str] = {}
    for stream in streams():
        kept = [file for file in stream.files if owner.setdefault(file.digest, stream.name) == stream.name]
        if len(kept) == len(stream.files):
            continue
        gone = [
            (file.name, f"also in {owner[file.digest]}") for file in stream.files if owner[file.digest] != stream.name
        ]
        audio = stream.load()
        write_stream(
            [Piece(file.name, file.digest, audio[file.start : file.start + file.samples]) for file in kept],
            name=stream.name, path=stream.path, role=stream.role, kind=stream.kind, licence=stream.licence,
            package=stream.package, version=stream.version, skipped=[*stream.skipped, *gone],
        )  # fmt: skip


def _check_disk(size: str) -> None:
    _, needed = size_and_disk(size)
    free = shutil.disk_usage(_folder()).free // 1_000_000
    if free < needed:
        raise SetupError(
            f"the recordings need {needed} MB of free disk in {_folder()} and there are {free} MB; free some, choose a "
            "smaller set, or another cache folder with --cache or WAKELARK_CACHE"
        )


def _report(size: str, fetched: tuple[str, ...], failed: dict[str, str], began: float) -> FetchReport:
    there = streams(size=size)
    lost = dict.fromkeys(ROLES, 0.0)
    for package in PACKAGES:
        for part in package.parts if package.name in failed else ():
            lost[part.role] += part.minutes
    return FetchReport(
        size=size,
        fetched=fetched,
        failed=failed,
        lost_minutes={role: minutes for role, minutes in lost.items() if minutes},
        minutes={role: round(sum(s.seconds for s in there if s.role == role) / 60, 1) for role in ROLES},
        skipped=dict(Counter(reason for stream in there for _, reason in stream.skipped)),
        seconds=round(time.monotonic() - began, 1),
    )
