"""A clip: one piece of audio with everything wakelark must know about it."""

from __future__ import annotations

from dataclasses import dataclass

POSITIVE_KINDS = ("alone", "in_sentence", "own_positive")
NEGATIVE_KINDS = ("near_miss", "partial", "swap", "sentence", "recording", "music", "own_negative", "mined")
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One line of the manifest. All audio is 16 kHz mono int16 inside the cache.

    Attributes:
        id: first 16 hex digits of the sha256 of the audio content (int16 bytes).
        path: where the audio lies, relative to the cache folder: a `.flac` file (one clip) or a `.npy` int16
            array (many recordings, one after the other; then `start` matters).
        start: first sample of this clip within `path`.
        samples: length in samples at 16 kHz.
        label: 1 when the clip holds the phrase, else 0.
        hard_negative: 1 for negatives that sound like the phrase or that fooled a model; never set on a positive.
        kind: one of `POSITIVE_KINDS` or `NEGATIVE_KINDS`.
        text: what is said, "" when unknown.
        voice: engine-qualified voice name such as "kokoro/af_bella", or the speaker or recording; splits keep it whole.
        sex: "female" or "male" of a synthetic voice, "" when unknown.
        accent: the espeak voice whose phonemes a synthetic voice speaks, "" otherwise.
        engine: "espeak", "kokoro", "piper", "flite", or "recording".
        source: where it comes from: the package of an engine or of the recordings, or the user's folder.
        licence: of the audio, as its source states it.
        split: "train", "dev" or "test".
        phrase_start, phrase_end: samples from the clip's start between which the phrase is spoken; None for negatives.
    """

    id: str
    path: str
    samples: int
    label: int
    kind: str
    start: int = 0
    hard_negative: int = 0
    text: str = ""
    voice: str = ""
    engine: str = "recording"
    source: str = ""
    licence: str = ""
    split: str = "train"
    phrase_start: int | None = None
    phrase_end: int | None = None
    sex: str = ""
    accent: str = ""

    @property
    def is_stream(self) -> bool:
        """True for a part of a long recording array, False for a single short clip."""
        return self.path.endswith(".npy")
