"""Pronunciations, phoneme distances, near misses and the risks of a phrase."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wakelark.errors import ConfigError
from wakelark.phrase import contains_phrase, distance, espeak, near_misses, pronounce, risk, too_close
from wakelark.phrase.distance import SegmentTable, dropping, flatten, substitution

SOUNDS = ["p", "b", "t", "d", "k", "s", "ʃ", "m", "n", "l", "ɹ", "h", "iː", "ɪ", "ɛ", "æ", "ə", "ɑː", "eɪ", "oʊ"]
rows = st.lists(st.sampled_from(SOUNDS), min_size=1, max_size=6)


def test_a_phrase_is_pronounced_in_ipa_and_by_word() -> None:
    (said,) = pronounce("Hey  Computer", language="en-us", extra=[])
    assert said.text == "Hey Computer"
    assert said.phonemes == "hˈeɪ kəmpjˈuːɾɚ"
    assert said.sounds.words == (("h", "eɪ"), ("k", "ə", "m", "p", "j", "uː", "ɾ", "ɚ"))


def test_spellings_and_phonemes_add_pronunciations_and_same_sounds_count_once() -> None:
    found = pronounce("wakelark", language="en-us", extra=["way lark", "[[w'eIklA@k]]", "wakelark!"])
    assert [p.text for p in found] == ["wakelark", "way lark"]
    assert all(p.plain_text for p in found)
    (spelled,) = pronounce("[[w'eIklA@k]]", language="en-us", extra=[])
    assert not spelled.plain_text
    assert spelled.phonemes == found[0].phonemes


@pytest.mark.parametrize("phrase", ["", "   ", "!!!", "...", "😀", "hey 😀", "[[ ]]", "[[h@l'oU", "a" * 81, "​"])
def test_what_cannot_be_said_is_refused(phrase: str) -> None:
    with pytest.raises(ConfigError, match=r"phrase|pronunciation"):
        pronounce(phrase, language="en-us", extra=[])


@pytest.mark.parametrize(
    ("phrase", "language"),
    [
        ("小爱", "en-us"),
        ("ok 小", "en-us"),
        ("привет", "en-us"),
        ("привет", "de"),
        ("γειά σου", "en-us"),
        ("時計", "ja"),
        ("ሰላም", "en-us"),
    ],
)
def test_a_script_that_the_voices_cannot_read_is_refused(phrase: str, language: str) -> None:
    with pytest.raises(ConfigError, match=r"they would name the letters; give its language with --language"):
        pronounce(phrase, language=language, extra=[])


@pytest.mark.parametrize(
    ("phrase", "language"),
    [
        ("小爱", "cmn"),
        ("привет", "ru"),
        ("γειά σου", "el"),
        ("ねえ", "ja"),
        ("שלום", "he"),
        ("안녕", "ko"),
        ("R2D2", "en-us"),
    ],
)
def test_a_script_of_the_language_is_read(phrase: str, language: str) -> None:
    assert pronounce(phrase, language=language, extra=[])


def test_a_bad_extra_pronunciation_is_named_as_one() -> None:
    with pytest.raises(ConfigError, match=r"the pronunciation '\?'"):
        pronounce("alexa", language="en-us", extra=["?"])


def test_languages() -> None:
    assert espeak().identifier("en-gb") == "gmw/en"
    assert espeak().identifier("EN_US") == "gmw/en-US"
    assert espeak().identifier("fr") == "roa/fr"
    assert espeak().identifier("de-AT") == "gmw/de"
    with pytest.raises(ConfigError, match=r"close ones: .*en-us"):
        espeak().identifier("en-uk-x" if "en-uk-x" in espeak().languages else "englsh")


def test_phonemes_work_before_and_after_speaking() -> None:
    before = espeak().phonemes("[[h@l'oU]] world", voice="gmw/en-US")
    audio = espeak().speak("world", voice="gmw/en-US", rate_wpm=160, pitch=50)
    assert audio.size > 0.2 * espeak().sample_rate
    assert espeak().phonemes("[[h@l'oU]] world", voice="gmw/en-US") == before
    assert before.ipa == "həlˈoʊ wˈɜːld"
    assert espeak().flat("hey world", voice="gmw/en-US") == ("h", "eɪ", "w", "ɜː", "l", "d")


@given(rows, rows)
@settings(max_examples=60)
def test_distance_is_symmetric_and_zero_only_for_the_same_sounds(a: list[str], b: list[str]) -> None:
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert distance(a, a) == 0
    assert (distance(a, b) == 0) == (a == b)


@given(rows, rows)
@settings(max_examples=60)
def test_distance_equals_the_textbook_recursion(a: list[str], b: list[str]) -> None:
    x, y = flatten(a), flatten(b)
    table = np.zeros((len(x) + 1, len(y) + 1))
    table[1:, 0] = np.cumsum([dropping(s) for s in x])
    table[0, 1:] = np.cumsum([dropping(s) for s in y])
    for i, j in itertools.product(range(1, len(x) + 1), range(1, len(y) + 1)):
        table[i, j] = min(
            table[i - 1, j] + dropping(x[i - 1]),
            table[i, j - 1] + dropping(y[j - 1]),
            table[i - 1, j - 1] + substitution(x[i - 1], y[j - 1]),
        )
    assert distance(a, b) == pytest.approx(table[-1, -1])


@given(rows, rows, rows)
@settings(max_examples=60)
def test_a_phrase_is_found_inside_anything(before: list[str], phrase: list[str], after: list[str]) -> None:
    assert contains_phrase([*before, *phrase, *after], phrase)


def test_hand_computed_costs() -> None:
    assert substitution("p", "b") == 0.25  # voicing alone
    assert substitution("ɾ", "t") == 0.1  # a flap is a t
    assert substitution("m", "n") == pytest.approx(0.15 + 0.3 * 0.35)  # place alone
    assert substitution("s", "iː") == 1.2
    assert distance(["h", "eɪ"], ["eɪ"]) == 0.5  # h is easily lost
    assert SegmentTable([("a",), ("a", "t")]).distances(("a", "t")).tolist() == [0.7, 0.0]


@pytest.mark.parametrize("phrase", ["alexa", "hey computer", "smart mirror"])
def test_near_misses_are_near_and_never_the_phrase(phrase: str) -> None:
    said = pronounce(phrase, language="en-us", extra=[])
    found = near_misses(said, phrase=phrase, language="en-us", count=60, rng=np.random.default_rng(3))
    target = said[0].sounds.flat
    assert [miss.held_out for miss in found].count(False) == 60
    assert [miss.held_out for miss in found].count(True) == 15
    assert len({miss.text for miss in found}) == 75
    assert {miss.kind for miss in found} == {"near_miss", "partial", "swap"}
    for miss in found:
        sounds = espeak().flat(miss.text, voice="gmw/en-US")
        assert not contains_phrase(sounds, target)
        assert distance(sounds, target) >= too_close(target)
    near = [miss.distance for miss in found if miss.kind == "near_miss"]
    assert np.median(near) < 2.5
    assert found == sorted(found, key=lambda miss: miss.distance)


def test_near_misses_hold_the_expected_ones_and_are_reproducible() -> None:
    said = pronounce("hey computer", language="en-us", extra=[])
    texts = [
        [m.text for m in near_misses(said, phrase="hey computer", language="en-us", count=120, rng=rng)]
        for rng in (np.random.default_rng(5), np.random.default_rng(5))
    ]
    assert texts[0] == texts[1]
    assert {"computer", "hey", "computer hey"} <= set(texts[0])


def test_a_second_pronunciation_is_no_near_miss_of_the_first() -> None:
    said = pronounce("nevada", language="en-us", extra=["nevahda", "nevayda"])
    found = near_misses(said, phrase="nevada", language="en-us", count=80, rng=np.random.default_rng(0))
    for miss in found:
        sounds = espeak().flat(miss.text, voice="gmw/en-US")
        assert all(distance(sounds, p.sounds.flat) >= too_close(p.sounds.flat) for p in said)


def test_without_a_word_list_sounds_are_exchanged_and_the_risk_says_so() -> None:
    said = pronounce("saluton amiko", language="eo", extra=[])
    found = near_misses(said, phrase="saluton amiko", language="eo", count=40, rng=np.random.default_rng(0))
    assert [miss.held_out for miss in found].count(False) == 40
    assert any("[[" in miss.text for miss in found if miss.kind == "near_miss")
    assert any("no word list" in r.what for r in risk("saluton amiko", said, language="eo"))


@pytest.mark.parametrize(
    ("language", "phrase"),
    [("cy", "helo cegin"), ("sw", "habari nyumba"), ("ka", "გამარჯობა"), ("cmn", "小爱同学"), ("ja", "ねえ テレビ")],
)
def test_near_misses_in_languages_with_few_resources(language: str, phrase: str) -> None:
    said = pronounce(phrase, language=language, extra=[])
    found = near_misses(said, phrase=phrase, language=language, count=24, rng=np.random.default_rng(0))
    target, voice = said[0].sounds.flat, espeak().identifier(language)
    assert [miss.held_out for miss in found].count(False) == 24
    assert {"near_miss", "partial"} <= {miss.kind for miss in found}
    assert all(distance(espeak().flat(miss.text, voice=voice), target) >= too_close(target) for miss in found)
    risk(phrase, said, language=language)


def test_repeated_words_are_near_misses_unless_the_phrase_is_in_them() -> None:
    def texts(phrase: str) -> set[str]:
        said = pronounce(phrase, language="en-us", extra=[])
        found = near_misses(said, phrase=phrase, language="en-us", count=120, rng=np.random.default_rng(0))
        assert not any(contains_phrase(espeak().flat(m.text, voice="gmw/en-US"), said[0].sounds.flat) for m in found)
        return {miss.text for miss in found}

    assert {"hey hey", "computer computer"} <= texts("hey computer")  # but not "hey hey computer"
    assert "hey smart smart mirror" in texts("hey smart mirror")


def risks_of(phrase: str) -> list[str]:
    said = pronounce(phrase, language="en-us", extra=[])
    return [r.what for r in risk(phrase, said, language="en-us") if r.level == "warning"]


def test_good_phrases_have_no_warnings_about_length_or_frequency() -> None:
    assert risks_of("hey computer") == []
    assert not any("short" in what or "common in" in what for what in risks_of("alexa"))


def test_bad_phrases_are_warned_about() -> None:
    assert any("short" in what for what in risks_of("yes"))
    assert any("common in everyday speech" in what for what in risks_of("yes"))
    assert any("short" in what for what in risks_of("the"))
    assert any("sound almost the same" in what for what in risks_of("the"))
