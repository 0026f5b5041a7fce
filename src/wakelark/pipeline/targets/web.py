"""Target `web`: a folder for any static web server, tried in a headless Chromium before it is kept."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from typing_extensions import override

from wakelark.audio import Float32Array, Int16Array, write_wav
from wakelark.errors import ModelError
from wakelark.export.web.chromium import find_browser
from wakelark.export.web.folder import WebModel, write_folder
from wakelark.export.web.runtime_files import VERSION, why_missing
from wakelark.export.web.trial import PageSteps, PageTrial, opened
from wakelark.pipeline.scoring import Progress
from wakelark.pipeline.targets.finished_run import FinishedRun
from wakelark.pipeline.targets.own_files import check_own_file
from wakelark.pipeline.targets.target import ParityCheck, Target, Written, WrittenFile
from wakelark.runtime.backend import Backend
from wakelark.runtime.detector import Detector
from wakelark.runtime.model_file import read_model_file

TOLERANCE = 1e-3
"""A score on the page may differ from Python's by so much."""
LISTEN_S = 6.0
"""How long the page listens to the fake microphone, in real time."""
_INSTALL = """\
```sh
cd web && python -m http.server   # then open http://localhost:8000
```

Any static server will do: plain files, no special headers, nothing loaded from elsewhere. A browser gives a microphone
only to pages from `https://` or `localhost`; opened as a file (`file://`) the page does not work, as browsers load
no modules from there. In a page of your own:

```js
import { Detector } from "./wakelark.js";

const detector = await Detector.load("model_tiny.onnx", { preset: "normal" });
for (const hit of await detector.process(chunk)) console.log(hit.phrase, hit.time);  // Float32Array, 16 kHz mono
```
"""


class WebTarget(Target):
    """A page with microphone and score trace, and a JavaScript module."""

    name = "web"
    summary = "a web page that listens, and a JavaScript module for your own"

    @override
    def missing_package(self) -> str:
        if find_browser() is None:
            return "no Chromium, which tries the page before it is kept, is installed; sudo apt install chromium"
        return why_missing()

    @override
    def lacks(self, run: FinishedRun) -> str:
        return ""

    @override
    def write(self, run: FinishedRun, folder: Path, *, progress: Progress) -> Written:
        browser = find_browser()
        if browser is None:
            raise ModelError(self.missing_package())
        models = [_model(name, file) for name, file in (("tiny", run.folder.tiny), ("accurate", run.folder.accurate))]
        parity: list[ParityCheck] = []
        for done, model in enumerate(models):
            progress(done, len(models), "models compared with torch")
            parity.append(check_own_file(run, model.name))
        progress(len(models), len(models), "models compared with torch")
        others = write_folder(folder, models)
        with tempfile.TemporaryDirectory(prefix="wakelark-web-") as scratch:
            wav = Path(scratch) / "sound.wav"
            write_wav(wav, run.sound.audio)
            with opened(folder, browser, microphone=wav) as page:
                parity += _checks(page, models, wav, run.sound.audio, progress)
        sizes = {model.name: {"step_samples": model.card.step_samples} for model in models}
        files = [
            WrittenFile(name=model.file, what=f"the {model.name} model", model=model.name, facts=sizes[model.name])
            for model in models
        ] + [WrittenFile(name=name, what=what) for name, what in others.items()]
        note = f"ONNX Runtime Web {VERSION} is MIT-licensed: keep its licence files with it"
        return Written(files=files, parity=parity, install=_INSTALL, notes=[note])


def _model(name: str, file: Path) -> WebModel:
    data = read_model_file(file)
    return WebModel(name, file.name, data, Backend(data, name=str(file)).card)


def _checks(
    page: PageTrial, models: list[WebModel], wav: Path, audio: Int16Array, progress: Progress
) -> list[ParityCheck]:
    """The page against Python: every model by a recording, the first by the microphone, too."""
    checks = []
    for done, model in enumerate(models):
        progress(done, len(models) + 1, "models tried in Chromium")
        page.choose_model(model.name)
        checks += compared(model, page.score_file(wav), audio, f"{model.file}, a recording on the page")
    progress(len(models), len(models) + 1, "models tried in Chromium")
    page.choose_model(models[0].name)
    heard = page.listen(LISTEN_S)
    if not np.any(heard.audio):
        raise ModelError("the page heard nothing but silence from its fake microphone; nothing was written")
    checks += compared(models[0], heard, heard.audio, f"{models[0].file}, {LISTEN_S:g} s from the page's microphone")
    progress(len(models) + 1, len(models) + 1, "models tried in Chromium")
    return checks


def compared(model: WebModel, page: PageSteps, audio: Int16Array | Float32Array, what: str) -> list[ParityCheck]:
    """Scores, smoothed scores and detections of the page against those of `Detector` on the same samples.

    Raises:
        ModelError: they differ, with the figure.
    """
    backend = Backend(model.data, name=model.file)
    scores = np.array(Detector(backend).score(audio), np.float32)
    decisive = np.array(Detector(backend).follow(audio), np.float32)
    times = [hit.time_s for hit in Detector(backend).process(audio)]
    # A microphone is read while it runs: the last steps may be told after the samples were taken.
    count = min(len(scores), len(page.scores))
    if count == 0 or abs(len(scores) - len(page.scores)) * model.card.step_samples > 16_000:
        raise ModelError(f"{what}: {len(page.scores)} scores, in Python {len(scores)}; nothing was written")
    until = count * model.card.step_samples / 16_000
    wrong = {round(time, 3) for time in times if time <= until} ^ {
        round(time, 3) for time in page.detections if time <= until
    }
    return [
        ParityCheck(
            what=f"{what}: largest difference of a score to Python",
            figure=float(np.abs(scores[:count] - page.scores[:count]).max()), allowed=TOLERANCE,
        ),
        ParityCheck(
            what=f"{what}: largest difference of a smoothed score",
            figure=float(np.abs(decisive[:count] - page.decisive[:count]).max()), allowed=TOLERANCE,
        ),
        ParityCheck(what=f"{what}: detections at another time", figure=float(len(wrong)), allowed=0.0),
    ]  # fmt: skip
