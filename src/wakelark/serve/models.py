"""The models of a server: each file is loaded once, and every client gets detectors of its own from it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wakelark.errors import ConfigError, DataError
from wakelark.runtime.backend import Backend, read_model
from wakelark.runtime.detector import Detector
from wakelark.runtime.judge import Judge

_NAMES_OF_A_RUN = {"model", "model_tiny"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FiresAt:
    """The operating point of all models of a server; None leaves what the model's card says.

    Attributes:
        threshold: of the smoothed score; with a judge, what wakes that.
        preset: "strict", "normal" or "sensitive" instead.
        judge_threshold: of the judge's verdict.
        refractory_s: seconds the score must stay below the threshold before it can fire again.
    """

    threshold: float | None = None
    preset: str | None = None
    judge_threshold: float | None = None
    refractory_s: float | None = None


class ServedModel:
    """A model under its name.

    Attributes:
        name: what clients ask for.
        backend: the loaded file, shared by all clients.
        is_judged: whether a second stage checks what it hears.
        knows_judge: False when the card was not chosen with this judge.
        fires_at: what the score that decides must reach.

    Raises:
        ConfigError: the operating point cannot be, or the judge does not belong to the model.
    """

    def __init__(self, name: str, backend: Backend, *, judge: Backend | None, fires_at: FiresAt) -> None:
        self.name = name
        self.backend = backend
        self._judge = judge
        self._fires_at = fires_at
        if fires_at.preset is not None and (fires_at.threshold, fires_at.judge_threshold) != (None, None):
            raise ConfigError(f"give a threshold or the preset {fires_at.preset!r}, not both")
        if judge is None and fires_at.judge_threshold is not None:
            raise ConfigError(f"a judge's threshold needs a judge for {backend.name}: name its model with --judge")
        if (seconds := fires_at.refractory_s) is not None:
            if not 0 <= seconds <= 3600:
                raise ConfigError(f"refractory seconds {seconds:g} must be from 0 to 3600")
            backend.card = dataclasses.replace(backend.card, refractory_s=seconds)
        first = self.detector()  # so that what cannot be is said at the start
        self.is_judged = first.judge is not None
        self.knows_judge = first.judge is None or first.judge.is_known
        self.fires_at = first.fires_at

    def detector(self) -> Detector:
        """A detector for one stream; the session of ONNX Runtime is shared."""
        want = self._fires_at
        if self._judge is None:
            return Detector.of(self.backend, want.threshold, preset=want.preset)
        judge = Judge(self._judge, card=self.backend.card, threshold=want.judge_threshold, preset=want.preset)
        return Detector(self.backend, threshold=want.threshold, judge=judge)

    def answers_to(self, name: str) -> bool:
        """Whether a client means this model: by its name or phrase, in any case, with spaces, `_` or `-`."""
        return _plain(name) in (_plain(self.name), _plain(self.backend.card.phrase))


def find_models(files: Sequence[Path], folders: Sequence[Path]) -> list[Path]:
    """The named files and every `.onnx` of the folders, each once.

    Raises:
        DataError: a folder is missing.
        ConfigError: there is no model at all.
    """
    paths = list(files)
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder: --custom-model-dir takes one with wakelark .onnx files")
        paths += sorted(folder.glob("*.onnx"))
    if not paths:
        searched = "".join(f"; {folder} holds no .onnx file" for folder in folders)
        raise ConfigError(f"no model to serve: name model files, or a folder with --custom-model-dir{searched}")
    return list({path.resolve(): path for path in paths}.values())


def load_models(paths: Sequence[Path], *, judges: Sequence[Path], fires_at: FiresAt) -> list[ServedModel]:
    """Load models, and give each the judge of its phrase.

    A model is called as its file; `model.onnx` and `model_tiny.onnx`, the names in every run, as their phrase.

    Raises:
        ModelError: a file is missing, broken or no wakelark model.
        ConfigError: two models have one name, a judge belongs to none, or the operating point cannot be.
    """
    seconds = {_plain(judge.card.phrase): judge for judge in map(read_model, judges)}
    backends = [read_model(path) for path in paths]
    phrases = {_plain(backend.card.phrase) for backend in backends}
    for phrase, judge in seconds.items():
        if phrase not in phrases:
            raise ConfigError(f'the judge {judge.name} listens for "{judge.card.phrase}", as no model to serve does')
    models: dict[str, ServedModel] = {}
    for path, backend in zip(paths, backends, strict=True):
        name = path.stem if path.stem not in _NAMES_OF_A_RUN else _plain(backend.card.phrase).replace(" ", "_")
        if (other := models.get(_plain(name))) is not None:
            raise ConfigError(
                f"{other.backend.name} and {path} are both called {name!r}: rename a file, or give the larger model of "
                "a run as --judge"
            )
        second = seconds.get(_plain(backend.card.phrase))
        models[_plain(name)] = ServedModel(name, backend, judge=second, fires_at=fires_at)
    return list(models.values())


def _plain(name: str) -> str:
    """A name for comparison.

    >>> _plain("Hey_Computer"), _plain("hey-computer ")
    ('hey computer', 'hey computer')
    """
    return re.sub(r"[\s_-]+", " ", name.casefold()).strip()
