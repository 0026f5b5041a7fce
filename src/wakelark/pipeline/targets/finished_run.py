"""A finished run as the targets of `wakelark export` see it: its files, networks, clips and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wakelark.audio import SAMPLE_RATE, Int16Array, to_int16
from wakelark.config import Config
from wakelark.config_file import load_config
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.clip import Clip
from wakelark.corpus.manifest import read_manifest
from wakelark.errors import ModelError
from wakelark.export.parity import probe_audio
from wakelark.models.build import AnyStudent
from wakelark.models.heads import HeadEnsemble
from wakelark.models.saved import load_heads, load_student
from wakelark.pipeline.clip_lists import clip_source
from wakelark.pipeline.development import trial_audio
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.sources import ClipSource
from wakelark.training.clip_audio import ClipReader

SOUND_S = 60
"""How much audio parity is measured over."""
_SEED = 20_261_123


@dataclass(frozen=True, slots=True)
class Sound:
    """Audio to compare two forms of a model on.

    Attributes:
        audio: `[N]` int16, at least `SOUND_S` long.
        what: for people.
    """

    audio: Int16Array
    what: str


class FinishedRun:
    """A run whose models are written and measured.

    Args:
        folder: of the run.

    Attributes:
        config: its settings.
        report: what its report.json holds.

    Raises:
        ConfigError: the folder holds no run.
        ModelError: the run is not finished, or a file of it is damaged.
    """

    def __init__(self, folder: RunFolder) -> None:
        folder.check_run()
        self.folder = folder
        needed = (*folder.results[:3], folder.saved_heads, folder.saved_student, folder.manifest)
        if missing := [file for file in needed if not file.is_file()]:
            raise ModelError(
                f"{folder.root} is not finished: {missing[0].relative_to(folder.root)} is missing; finish the run "
                f"with: {folder.resume_command}"
            )
        self.config: Config = load_config(folder.config, overrides=[], preset=None)
        try:
            self.report: Mapping[str, Any] = json.loads(folder.report.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(
                f"{folder.report} is damaged ({error}); write it again with: {folder.resume_command}"
            ) from error

    @property
    def phrase(self) -> str:
        """What the models listen for."""
        return self.config.phrase

    @cached_property
    def heads(self) -> HeadEnsemble:
        """The accurate model's own part, not shifted."""
        return load_heads(self.folder.saved_heads)

    @cached_property
    def student(self) -> AnyStudent:
        """The tiny model, not shifted."""
        return load_student(self.folder.saved_student)

    @cached_property
    def clips(self) -> Sequence[Clip]:
        """The manifest: clips and recordings of all splits."""
        return read_manifest(self.folder.manifest)

    @cached_property
    def clips_are_there(self) -> bool:
        """Whether the audio of the development and test clips is still in the cache."""
        return all(
            (cache_folder() / clip.path).is_file()
            for clip in self.clips if clip.split != "train" and not clip.is_stream
        )  # fmt: skip

    def positives(self, *splits: str) -> list[ClipSource]:
        """Clips of the phrase, to be scored."""
        return [clip_source(clip) for clip in self.clips if clip.label == 1 and clip.split in splits]

    def entry(self, model: str) -> Mapping[str, Any] | None:
        """A model's part of the report, "accurate", "tiny" or another; None where it has none."""
        return next((entry for entry in self.report["models"] if entry["name"] == model), None)

    @cached_property
    def sound(self) -> Sound:
        """A minute or a little more of test and development clips, every second one of the phrase, with pauses.

        Where the cache was emptied it is generated, and says so.
        """
        if not self.clips_are_there:
            rng = np.random.default_rng(_SEED)
            audio = to_int16(probe_audio(rng, seconds=SOUND_S))
            return Sound(audio, "generated sounds (the run's clips are no longer in the cache)")
        reader = ClipReader(cache_folder())
        pieces: list[Int16Array] = []
        for number, clip in enumerate(self._alternating()):
            rng = np.random.default_rng([_SEED, number])
            pieces.append(trial_audio(to_int16(reader.read(clip)), rng=rng, lead_s=0.7, tail_s=0.5))
            if sum(map(len, pieces)) >= SOUND_S * SAMPLE_RATE:
                break
        audio = np.concatenate(pieces)
        repeats = -(-SOUND_S * SAMPLE_RATE // len(audio))
        return Sound(np.tile(audio, repeats), f"{len(pieces)} test and development clips of the run in a row")

    def _alternating(self) -> list[Clip]:
        """Short clips that nothing was trained on, of the phrase and others by turns; the fewer repeat."""
        short = [clip for clip in self.clips if clip.split in ("test", "dev") and not clip.is_stream]
        phrase = [clip for clip in short if clip.label == 1] or [clip for clip in self.clips if clip.label == 1]
        others = [clip for clip in short if clip.label == 0]
        count = max(len(phrase), len(others))
        return [group[number % len(group)] for number in range(count) for group in (phrase, others) if group]
