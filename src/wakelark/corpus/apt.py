"""Debian packages, fetched and unpacked without being installed and without root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from wakelark.errors import SetupError

NO_APT = (
    "this machine has no apt-get and dpkg-deb (they come with Debian and Ubuntu), so the recordings cannot be fetched "
    "here; bring your own, as many hours without the phrase as you have, with --negatives DIR"
)


def apt_is_there() -> bool:
    """True when packages can be fetched and unpacked on this machine."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


class Apt:
    """Fetches packages into a folder of its own.

    The system's package lists are used when they know a package; else lists are fetched once, into the same folder,
    so that neither root nor a change to the system is needed.

    Args:
        folder: an existing empty folder; the caller deletes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._options: list[str] = []
        self._problem = ""

    def prepare(self, names: list[str]) -> None:
        """Fetch package lists when the system's do not have `names`. A failure shows when downloading."""
        if not names or not _run(["apt-get", "download", "--print-uris", *names], self._folder):
            return
        lists, cache = self._folder / "lists", self._folder / "apt-cache"
        (lists / "partial").mkdir(parents=True)
        (cache / "archives" / "partial").mkdir(parents=True)
        self._options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
        self._problem = _run(["apt-get", "update", "-q", *self._options], self._folder)

    def download(self, name: str, progress: Callable[[int], None]) -> Path:
        """Fetch a package; returns the `.deb`. `progress` is called with the bytes that have arrived.

        Raises:
            SetupError: it cannot be had, with what apt says.
        """
        # As root apt drops to a user that may not write here, and warns; the package is fetched all the same.
        problem = _run(
            ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *self._options, name],
            self._folder,
            lambda: progress(sum(file.stat().st_size for file in self._folder.glob(f"{name}_*.deb"))),
        )
        found = sorted(self._folder.glob(f"{name}_*.deb"))
        if problem or not found:
            raise SetupError(f"{name}: {problem or self._problem or 'apt-get brought no file'}")
        return found[0]


def unpack(deb: Path, folder: Path) -> str:
    """Unpack a package into `folder`; returns its version.

    Raises:
        SetupError: the package is damaged or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if problem := _run(["dpkg-deb", "-x", os.fspath(deb), os.fspath(folder)], deb.parent):
        raise SetupError(f"{deb.name} cannot be unpacked: {problem}")
    shown = subprocess.run(["dpkg-deb", "-f", os.fspath(deb), "Version"], capture_output=True, text=True, check=False)
    return shown.stdout.strip()


def _run(command: list[str], folder: Path, look: Callable[[], None] | None = None) -> str:
    """Run a command, calling `look` twice a second; returns "" or the first error lines it printed."""
    environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    try:
        while True:
            try:
                _, output = process.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                if look is not None:
                    look()
    finally:
        process.kill()  # nothing to do when it has ended; on Ctrl-C it must not go on writing
        process.wait()
    if process.returncode == 0:
        return ""
    lines = [line for line in output.splitlines() if line.startswith(("E:", "dpkg"))] or output.splitlines()
    return " ".join(lines[:2]) or f"{command[0]} ended with code {process.returncode}"
