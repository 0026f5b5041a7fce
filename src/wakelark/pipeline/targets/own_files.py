"""Are a run's own files still what its saved networks say? Everything that is made from either must agree with both."""

from __future__ import annotations

import numpy as np

from wakelark.audio import Float32Array, to_float
from wakelark.errors import ModelError
from wakelark.export.onnx import accurate_reference, student_reference
from wakelark.export.parity import PROBE_S, TOLERANCE
from wakelark.pipeline.targets.finished_run import SOUND_S, FinishedRun
from wakelark.pipeline.targets.target import ParityCheck
from wakelark.runtime.backend import Backend
from wakelark.runtime.model_file import read_model_file

_SEED = 20_261_124


def check_own_file(run: FinishedRun, model: str, *, generated: bool = False) -> ParityCheck:
    """Compare `model.onnx` ("accurate") or `model_tiny.onnx` ("tiny") with the network in the run's checkpoints.

    Args:
        run: finished.
        model: which of the two.
        generated: over a minute of generated sound, instead of the run's own clips.

    Raises:
        ModelError: they differ, with the figure.
    """
    file = run.folder.accurate if model == "accurate" else run.folder.tiny
    data = read_model_file(file)
    card = Backend(data, name=str(file)).card
    reference = accurate_reference(run.heads) if model == "accurate" else student_reference(run.student)
    heard: Float32Array | None = None if generated else to_float(run.sound.audio)
    sound = f"{PROBE_S} s of generated sound" if generated else f"{SOUND_S} s of {run.sound.what}"
    try:
        difference = reference.check(data, card, rng=np.random.default_rng(_SEED), audio=heard)
    except ModelError as error:
        raise ModelError(
            f"{file} and the network it was made from ({run.folder.checkpoints}) are not the same: {error}; restore "
            "whichever was changed, or train the run again"
        ) from error
    return ParityCheck(
        what=f"{file.name}: largest difference of a score to torch, streamed in random chunks, over {sound}",
        figure=difference, allowed=TOLERANCE,
    )  # fmt: skip
