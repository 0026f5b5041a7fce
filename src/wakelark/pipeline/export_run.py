"""`wakelark export`: a finished run's files for each target, all of a target or nothing, and a page that explains them.

Each target is written into a folder beside its own, checked there, and renamed. `export.json` holds what was measured,
and so which folders are wakelark's own and may be replaced by a later export.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wakelark import __version__
from wakelark.audio import printable
from wakelark.corpus.cache import write_atomically
from wakelark.errors import ConfigError, ModelError, SetupError
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.scoring import Progress
from wakelark.pipeline.targets.finished_run import FinishedRun
from wakelark.pipeline.targets.page import export_page
from wakelark.pipeline.targets.registry import find_targets
from wakelark.pipeline.targets.target import Target, Written

RECORD = "export.json"
PAGE = "EXPORT.md"
WRITTEN, FAILED, NOT_POSSIBLE = "written", "failed", "not possible"


def export_run(folder: RunFolder, names: Sequence[str], out: Path, *, progress: Progress) -> dict[str, Any]:
    """Write targets of a finished run.

    Args:
        folder: of the run.
        names: which targets; none for all that the run can give.
        out: gets a folder per target, `EXPORT.md` and `export.json`.
        progress: called with (done, total, what).

    Returns:
        What `export.json` says of this call: its keys are in docs/export.md.

    Raises:
        ConfigError: no such target or run, a target that was asked for and that the run cannot give, or a folder in
            `out` that no export wrote.
        ModelError: the run is not finished.
        BusyError: the run is being trained.
        SetupError: `out` cannot be written, or a package is missing that a target needs which was asked for.
    """
    targets = find_targets(list(names))
    folder.check_run()
    with folder.hold(resume=True):
        run = FinishedRun(folder)
        lacking = {target.name: _lacks(target, run, asked=bool(names)) for target in targets}
        earlier = _earlier(out)
        for target in targets:
            _check_place(out / target.name, earlier)
        entries = [
            _entry(target, NOT_POSSIBLE) | {"reason": lacking[target.name]}
            if lacking[target.name] else _export(target, run, out, progress)
            for target in targets
        ]  # fmt: skip
    new = {entry["name"]: entry for entry in entries}
    # A target that fails leaves the files of an earlier export, and what was said of them, as they are.
    kept = {name: entry for name, entry in earlier.items() if new.get(name, {}).get("status") != WRITTEN}
    written = kept | {name: entry for name, entry in new.items() if entry["status"] == WRITTEN}
    record = {
        "wakelark_version": __version__, "phrase": run.phrase, "run": printable(folder.root),
        "targets": [written[name] for name in sorted(written)],
    }  # fmt: skip
    write_atomically(out / RECORD, json.dumps(record, indent=1, allow_nan=False).encode())
    write_atomically(out / PAGE, export_page(run.phrase, run.report, record["targets"]).encode())
    return record | {"out": printable(out), "page": printable(out / PAGE), "targets": entries}


def has_failed(result: Mapping[str, Any]) -> bool:
    """Whether a target of a result failed its check."""
    return any(entry["status"] == FAILED for entry in result["targets"])


def _lacks(target: Target, run: FinishedRun, *, asked: bool) -> str:
    """Why a target cannot be given, "" where it can; an error where it was asked for by name."""
    unfit, missing = target.lacks(run), target.missing_package()
    if asked and unfit:
        raise ConfigError(f"--to {target.name}: {unfit}")
    if asked and missing:
        raise SetupError(f"--to {target.name}: {missing}")
    return unfit or missing


def _export(target: Target, run: FinishedRun, out: Path, progress: Progress) -> dict[str, Any]:
    """One target, whole or not at all."""
    place, temporary = out / target.name, out / f".{target.name}-{uuid.uuid4().hex[:8]}"

    def named(done: int, total: int, what: str) -> None:
        progress(done, total, f"{target.name}: {what}")

    try:
        _make(temporary)
        try:
            written = target.write(run, temporary, progress=named)
        except ModelError as error:
            return _entry(target, FAILED) | {"reason": str(error)}
        entry = _entry(target, WRITTEN) | _facts(written, temporary) | {"folder": printable(place)}
        _replace(temporary, place)
        return entry
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _entry(target: Target, status: str) -> dict[str, Any]:
    return {"name": target.name, "summary": target.summary, "status": status}


def _facts(written: Written, folder: Path) -> dict[str, Any]:
    """What a target wrote, as plain data.

    Raises:
        FileNotFoundError: the target names a file that it did not write.
    """
    return {
        "files": [
            dataclasses.asdict(file) | {"size_bytes": (folder / file.name).stat().st_size} for file in written.files
        ],
        "parity": [dataclasses.asdict(check) for check in written.parity],
        "notes": list(written.notes),
        "install": written.install,
    }


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise SetupError(f"cannot write {folder.parent}: {error.strerror}; choose another folder with --out") from error


def _replace(temporary: Path, place: Path) -> None:
    old = place.with_name(f".old-{temporary.name.lstrip('.')}")
    if place.exists():
        os.replace(place, old)
    os.replace(temporary, place)
    shutil.rmtree(old, ignore_errors=True)


def _earlier(out: Path) -> dict[str, dict[str, Any]]:
    """What an earlier export wrote here, by target."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder")
    record = out / RECORD
    if not record.is_file():
        return {}
    try:
        return {entry["name"]: entry for entry in json.loads(record.read_text(encoding="utf-8"))["targets"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{record} was not written by wakelark ({error!r}); choose another folder with --out"
        ) from error


def _check_place(place: Path, earlier: Mapping[str, object]) -> None:
    if place.exists() and place.name not in earlier:
        raise ConfigError(f"{place} is there and no export wrote it; move it away, or choose another folder with --out")
