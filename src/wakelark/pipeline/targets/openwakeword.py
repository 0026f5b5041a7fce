"""Target `openwakeword`: the accurate model's heads for programs that compute openWakeWord's embeddings themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from typing_extensions import override

from wakelark.audio import SAMPLE_RATE, Float32Array
from wakelark.corpus.cache import write_atomically
from wakelark.errors import ModelError
from wakelark.export.open_wake_word import OPENWAKEWORD_STEPS, open_wake_word_onnx, steps_needed
from wakelark.features.embedding import EMBEDDING_SIZE
from wakelark.models.heads import HeadEnsemble
from wakelark.peers.openwakeword import run_head
from wakelark.peers.scorer import spoken
from wakelark.peers.tflite_file import read_signature
from wakelark.pipeline.cards import card_of
from wakelark.pipeline.run_folder import slug
from wakelark.pipeline.scoring import Progress
from wakelark.pipeline.targets.decisions import compare
from wakelark.pipeline.targets.finished_run import FinishedRun
from wakelark.pipeline.targets.own_files import check_own_file
from wakelark.pipeline.targets.target import ParityCheck, Target, Written, WrittenFile
from wakelark.runtime.backend import open_session, run_session
from wakelark.tflite.open_wake_word import open_wake_word_tflite

TOLERANCE = 1e-3
TORCH_TOLERANCE = 1e-4
MOST_CLIPS = 100
"""That runtime needs about 0.1 s per second of audio: so many clips are heard to compare misses, and no recordings."""
_SHAPES = ("float32", (1, OPENWAKEWORD_STEPS, EMBEDDING_SIZE), (1, 1))
_INSTALL = """\
The probability is calibrated and already averaged: 0.5 is the normal preset, so leave threshold 0.5 and trigger level 1
as they are.

Home Assistant, add-on openWakeWord: copy `{stem}.tflite` into the folder `openwakeword` of the share
(`/share/openwakeword`), restart the add-on, and choose "{spoken}" under Settings, Voice assistants. With Docker:

```sh
docker run -p 10400:10400 -v "$PWD:/custom" rhasspy/wyoming-openwakeword --custom-model-dir /custom
```

Python, package openwakeword:

```python
from openwakeword.model import Model

model = Model(wakeword_models=["{stem}.onnx"], inference_framework="onnx")
score = model.predict(chunk)["{stem}"]  # 1,280 samples of int16
```

