"""`wakelark fetch`: voices and recordings without the phrase, once for all phrases."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from wakelark.cli.output import emit, note, progress_bar
from wakelark.errors import Interrupted, SetupError

if TYPE_CHECKING:
    from wakelark.corpus.recordings import FetchReport


def fetch(
    size: Annotated[str, typer.Option("--set", metavar="SET", help="quick, standard or thorough.")] = "standard",
    cache: Annotated[
        Path | None, typer.Option(help="Where to keep them. [$WAKELARK_CACHE or ~/.cache/wakelark]")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that decode. [one per core]")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Delete what was fetched instead.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Bring the voices and the recordings without the phrase, once for all phrases; goes on where it was stopped."""
    from wakelark.corpus.cache import cache_folder
    from wakelark.corpus.recordings import fetch_recordings, missing, size_and_disk

    if cache is not None:
        os.environ["WAKELARK_CACHE"] = str(cache.expanduser().resolve())
    if clean:
        return _clean(json_output=json_output)
    absent = missing(size)
    if absent:
        download, disk = size_and_disk(size)
        note(f"{len(absent)} packages, {download} MB to download, {disk} MB of free disk needed in {cache_folder()}")
    with _stoppable(f"wakelark fetch --set {size}"), progress_bar() as progress:
        voices, voices_problem = _fetch_voices()
        report = fetch_recordings(size, workers=workers or os.cpu_count() or 1, progress=progress)
    data: dict[str, object] = dataclasses.asdict(report)
    data |= {"cache": str(cache_folder()), "kokoro_voices": voices, "kokoro_problem": voices_problem}
    emit(data, json_output=json_output, text=report_text(report, str(cache_folder())))
    if voices_problem:
        note(f"warning: {voices_problem}")
    if report.failed and len(report.failed) == len(absent):
        raise SetupError(f"no recordings could be fetched: {next(iter(report.failed.values()))}")


def report_text(report: FetchReport, cache: str) -> str:
    """A fetch report for people."""
    hours = ", ".join(f"{role} {minutes / 60:.2f} h" for role, minutes in report.minutes.items())
    lines = [f"recordings in {cache}: {hours}"]
    if report.fetched:
        lines.append(f"fetched {len(report.fetched)} packages in {report.seconds:.0f} s")
    if report.skipped:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(report.skipped.items()))
        lines.append(f"files left out: {counts}")
    return "\n".join([*lines, *report.warnings()])


@contextmanager
def _stoppable(command: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM end with a message; what is under way is cleaned up, what is finished stays."""

    def stop(number: int, _: FrameType | None) -> None:
        raise Interrupted(f"stopped; what is finished stays. Go on with: {command}", number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fetch_voices() -> tuple[int, str]:
    """(Kokoro voices there are, "" or why there are not more)."""
    from wakelark.corpus.engines.kokoro import fetch_kokoro_voices

    try:
        return fetch_kokoro_voices(), ""
    except SetupError as error:
        return 0, str(error)


def _clean(*, json_output: bool) -> None:
    from wakelark.corpus.cache import cache_folder
    from wakelark.corpus.recordings import clean

    freed = clean()
    text = f"deleted {freed / 1e6:.0f} MB from {cache_folder()}; synthesised speech stays"
    emit({"freed_bytes": freed, "cache": str(cache_folder())}, json_output=json_output, text=text)
