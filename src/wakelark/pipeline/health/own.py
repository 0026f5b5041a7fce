"""A corpus as the checks of the data see it: the user's own clips with their audio, and everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from wakelark.audio import Int16Array, to_int16
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.clip import Clip
from wakelark.corpus.streams import Stream
from wakelark.training.clip_audio import ClipReader

OWN_KINDS = ("own_positive", "own_negative", "mined")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What is checked.

    Attributes:
        clips: all short clips: own and synthesised ones.
        streams: all long recordings.
        names: id of a clip or name of a stream -> the file it came from, where that is known.
        audio: id -> audio of the own clips.
    """

    clips: Sequence[Clip]
    streams: Sequence[Stream]
    names: Mapping[str, str] = field(default_factory=dict)
    audio: Mapping[str, Int16Array] = field(default_factory=dict)

    @property
    def own(self) -> list[Clip]:
        """The user's clips: given, added, mined."""
        return [clip for clip in self.clips if clip.kind in OWN_KINDS]

    @property
    def spoken(self) -> list[Clip]:
        """The synthesised clips."""
        return [clip for clip in self.clips if clip.kind not in OWN_KINDS]

    def without(self, label: int) -> Material:
        """The same without the own clips of a label."""
        kept = [clip for clip in self.clips if clip.kind not in OWN_KINDS or clip.label != label]
        return replace(self, clips=kept)

    def name(self, clip: Clip) -> str:
        """What a person finds the clip by: its file, else where its audio lies in the cache."""
        return self.names.get(clip.id) or (clip.path if clip.kind in OWN_KINDS else f"{clip.voice}: {clip.text}")


def gather(clips: Sequence[Clip], streams: Sequence[Stream], names: Mapping[str, str]) -> Material:
    """Read the audio of the own clips, which is a few seconds each.

    Raises:
        DataError: the audio of a clip is gone.
    """
    reader = ClipReader(cache_folder())
    short = [clip for clip in clips if not clip.is_stream]
    audio = {clip.id: to_int16(reader.read(clip)) for clip in short if clip.kind in OWN_KINDS}
    return Material(clips=short, streams=streams, names=names, audio=audio)
