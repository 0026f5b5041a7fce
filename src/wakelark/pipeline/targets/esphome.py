"""Target `esphome`: the student that was trained for it, as an int8 streaming model with its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from typing_extensions import override

from wakelark.audio import BadAudio
from wakelark.corpus.cache import write_atomically
from wakelark.errors import DataError, ModelError
from wakelark.pipeline.micro_model import MicroCard, load_micro
from wakelark.pipeline.scoring import Progress
from wakelark.pipeline.targets.decisions import allowed_points, expect
from wakelark.pipeline.targets.finished_run import SOUND_S, FinishedRun
from wakelark.pipeline.targets.micro_proof import FloatMicro, compare_engines
from wakelark.pipeline.targets.openwakeword import file_stem
from wakelark.pipeline.targets.target import ParityCheck, Target, Written, WrittenFile
from wakelark.tflite.lint import lint_file
from wakelark.tflite.manifest import MicroManifest, arena_for, manifest_for, side_file
from wakelark.tflite.micro_student import MicroModel, build_micro_student
from wakelark.tflite.tflm import measure_arena

APART, MEAN_APART = 24 / 256, 3 / 256
"""Between two interpreters, whose kernels round differently: of the smoothed score, at most, and of a score, on average
(`wakelark.tflite.run.run_everywhere` has what was measured)."""
AUTHOR = "wakelark"
PRESET = "normal"
_INSTALL = """\
Put `{stem}.json` and `{stem}.tflite` beside the device's YAML:

```yaml
micro_wake_word:
  models:
    - model: {stem}.json
  on_wake_word_detected:
    then:
      - voice_assistant.start:
```

The manifest holds the cutoff of the normal preset ({cutoff}); `{stem}.details.json` has the cutoffs of the others, to
be set as `probability_cutoff` beside `model`. On a computer:

```sh
pip install pymicro-wakeword
wakelark evaluate {stem}.json --positives my-recordings/
```

The manifest asks for {arena:,} bytes of memory; TFLite-Micro needed {smallest:,} on the machine that wrote it, a 32-bit
chip needs less. `wakelark lint {stem}.json` says whether it will boot.
"""


class EsphomeTarget(Target):
    """ESPHome's micro_wake_word, and everything that runs its models: pymicro-wakeword, Linux Voice Assistant."""

    name = "esphome"
    summary = "ESPHome micro_wake_word on an ESP32: an int8 streaming model and its manifest"
    packages = ("ai_edge_litert", "tflite_micro", "pymicro_wakeword", "pymicro_features")
    extra = "esphome"

    @override
    def lacks(self, run: FinishedRun) -> str:
        if not run.folder.has_micro:
            return (
                "this run has no student for ESPHome's front end; train it with: "
                f"{run.folder.resume_command} --for esphome"
            )
        if not run.clips_are_there:
            return (
                "the run's clips are no longer in the cache, and nothing says what 8 bits cost without them; make them "
                f"anew with: {run.folder.resume_command}"
            )
        return ""

    @override
    def write(self, run: FinishedRun, folder: Path, *, progress: Progress) -> Written:
        micro = load_micro(run.folder.root)
        card, stem = micro.card, file_stem(run.phrase)
        network = FloatMicro(
            student=micro.student, shift=card.logit_shift, smoothing_steps=card.smoothing_steps,
            threshold=card.preset(PRESET).threshold,
        )  # fmt: skip
        progress(0, 2, "written and run in every interpreter")
        model = build_micro_student(micro.student, shift=card.logit_shift, features=micro.calibration)
        smallest = _smallest_arena(model.data)
        manifest = _write_files(folder, stem, model, card, smallest)
        notes = _lint(folder / f"{stem}.json")
        progress(1, 2, "written and run in every interpreter")
        engines = compare_engines(model.data, network, run.sound.audio, arena_bytes=arena_for(smallest))
        progress(2, 2, "written and run in every interpreter")
        names, over = ", ".join(engines.engines), f"over {SOUND_S} s of {run.sound.what}"
        # In float the same weights have a threshold of their own.
        real = replace(network, shift=card.float_logit_shift)
        misses, told = _misses(run, real, folder / f"{stem}.json", progress)
        apart = f"largest difference of the smoothed score between {names}, {over}"
        parity = [
            ParityCheck(what=apart, figure=engines.apart, allowed=APART),
            ParityCheck(what="mean difference of a score between them", figure=engines.mean_apart, allowed=MEAN_APART),
            misses,
        ]
        tuned = card.measured["quantisation"]
        if tuned["fine_tuned"]:
            notes.append(
                f"fine-tuned in 8 bits: plain quantisation missed {tuned['missed_in_8_bits']} of "
                f"{tuned['development_clips']} development clips, {tuned['missed']} in float; now "
                f"{tuned['missed_tuned_in_8_bits']}"
            )
        facts: dict[str, object] = {
            "smallest_arena_bytes": smallest, "variables": model.facts.variables,
            "state_bytes": model.facts.state_bytes, "parameters": model.facts.parameters,
            "multiplications_per_step": model.facts.multiplications, "step_ms": 10 * model.facts.frames_per_step,
            "from_float": engines.from_float, "mean_from_float": engines.mean_from_float, **told,
        }  # fmt: skip
        files = [
            WrittenFile(
                name=f"{stem}.tflite", what="the network, 8 bits, its state inside", model="micro", facts=facts
            ),
            WrittenFile(name=f"{stem}.json", what="the manifest that ESPHome reads", facts={"cutoff": manifest.cutoff}),
            WrittenFile(name=f"{stem}.details.json", what="what the manifest has no key for: cutoffs, sizes, the card"),
        ]
        install = _INSTALL.format(stem=stem, cutoff=manifest.cutoff, arena=manifest.arena_bytes, smallest=smallest)
        return Written(files=files, parity=parity, install=install, notes=notes)


