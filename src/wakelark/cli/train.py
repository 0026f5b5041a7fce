"""`wakelark train PHRASE`: from a phrase to models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wakelark.cli.output import emit, note, progress_bar
from wakelark.errors import ConfigError


def train(
    phrase: Annotated[
        str, typer.Argument(help="The wake phrase, as it is written. Not needed with --resume --out.")
    ] = "",
    config: Annotated[Path | None, typer.Option(help="YAML file; see docs/configuration.md.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One key, dotted.")] = None,
    pronunciation: Annotated[
        list[str] | None, typer.Option(help="Another spelling, or espeak phonemes in [[...]]. Repeatable.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="espeak's language name, for instance en-us.")] = None,
    positives: Annotated[Path | None, typer.Option(help="Folder with own recordings of the phrase.")] = None,
    negatives: Annotated[Path | None, typer.Option(help="Folder with own recordings without the phrase.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. [runs/<phrase>/]")] = None,
    preset: Annotated[str | None, typer.Option(help="smoke, quick, standard or thorough.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    for_: Annotated[
        list[str] | None, typer.Option("--for", metavar="TARGET", help="onnx or esphome. Repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """From a phrase to models: synthesise, train a teacher, mine, distil a student, measure, export."""
    from wakelark.pipeline.settings import TARGETS, Request, settle

    if unknown := [target for target in for_ or [] if target not in TARGETS]:
        raise ConfigError(f"--for {unknown[0]}: not a target; models are trained for {', '.join(TARGETS)}")
    request = Request(
        phrase=phrase, config=config, overrides=set_ or [], pronunciations=pronunciation or [], language=language,
        positives=positives, negatives=negatives, out=out, preset=preset, device=device, resume=resume,
        targets=for_ or [],
    )  # fmt: skip
    folder, settings = settle(request)
    if not resume:
        from wakelark.pipeline.preflight import preflight

        for risk in preflight(settings):
            note(f"{risk.level}: {risk.what}; {risk.why}; {risk.remedy}")
    else:
        from wakelark.pipeline.teachers import check_teachers

        check_teachers(settings)
    from wakelark.pipeline.micro import check_micro

    if footprint := check_micro(settings):
        note(f"for ESPHome: {footprint.text}")
    announce_fetch(settings.corpus.recordings)
    from wakelark.pipeline.summary import summary_text
    from wakelark.pipeline.train import train as run_train

    with progress_bar() as progress:
        report = run_train(settings, folder, resume=resume, device=device, progress=progress)
    emit(report, json_output=json_output, text=summary_text(report, folder))


def announce_fetch(size: str) -> None:
    """Say what a first run is about to bring, or that it cannot."""
    from wakelark.corpus.apt import apt_is_there
    from wakelark.corpus.cache import cache_folder
    from wakelark.corpus.recordings import fetch_recordings, missing, size_and_disk

    absent = missing(size)
    if absent and not apt_is_there():
        note("\n".join(fetch_recordings(size, workers=1, progress=lambda done, total, what: None).warnings()))
    elif absent:
        download, disk = size_and_disk(size)
        note(
            f"first run: {len(absent)} packages of recordings, {download} MB to download once for all phrases, "
            f"{disk} MB of free disk needed in {cache_folder()}"
        )
