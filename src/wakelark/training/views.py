"""Views: what a network is trained on, windows of 2 s in which clips are placed, surrounded by speech and augmented.

`render_view` is a pure function of its arguments: the same clip, view number and seed give the same samples on any day
and in any process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wakelark.audio import SAMPLE_RATE, Float32Array, Int16Array, to_int16
from wakelark.augment.beds import BedLibrary
from wakelark.augment.chain import Chain
from wakelark.augment.signal import active_end, active_rms, db_to_gain
from wakelark.augment.speed import Speed
from wakelark.corpus.clip import Clip

if TYPE_CHECKING:
    from wakelark.config import AugmentConfig

WINDOW_SAMPLES = 2 * SAMPLE_RATE
END_S = (1.3, 1.8)
"""Where in the window a phrase, or what sounds like it, ends."""
GAP_S = (0.05, 0.4)
"""Between the clip and the speech before or after it."""
NEIGHBOUR_DB = (-8.0, 4.0)
BACKGROUND_ONLY_SHARE = 0.04
"""Share of the ordinary negative views in which nobody speaks: only a bed or the noise floor is left."""
PHRASE_LIKE = ("near_miss", "partial", "swap")
FULL_WINDOW = ("recording", "music", "mined")

Neighbour = Callable[[Clip, np.random.Generator], Float32Array | None]
"""Speech to put before or after a clip, if there is any."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A window with a clip in it: where the clip lies (it may reach beyond the window) and where its speech ends."""

    audio: Float32Array
    start: int
    stop: int
    speech: slice


def view_rng(*, seed: int, view: int, clip_id: str) -> np.random.Generator:
    """The generator of one view: independent of every other view's."""
    digest = hashlib.sha256(f"{seed}/{view}/{clip_id}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def render_view(
    clip_audio: Float32Array,
    *,
    clip: Clip,
    view: int,
    seed: int,
    beds: BedLibrary,
    config: AugmentConfig,
    neighbour: Neighbour,
) -> Int16Array:
    """Render one view of a clip.

    Positives and what sounds like them end between 1.3 and 1.8 s; one that is too long is cut at its start. Recordings
    fill the window; other negatives lie anywhere. Then comes the chain of augmentations over the whole window.

    Args:
        clip_audio: the clip's samples at 16 kHz. Shape: `[clip.samples]`.
        clip: what is known about it.
        view: number of the view; with `seed` and the clip's id it decides everything random.
        seed: of the run.
        beds: sound to put under it.
        config: probabilities and strengths.
        neighbour: gives the speech before and after it.

    Returns:
        Shape: `[32,000]`.
    """
    rng = view_rng(seed=seed, view=view, clip_id=clip.id)
    speed = Speed(speed_range=config.speed_range)
    drawn = speed.draw(rng)
    factor = drawn.factor if rng.random() < config.speed_probability else 1.0
    audio = clip_audio if factor == 1.0 else speed.apply(clip_audio, drawn)
    if clip.label == 1 or clip.kind in PHRASE_LIKE:
        placed = _place_by_end(audio, _phrase(clip, audio, factor), rng)
    else:
        placed = _place_anywhere(audio, rng, full=clip.kind in FULL_WINDOW)
    if clip.kind not in FULL_WINDOW:
        _add_neighbours(placed, clip, config, neighbour, rng)
    window = placed.audio
    ordinary = clip.label == 0 and clip.hard_negative == 0 and clip.kind not in FULL_WINDOW
    if rng.random() < BACKGROUND_ONLY_SHARE and ordinary:
        window = _background(beds, rng)
    chain = Chain(config, beds=beds)
    speech = placed.speech if clip.label == 1 else None
    return to_int16(chain.apply(window, chain.draw(rng), speech=speech))


def _phrase(clip: Clip, audio: Float32Array, factor: float) -> tuple[int, int]:
    """First and last sample of the phrase in the audio after the change of speed."""
    start = 0 if clip.phrase_start is None else round(clip.phrase_start / factor)
    end = active_end(audio) if clip.phrase_end is None else round(clip.phrase_end / factor)
    return min(start, audio.size), min(end, audio.size)


def _place_by_end(audio: Float32Array, phrase: tuple[int, int], rng: np.random.Generator) -> _Placed:
    end = int(rng.uniform(*END_S) * SAMPLE_RATE)
    offset = end - phrase[1]
    return _Placed(_window(audio, offset), offset, offset + audio.size, slice(max(offset + phrase[0], 0), max(end, 1)))


def _place_anywhere(audio: Float32Array, rng: np.random.Generator, *, full: bool) -> _Placed:
    spare = WINDOW_SAMPLES - audio.size
    if spare <= 0:
        offset = -int(rng.integers(-spare + 1))
    elif full:
        offset = int(rng.integers(spare + 1))
    else:
        # Up to three tenths of a short clip may lie outside: a stream is cut anywhere, too.
        outside = 0.3 * audio.size
        offset = int(rng.uniform(-outside, spare + outside))
    return _Placed(_window(audio, offset), offset, offset + audio.size, slice(0, WINDOW_SAMPLES))


def _window(audio: Float32Array, offset: int) -> Float32Array:
    """A window of silence with `audio` from `offset` on; what does not fit is cut."""
    window = np.zeros(WINDOW_SAMPLES, np.float32)
    first, last = max(offset, 0), min(offset + audio.size, WINDOW_SAMPLES)
    if last > first:
        window[first:last] = audio[first - offset : last - offset]
    return window


def _add_neighbours(
    placed: _Placed, clip: Clip, config: AugmentConfig, neighbour: Neighbour, rng: np.random.Generator
) -> None:
    """Speech that ends shortly before the clip, or starts shortly after it, into the window in place."""
    before, after = rng.random(2) < (config.speech_before_probability, config.speech_after_probability)
    gaps = (rng.uniform(*GAP_S, 2) * SAMPLE_RATE).astype(int)
    levels_db = rng.uniform(*NEIGHBOUR_DB, 2)
    level = active_rms(placed.audio[placed.speech])
    for wanted, is_before, gap, level_db in zip((before, after), (True, False), gaps, levels_db, strict=True):
        room = placed.start - gap if is_before else WINDOW_SAMPLES - placed.stop - gap
        if not wanted or room <= 0 or level == 0:
            continue
        speech = neighbour(clip, rng)
        if speech is None or (own_level := active_rms(speech)) == 0:
            continue
        offset = placed.start - gap - speech.size if is_before else placed.stop + gap
        placed.audio[:] += _window(speech * np.float32(level / own_level * db_to_gain(level_db)), offset)


def _background(beds: BedLibrary, rng: np.random.Generator) -> Float32Array:
    """A window without a speaker: a bed half of the time, else silence that the chain gives its noise floor."""
    bed = beds.audio(beds.draw(rng), WINDOW_SAMPLES)
    return np.zeros(WINDOW_SAMPLES, np.float32) if rng.random() < 0.5 else bed * np.float32(0.05)