def _smallest_arena(data: bytes) -> int:
    arena = measure_arena(data)
    if arena.smallest_bytes is None:
        raise ModelError(f"TFLite-Micro does not start the model in any arena: {arena.reason}; nothing was written")
    return arena.smallest_bytes


def _write_files(folder: Path, stem: str, model: MicroModel, card: MicroCard, smallest: int) -> MicroManifest:
    manifest = manifest_for(
        card, threshold=card.preset(PRESET).threshold, model=f"{stem}.tflite", author=AUTHOR, website="",
        smallest_arena_bytes=smallest,
    )  # fmt: skip
    write_atomically(folder / f"{stem}.tflite", model.data)
    write_atomically(folder / f"{stem}.json", manifest.to_json().encode())
    details = side_file(card, model.facts, smallest_arena_bytes=smallest)
    write_atomically(folder / f"{stem}.details.json", details.encode())
    return manifest


def _lint(manifest: Path) -> list[str]:
    """What the linter warns of.

    Raises:
        ModelError: a device would not run it.
    """
    lint = lint_file(manifest)
    if not lint.boots:
        raise ModelError(f"no device would run it: {lint.findings[0].text}; nothing was written")
    return [finding.text for finding in lint.findings]


def _misses(
    run: FinishedRun, network: FloatMicro, manifest: Path, progress: Progress
) -> tuple[ParityCheck, Mapping[str, object]]:
    """Misses of the float network and of the written files, cutoff and mean of the manifest included."""
    clips = run.positives("dev", "test")
    try:
        before = network.missed(clips, seed=run.config.seed)
    except BadAudio as error:
        raise DataError(f"a clip of the run cannot be read: {error}; run with --resume to make it") from error
    found, expected = expect(run, manifest, progress=progress)
    what = "points of miss rate in pymicro-wakeword, above the float network, on"
    check = ParityCheck(
        what=f"{what} {len(clips)} development and test clips",
        figure=100 * (found.missed - before) / found.clips, allowed=allowed_points(found.clips),
    )  # fmt: skip
    told: dict[str, object] = {"clips": found.clips, "missed": found.missed, "missed_by_float": before}
    return check, told | {"expected": expected}
