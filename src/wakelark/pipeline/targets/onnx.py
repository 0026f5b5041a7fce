"""Target `onnx`: both models as the run has them, proven once more, and with their weights in int8 where that holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from typing_extensions import override

from wakelark.corpus.cache import write_atomically
from wakelark.export.int8 import quantise_weights
from wakelark.model_card import ModelCard
from wakelark.pipeline.scoring import Progress
from wakelark.pipeline.targets.decisions import allowed_points, compare
from wakelark.pipeline.targets.finished_run import FinishedRun
from wakelark.pipeline.targets.own_files import check_own_file
from wakelark.pipeline.targets.target import ParityCheck, Target, Written, WrittenFile
from wakelark.runtime.backend import Backend
from wakelark.runtime.detector import Detector
from wakelark.runtime.model_file import read_model_file

_INSTALL = """\
```sh
pip install wakelark        # no torch; numpy and onnxruntime
wakelark listen {name}
```

```python
from wakelark import Detector

detector = Detector.load("{name}")
for hit in detector.process(chunk):  # 16 kHz, int16 or float, any length
    print(hit.phrase, hit.time_s, hit.score)
```

Every file takes raw audio and an explicit state and holds its own card (phrase, threshold, presets, provenance), which
also lies beside it as `.json`. `model.onnx` is the accurate one, for computers and a Raspberry Pi; `model_tiny.onnx`
costs a fraction of it. Together: `wakelark listen model_tiny.onnx --judge model.onnx`.
"""


@dataclass(slots=True)
class _Progress:
    """What has been written so far."""

    files: list[WrittenFile] = field(default_factory=list)
    parity: list[ParityCheck] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class OnnxTarget(Target):
    """Streaming ONNX files for `wakelark.Detector` and any other program with onnxruntime."""

    name = "onnx"
    summary = "Python, or any program with onnxruntime: raw audio in, scores out"

    @override
    def lacks(self, run: FinishedRun) -> str:
        return ""

    @override
    def write(self, run: FinishedRun, folder: Path, *, progress: Progress) -> Written:
        found = _Progress()
        models = (("accurate", run.folder.accurate), ("tiny", run.folder.tiny))
        for done, (name, source) in enumerate(models):
            progress(done, len(models), "models compared with torch")
            _write_float(run, name, source, folder, found)
        progress(len(models), len(models), "models compared with torch")
        for name, source in models:
            _write_int8(run, name, source, folder, found, progress)
        return Written(
            files=found.files, parity=found.parity, install=_INSTALL.format(name="model.onnx"), notes=found.notes
        )


def _write_float(run: FinishedRun, name: str, source: Path, folder: Path, found: _Progress) -> None:
    """The file of the run as it is, if it still says what the trained network says."""
    checks = [check_own_file(run, name, generated=generated) for generated in (True, False)]
    data = read_model_file(source)
    card = Backend(data, name=str(source)).card
    found.parity += checks
    facts = _facts(data, card) | {"weights": "float32", "difference": max(check.figure for check in checks)}
    _keep(folder / source.name, data, card)
    what = "the accurate model" if name == "accurate" else "the tiny model"
    found.files.append(WrittenFile(name=source.name, what=f"{what}, float32", model=name, facts=facts))


def _write_int8(run: FinishedRun, name: str, source: Path, folder: Path, found: _Progress, progress: Progress) -> None:
    """The same with int8 weights, where that costs no more than `INT8_POINTS` of the run's own clips."""
    target = folder / f"{source.stem}.int8.onnx"
    if not run.clips_are_there:
        found.notes.append(
            f"{target.name} was not written: the run's clips are no longer in the cache, so nothing says what int8 "
            f"costs; make them anew with: {run.folder.resume_command}"
        )
        return
    data = quantise_weights(read_model_file(source))
    card = Backend(data, name=target.name).card
    _keep(target, data, card)
    change = compare(run, source, target, progress=progress)
    allowed = allowed_points(change.clips)
    if change.points > allowed:
        found.notes.append(
            f"{target.name} was not written: with int8 weights the model misses {change.missed} instead of "
            f"{change.missed_before} of {change.clips} clips, {change.points:.1f} points more, allowed are "
            f"{allowed:.2g}"
        )
        target.unlink()
        target.with_name(f"{target.name}.json").unlink()
        return
    difference = _difference(source, target, run)
    found.parity.append(
        ParityCheck(
            what=f"{target.name}: points of miss rate on {change.clips} development and test clips, above float32",
            figure=change.points, allowed=allowed,
        )
    )  # fmt: skip
    facts = _facts(data, card) | {"weights": "int8", "difference": difference, "against_float": change.facts()}
    what = "the accurate model" if name == "accurate" else "the tiny model"
    found.files.append(
        WrittenFile(name=target.name, what=f"{what}, int8 weights: same work, smaller file", model=name, facts=facts)
    )


def _keep(path: Path, data: bytes, card: ModelCard) -> None:
    write_atomically(path, data)
    write_atomically(path.with_name(f"{path.name}.json"), card.to_json().encode())


def _difference(first: Path, second: Path, run: FinishedRun) -> float:
    """The largest difference of a score between two files over the run's own sound."""
    scores = [np.array(Detector.load(path).score(run.sound.audio)) for path in (first, second)]
    return float(np.abs(scores[0] - scores[1]).max())


def _facts(data: bytes, card: ModelCard) -> dict[str, Any]:
    opsets: Mapping[str, int] = {
        part.domain or "ai.onnx": part.version for part in onnx.load_model_from_string(data).opset_import
    }
    return {
        "opset": opsets["ai.onnx"], "step_samples": card.step_samples, "state_values": card.state_size,
        "parameters": card.parameters,
    }  # fmt: skip