These programs compute the speech embedding with a front end of their own, which in near-silence gives other values than
`model.onnx`, and they cost several times as much CPU: where you can choose, run `model.onnx` (`wakelark serve`).
"""


class OpenWakeWordTarget(Target):
    """`[1, 16, 96] -> [1, 1]`: TFLite for wyoming-openwakeword and pyopen-wakeword, ONNX for openWakeWord in Python."""

    name = "openwakeword"
    summary = "openWakeWord and Home Assistant's add-on of that name: TFLite and ONNX on its speech embedding"
    packages = ("pyopen_wakeword",)
    extra = "bench"

    @override
    def lacks(self, run: FinishedRun) -> str:
        context, averaged = run.config.teacher.context_steps, card_of(run.folder.accurate).smoothing_steps
        needed = steps_needed(context, averaged)
        if needed <= OPENWAKEWORD_STEPS:
            return ""
        return (
            f"the heads look at {context} embeddings and their scores are averaged over {averaged} steps: that takes "
            f"{needed}, and an openWakeWord model gets {OPENWAKEWORD_STEPS}; train with a smaller "
            "teacher.context_steps, or a smaller evaluation.smoothing_s"
        )

    @override
    def write(self, run: FinishedRun, folder: Path, *, progress: Progress) -> Written:
        same = check_own_file(run, "accurate")
        card, stem = card_of(run.folder.accurate), file_stem(run.phrase)
        tflite, onnx = folder / f"{stem}.tflite", folder / f"{stem}.onnx"
        averaged, shift = card.smoothing_steps, card.logit_shift
        write_atomically(tflite, open_wake_word_tflite(run.heads, shift, averaged=averaged))
        write_atomically(onnx, open_wake_word_onnx(run.heads, shift, averaged=averaged))
        _check_shapes(tflite)
        progress(0, 1, "heard by pyopen-wakeword")
        windows, scores = run_head(tflite, run.sound.audio)
        progress(1, 1, "heard by pyopen-wakeword")
        by_onnx = _run_onnx(onnx, windows)
        expected = _by_torch(run.heads, shift, averaged, windows)
        sound = f"{len(run.sound.audio) / SAMPLE_RATE:.0f} s of {run.sound.what}, on that runtime's own embeddings"
        parity = [
            same,
            ParityCheck(
                what=f"largest difference between {tflite.name} in pyopen-wakeword and {onnx.name} in onnxruntime, "
                f"over {sound}",
                figure=_largest(scores, by_onnx), allowed=TOLERANCE,
            ),
            ParityCheck(
                what=f"{onnx.name}: largest difference of a score to torch, on the same embeddings",
                figure=_largest(by_onnx, expected), allowed=TORCH_TOLERANCE,
            ),
        ]  # fmt: skip
        facts: dict[str, object] = {
            "input": [1, OPENWAKEWORD_STEPS, EMBEDDING_SIZE],
            "highest_score": float(scores.max()),
        }
        notes: list[str] = []
        told = self._against_own(run, tflite, progress, notes)
        return Written(
            files=[
                WrittenFile(
                    name=tflite.name, what="for wyoming-openwakeword, Home Assistant, pyopen-wakeword",
                    model="accurate", facts=facts | told,
                ),
                WrittenFile(name=onnx.name, what="for openWakeWord in Python", model="accurate", facts=facts),
            ],
            parity=parity, install=_INSTALL.format(stem=stem, spoken=spoken(stem)), notes=notes,
        )  # fmt: skip

    def _against_own(
        self, run: FinishedRun, tflite: Path, progress: Progress, notes: list[str]
    ) -> dict[str, dict[str, object]]:
        """What that runtime's own front end costs: misses beside those of `model.onnx`."""
        if not run.clips_are_there:
            notes.append(
                "how many clips it misses in pyopen-wakeword was not measured: they are no longer in the cache; make "
                f"them anew with: {run.folder.resume_command}"
            )
            return {}
        change = compare(run, run.folder.accurate, tflite, progress=progress, most_clips=MOST_CLIPS, most_hours=0)
        return {"against_model_onnx": change.facts()}


def file_stem(phrase: str) -> str:
    """What an openWakeWord model of a phrase is called: programs show the name without its underscores.

    There is no version in it: of `hey_computer_v1.0`, some releases of wyoming-openwakeword show the version, too.

    >>> file_stem("Hey, Computer!")
    'hey_computer'
    """
    return slug(phrase).replace("-", "_")


def _check_shapes(path: Path) -> None:
    """openWakeWord's programs read these from the file, and none can do with free ones."""
    signature = read_signature(path.read_bytes(), name=path.name)
    (given,), (gives,) = signature.inputs, signature.outputs
    if (given.kind, given.shape, gives.shape) != _SHAPES or gives.kind != given.kind:
        raise ModelError(f"{path.name} {signature.text}, but must take and give {_SHAPES}; nothing was written")


def _run_onnx(path: Path, windows: Float32Array) -> Float32Array:
    session = open_session(path.read_bytes(), name=path.name)
    scores = [run_session(session, ["score"], {"embeddings": window[None]}, name=path.name)[0] for window in windows]
    return np.array(scores, np.float32).reshape(-1)


def _by_torch(heads: HeadEnsemble, shift: float, averaged: int, windows: Float32Array) -> Float32Array:
    with torch.inference_mode():
        each = torch.sigmoid(heads.eval()(torch.from_numpy(windows)) + shift)
        return each[:, -averaged:].mean(1).numpy()


def _largest(first: Float32Array, second: Float32Array) -> float:
    """NaN where there is nothing to compare, which no check lets through."""
    return float(np.abs(first - second).max()) if len(first) and len(first) == len(second) else float("nan")
