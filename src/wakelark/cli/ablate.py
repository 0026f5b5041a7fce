"""`wakelark ablate`: which parts of the recipe help, measured in paired runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wakelark.cli.output import command_line, emit, note, progress_bar
from wakelark.errors import ConfigError


def ablate(
    phrase: Annotated[list[str], typer.Option(help="A phrase to run the grid on. Repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder of the ablation; the same command goes on in it.")],
    seeds: Annotated[int, typer.Option(help="Paired runs per phrase and arm.", min=1)] = 5,
    arms: Annotated[
        list[str] | None,
        typer.Option(help="headline, controls, all, names of arms, or a YAML file with others. Repeatable. [headline]"),
    ] = None,
    controls_on: Annotated[
        list[str] | None, typer.Option(help="A phrase that control arms run on, too. Repeatable. [the first phrase]")
    ] = None,
    positives: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PHRASE=DIR", help="Test recordings of a phrase: a folder or a list. Else synthetic voices."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file; see docs/configuration.md.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One key, dotted, for all arms.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="smoke, quick, standard or thorough.")] = None,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only make what all runs share: corpus, views, teachers, test sets.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Run arms x phrases x seeds, paired, and say which parts of the recipe help."""
    from wakelark.pipeline.ablation import AblationRequest
    from wakelark.pipeline.ablation import ablate as run
    from wakelark.pipeline.ablation_arms import DEFAULT, read_design

    names = arms or ["headline"]
    files = [name for name in names if name.endswith((".yaml", ".yml"))]
    if len(files) > 1:
        raise ConfigError(f"--arms {files[1]}: give one file with arms, not several")
    design = read_design(Path(files[0])) if files else DEFAULT
    chosen = [name for name in names if name not in files] or ["all"]
    request = AblationRequest(
        phrases=phrase, controls_on=controls_on or phrase[:1], seeds=seeds, design=design.choose(chosen),
        positives=_positives(positives or []), config=config, overrides=set_ or [], preset=preset,
        out=out, prepare_only=prepare, command=command_line(),
    )  # fmt: skip
    with progress_bar() as progress:
        result = run(request, progress=progress, warn=lambda message: note(f"note: {message}"))
    text = f"prepared: {', '.join(phrase)}" if prepare else (out / "ablation.md").read_text(encoding="utf-8")
    emit(result, json_output=json_output, text=text)


def _positives(words: list[str]) -> dict[str, Path]:
    found = {}
    for word in words:
        phrase, equals, place = word.partition("=")
        if not equals or not place:
            raise ConfigError(f'--positives {word}: write it as PHRASE=DIR, for instance "smart mirror=recordings"')
        found[phrase.strip()] = Path(place)
    return found
