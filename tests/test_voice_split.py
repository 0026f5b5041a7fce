"""Who trains, who chooses and who tests: a property of the speaker, whatever the phrase, the seed and the company."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakelark.config import Config
from wakelark.corpus.engines import Voice, find_engines
from wakelark.corpus.speech_plan import Cast, cast_voices
from wakelark.corpus.voice_split import FEWEST_SPEAKERS_TO_SPLIT, speaker_of, split_voices


def voice(name: str, *bases: str, engine: str = "espeak") -> Voice:
    return Voice(name=f"{engine}/{name}", engine=engine, bases=bases or (name,), accent="gmw/en-US")


def speakers(count: int, *, engine: str = "espeak") -> list[Voice]:
    return [voice(f"v{number}", engine=engine) for number in range(count)]


def split(
    voices: list[Voice], *, dev: float = 0.1, test: float = 0.2, held_out: str | None = None
) -> tuple[dict[str, str], list[str]]:
    return split_voices(voices, dev_share=dev, test_share=test, held_out_engine=held_out)


def test_this_split_never_changes() -> None:
    """Trunks were made with it: another rank would test them with voices that they have heard."""
    found, _ = split(speakers(10))
    assert {name for name, part in found.items() if part == "dev"} == {"espeak/v7"}
    assert {name for name, part in found.items() if part == "test"} == {"espeak/v0", "espeak/v9"}


@given(seed=st.integers(0, 10_000), count=st.integers(1, 40))
def test_the_order_of_the_voices_does_not_matter(seed: int, count: int) -> None:
    voices = [*speakers(count), voice("v0@1.2", "v0"), *speakers(7, engine="flite")]
    order = np.random.default_rng(seed).permutation(len(voices))
    assert split([voices[index] for index in order])[0] == split(voices)[0]


def test_another_engine_changes_nothing_for_the_others() -> None:
    alone, _ = split(speakers(20))
    for more in (speakers(30, engine="piper"), speakers(2, engine="piper")):
        for voices in (speakers(20) + more, more + speakers(20)):
            found, _ = split(voices)
            assert {name: found[name] for name in alone} == alone
    held_out, _ = split(speakers(20) + speakers(30, engine="piper"), held_out="piper")
    assert {name: held_out[name] for name in alone} == alone


@given(
    count=st.integers(FEWEST_SPEAKERS_TO_SPLIT, 200), dev=st.floats(0.01, 0.3), test=st.floats(0.01, 0.3)
)  # fmt: skip
def test_every_split_has_its_share_of_the_speakers_and_at_least_one(count: int, dev: float, test: float) -> None:
    found, remarks = split(speakers(count), dev=dev, test=test)
    sizes = Counter(found.values())
    assert sizes["dev"] == max(1, round(dev * count))
    assert sizes["test"] == max(1, round(test * count))
    assert sizes["train"] == count - sizes["dev"] - sizes["test"] > 0
    assert remarks == []


@given(count=st.integers(8, 60), dev=st.floats(0.02, 0.3))
def test_a_larger_share_only_moves_speakers_out_of_training(count: int, dev: float) -> None:
    few, many = split(speakers(count), dev=dev / 2)[0], split(speakers(count), dev=dev)[0]
    assert {name for name, part in few.items() if part == "dev"} <= {n for n, part in many.items() if part == "dev"}
    assert [n for n, part in few.items() if part == "test"] == [n for n, part in many.items() if part == "test"]


def test_voices_of_a_speaker_stay_together() -> None:
    voices = speakers(20) + [voice(f"v{number}@1.2", f"v{number}") for number in range(20)]
    voices.append(voice("v3+v4", "v3", "v4"))
    found, remarks = split(voices)
    assert remarks == []
    assert set(found.values()) == {"train", "dev", "test"}
    for number in range(20):
        assert found[f"espeak/v{number}"] == found[f"espeak/v{number}@1.2"]
    assert found["espeak/v3"] == found["espeak/v4"] == found["espeak/v3+v4"]


def test_few_speakers_train_and_a_held_out_engine_tests() -> None:
    few = [voice("joe", engine="piper"), voice("joe@1.2", "joe", engine="piper")]
    many = speakers(5, engine="flite")
    found, remarks = split(few + many, held_out="flite")
    assert {found[one.name] for one in few} == {"train"}
    assert {found[one.name] for one in many} == {"test"}
    assert [remark.partition(":")[0] for remark in remarks] == ["piper", "flite"]
    assert "1 speaker(s) only" in remarks[0]
    assert "all 5 voices test" in remarks[1]


@pytest.fixture(scope="module")
def config() -> Config:
    return Config(phrase="hey computer")


def parts(cast: Cast) -> dict[str, str]:
    """Voice -> split, of the engines' own voices; mixes are drawn, and train."""
    return {one.name: cast.split[one.name] for one in cast.voices if len(one.bases) == 1}


def test_all_phrases_seeds_and_trunks_share_the_split(config: Config) -> None:
    """With the engines of this machine: as a trunk casts them, and as another phrase with fewer engines does."""
    engines, _ = find_engines(None)
    one = cast_voices(engines, config=config, rng=np.random.default_rng(0))
    other = cast_voices(
        {"espeak": engines["espeak"]}, config=Config(phrase="alexa", seed=5), rng=np.random.default_rng(9)
    )
    assert len(parts(other)) > 10
    assert parts(other).items() <= parts(one).items()
    assert {one.split[mix.name] for mix in one.voices if len(mix.bases) > 1} <= {"train"}
    split_of = {base: part for voice_ in one.voices for base in voice_.bases for part in [one.split[voice_.name]]}
    for mix in one.voices:
        assert {split_of[base] for base in mix.bases} == {one.split[mix.name]}


def test_who_speaks_follows_the_split() -> None:
    """Voices that are one speaker share their part, in every accent and at every pitch."""
    voices = [voice(f"{accent}+v{n}", f"v{n}") for n in range(40) for accent in ("en-us", "en-gb-scotland", "en-029")]
    voices += [voice(f"v{n}@{pitch}", f"v{n}", engine="flite") for n in range(8) for pitch in ("0.9", "1.1")]
    found, _ = split(voices)
    assert len({(speaker_of(name), part) for name, part in found.items()}) == 48
    assert speaker_of("own/ann+bob@home") == "own/ann+bob@home"
