"""What is spoken for a phrase: who says it how often, alone and in sentences, and what they say instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wakelark.config import Config, CorpusConfig
from wakelark.corpus.engines import Engine, Utterance, Voice
from wakelark.corpus.engines.kokoro import KokoroEngine
from wakelark.corpus.synthesise import Job
from wakelark.corpus.texts import carriers, sentences
from wakelark.corpus.voice_split import split_voices
from wakelark.errors import ConfigError
from wakelark.phrase import NearMiss, Pronunciation, contains_phrase, espeak
from wakelark.phrase.distance import flatten

_MIXES_PER_VOICE = 1.0  # of the training voices of Kokoro
_SLOW = ("kokoro",)  # engines whose sentences are kept short
_SHORT_CARRIER_WORDS = 3
_ENDINGS = ("", ".", "!", "?", ",")
_ENDING_WEIGHTS = (0.3, 0.3, 0.15, 0.15, 0.1)
# Slowest and fastest speech, as factors; Kokoro's and Piper's own pace is brisk for a wake phrase.
_SPEEDS = {"espeak": (0.75, 1.25), "kokoro": (0.72, 1.15), "piper": (0.72, 1.2), "flite": (0.8, 1.2)}
_PITCH_SEMITONES = 8.0


@dataclass(frozen=True)
class Cast:
    """The voices, each with its split, and remarks for the user."""

    voices: list[Voice]
    split: dict[str, str]
    remarks: list[str]


def cast_voices(engines: dict[str, Engine], *, config: Config, rng: np.random.Generator) -> Cast:
    """All voices of the engines that the configuration uses, split by speaker, with Kokoro's mixes.

    Raises:
        ConfigError: nothing speaks the language, or the held-out engine is not there.
    """
    corpus = config.corpus
    voices: list[Voice] = []
    remarks: list[str] = []
    for name, engine in engines.items():
        if positives_of(name, corpus) > 0:
            own = engine.voices(config.language)
            voices += own
            if not own:
                remarks.append(f"{name}: no voice speaks {config.language}")
    if not voices:
        raise ConfigError(f"no synthesis engine is in use that speaks {config.language}; see wakelark doctor")
    if corpus.held_out_engine is not None and all(voice.engine != corpus.held_out_engine for voice in voices):
        raise ConfigError(
            f"corpus.held_out_engine is {corpus.held_out_engine}, which is not usable here or has no positives; "
            "install it (wakelark doctor says how) or hold out another engine"
        )
    split, notes = split_voices(
        voices,
        dev_share=corpus.dev_share,
        test_share=corpus.test_share,
        held_out_engine=corpus.held_out_engine,
    )
    kokoro = engines.get("kokoro")
    if isinstance(kokoro, KokoroEngine):
        own = [voice for voice in voices if voice.engine == "kokoro" and split[voice.name] == "train"]
        mixes = kokoro.mixes(own, count=round(_MIXES_PER_VOICE * len(own)), rng=rng)
        # Half of the training turns for the mixes: the shares of the splits stay what they are.
        halved = [replace(voice, weight=voice.weight / 2) for voice in (*own, *mixes)]
        voices = [voice for voice in voices if voice not in own] + halved
        split |= {voice.name: "train" for voice in mixes}
    return Cast(voices=voices, split=split, remarks=remarks + notes)


def positives_of(engine: str, corpus: CorpusConfig) -> int:
    """How many positives the configuration wants of an engine."""
    return {
        "espeak": corpus.espeak_positives,
        "kokoro": corpus.kokoro_positives,
        "piper": corpus.piper_positives,
        "flite": corpus.flite_positives,
    }[engine]


def plan_jobs(
    pronunciations: Sequence[Pronunciation],
    near_misses: Sequence[NearMiss],
    *,
    config: Config,
    cast: Cast,
    engines: dict[str, Engine],
    rng: np.random.Generator,
) -> list[Job]:
    """Every clip to be spoken; the same arguments give the same plan.

    Args:
        pronunciations: of the phrase; used in turn.
        near_misses: spoken by the same voices, the closer the more often. Training voices leave out those nearer than
            `corpus.near_miss_distance` per phoneme of the phrase; those held out are spoken only by voices that are
            not trained on, however near, and these speak nothing else where there are enough.
        config: numbers and shares are in `config.corpus`; they hold per engine.
        cast: from `cast_voices`.
        engines: by name; those that take plain text only are spared the phonemes.
    """
    corpus, home = config.corpus, espeak().identifier(config.language)
    nearest = corpus.near_miss_distance * max(len(flatten(p.sounds.flat)) for p in pronunciations)
    jobs: list[Job] = []
    for name, engine in engines.items():
        voices = [voice for voice in cast.voices if voice.engine == name]
        count = positives_of(name, corpus)
        if count == 0 or not voices:
            continue
        sayable = [p.text for p in pronunciations if engine.takes_phonemes or p.plain_text]
        misses = _NearTexts([m for m in near_misses if engine.takes_phonemes or m.plain_text], pronunciations, home)
        if not sayable:
            continue  # the phrase is given as phonemes only, and this engine reads text
        speaker = _Speaker(name, _spread(voices, rng), cast.split, rng)
        frames = carriers(config.language)
        if name in _SLOW:
            frames = [frame for frame in frames if len(frame.split()) <= _SHORT_CARRIER_WORDS]
        share = corpus.in_sentence_share if frames else 0.0
        for index in range(count):
            text = sayable[index % len(sayable)]
            framed = rng.random() < share
            said = frames[rng.integers(len(frames))].format(text) if framed else text
            jobs.append(speaker.job(said, kind="in_sentence" if framed else "alone", label=1))
        for drawn in _weighted(misses.trained, round(count * corpus.near_miss_ratio), nearest, rng):
            frame = str(frames[rng.integers(len(frames))]) if rng.random() < share else "{}"
            if (found := misses.for_voice(drawn, frame, speaker.voice, cast.split)) is not None:
                said, miss = found
                jobs.append(speaker.job(said, kind=miss.kind, label=0, hard_negative=1))
        others = without_phrase(sentences(config.language, short=name in _SLOW, rng=rng), pronunciations, config)
        for index in range(round(count * corpus.sentence_ratio) if others else 0):
            jobs.append(speaker.job(others[index % len(others)], kind="sentence", label=0))
    return jobs


def plan_sentences(
    texts: Sequence[str], *, counts: Mapping[str, int], cast: Cast, rng: np.random.Generator
) -> list[Job]:
    """Ordinary sentences by the training voices: `counts` of them per engine, drawn from `texts`."""
    jobs: list[Job] = []
    for name, count in counts.items():
        voices = [voice for voice in cast.voices if voice.engine == name and cast.split[voice.name] == "train"]
        if not voices or not texts:
            continue
        speaker = _Speaker(name, _spread(voices, rng), cast.split, rng)
        chosen = rng.integers(len(texts), size=count)
        jobs += [speaker.job(texts[int(index)], kind="sentence", label=0) for index in chosen]
    return jobs


class _Speaker:
    """Makes jobs for one engine: the next voice in turn, a random manner."""

    def __init__(self, engine: str, order: list[Voice], split: dict[str, str], rng: np.random.Generator) -> None:
        self._engine, self._order, self._split, self._rng = engine, order, split, rng
        self._turn = 0

    @property
    def voice(self) -> Voice:
        """Who speaks the next job."""
        return self._order[self._turn % len(self._order)]

    def job(self, text: str, *, kind: str, label: int, hard_negative: int = 0) -> Job:
        voice = self.voice
        self._turn += 1
        rng = self._rng
        slow, fast = _SPEEDS[self._engine]
        speed = float(np.exp(rng.triangular(np.log(slow), np.log(slow * fast) / 2, np.log(fast))))
        ending = str(rng.choice(_ENDINGS, p=_ENDING_WEIGHTS))
        utterance = Utterance(
            text=text if text.endswith("]]") else text + ending,
            speed=round(speed, 3),
            pitch=round(float(rng.uniform(-_PITCH_SEMITONES, _PITCH_SEMITONES)), 1)
            if voice.engine == "espeak"
            else 0.0,
            liveliness=round(float(rng.uniform(0.2, 0.9)), 2),
            seed=int(rng.integers(2**31)),
        )
        return Job(
            utterance=utterance,
            voice=voice,
            kind=kind,
            label=label,
            text=text,
            split=self._split[voice.name],
            hard_negative=hard_negative,
        )


class _NearTexts:
    """Which near miss a voice speaks: never what is the phrase in its accent, and in each split other texts."""

    def __init__(self, misses: Sequence[NearMiss], pronunciations: Sequence[Pronunciation], home: str) -> None:
        held_out = [miss for miss in misses if miss.held_out]
        self.trained = [miss for miss in misses if not miss.held_out]
        self._own = {"dev": held_out[0::2], "test": held_out[1::2]}
        self._turns = {"dev": 0, "test": 0}
        self._phrases = [p.text for p in pronunciations]
        self._home = home  # the accent of the language itself

    def for_voice(
        self, drawn: NearMiss, frame: str, voice: Voice, splits: dict[str, str]
    ) -> tuple[str, NearMiss] | None:
        """The text to speak, in the frame if that does not make it the phrase ("a" + "lexa"), and its near miss.

        That is `drawn` for a voice that is trained on, otherwise the next of the split's own; the one after it where
        the voice's accent makes it the phrase; None if all are.
        """
        split = splits[voice.name]
        row, first = self.trained, self.trained.index(drawn)
        if own := self._own.get(split, []):
            row, first = own, self._turns[split]
            self._turns[split] += 1
        accents = {self._home, voice.accent}
        for miss in (*row[first % len(row) :], *row[: first % len(row)]):
            for text in (frame.format(miss.text), miss.text):
                if not any(_holds(text, phrase, accent) for phrase in self._phrases for accent in accents):
                    return text, miss
        return None


@lru_cache(maxsize=8192)
def _holds(text: str, phrase: str, accent: str) -> bool:
    """Whether the phrase is heard in a text, both spoken in one accent."""
    return contains_phrase(espeak().flat(text, voice=accent), espeak().flat(phrase, voice=accent))


def _spread(voices: Sequence[Voice], rng: np.random.Generator) -> list[Voice]:
    """A long random order in which each voice comes as often as its weight says, evenly: every stretch is a sample."""
    weights = np.array([voice.weight for voice in voices])
    turns = np.maximum(1, np.round(10 * weights / weights.max())).astype(int)
    keys = [(turn + rng.random()) / total for total in turns for turn in range(total)]
    owners = [voice for voice, total in zip(voices, turns, strict=True) for _ in range(total)]
    return [owners[index] for index in np.argsort(keys, kind="stable")]


def _weighted(misses: Sequence[NearMiss], count: int, nearest: float, rng: np.random.Generator) -> list[NearMiss]:
    """Up to `count` near misses of at least the distance `nearest`, closer ones more often, all if there is room."""
    if not misses or count == 0:
        return []
    weights = np.array([1.0 / (1.0 + miss.distance) if miss.distance >= nearest else 0.0 for miss in misses])
    # Random keys: the smallest are taken first; each further use of a near miss comes later by 1 / weight.
    turns = [turn + rng.random(len(misses)) for turn in range(2 * count // len(misses) + 2)]
    with np.errstate(divide="ignore"):
        keys = np.concatenate([turn / weights for turn in turns])
    order = np.argsort(keys, kind="stable")[:count]
    return [misses[index % len(misses)] for index in order if np.isfinite(keys[index])]


def without_phrase(texts: Sequence[str], pronunciations: Sequence[Pronunciation], config: Config) -> list[str]:
    """The texts in which the phrase is not heard."""
    voice = espeak().identifier(config.language)
    return [
        text
        for text in texts
        if not any(contains_phrase(espeak().phonemes(text, voice=voice).flat, p.sounds.flat) for p in pronunciations)
    ]
