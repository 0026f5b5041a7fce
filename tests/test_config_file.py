"""Configuration files: strict, complete in their complaints, and written so that they read back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wakelark.config import PRESETS, Config
from wakelark.config_file import describe, dump_config, load_config
from wakelark.errors import ConfigError
from wakelark.strict_yaml import dump, parse

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def written(tmp_path: Path):
    """A function that writes a file and gives its path."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "my.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def complaint(path: Path | None, *overrides: str, preset: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides=list(overrides), preset=preset)
    assert caught.value.exit_code == 2
    return str(caught.value)


class TestOrder:
    def test_nothing_given_is_the_defaults(self) -> None:
        assert load_config(None, overrides=[], preset=None) == Config()

    def test_preset_then_file_then_overrides(self, written) -> None:
        path = written("training:\n  steps: 900\n  batch_size: 32\n")
        config = load_config(path, overrides=["training.batch_size=64"], preset="thorough")
        assert config.corpus.recordings == "thorough"  # preset
        assert config.training.steps == 900  # file over preset
        assert config.training.batch_size == 64  # override over file
        assert config.preset == "thorough"

    def test_the_preset_may_stand_in_the_file(self, written) -> None:
        config = load_config(written("preset: smoke\n"), overrides=[], preset=None)
        assert config.corpus.recordings == "none"
        assert load_config(written("preset: smoke\n"), overrides=[], preset="quick").preset == "quick"

    @pytest.mark.parametrize("preset", PRESETS)
    def test_every_preset_is_valid(self, preset: str) -> None:
        assert load_config(None, overrides=[], preset=preset).preset == preset

    def test_an_empty_file_and_an_empty_section_change_nothing(self, written) -> None:
        assert load_config(written(""), overrides=[], preset=None) == Config()
        assert load_config(written("# nothing\ntraining:\n"), overrides=[], preset=None) == Config()

    def test_overrides_are_yaml(self) -> None:
        words = ["pronunciations=[ha loh, 'no']", "training.learning_rate=1e-3", "corpus.held_out_engine=flite"]
        config = load_config(None, overrides=[*words, "positives=null", "student.kernels=[3, 5]"], preset=None)
        assert config.pronunciations == ["ha loh", "no"]
        assert config.training.learning_rate == 0.001
        assert config.student.kernels == (3, 5)


class TestComplaints:
    def test_unknown_key_names_line_and_neighbour(self, written) -> None:
        said = complaint(written("seed: 1\ntraining:\n  lerning_rate: 0.1\n"))
        assert "my.yaml, line 3: unknown key 'training.lerning_rate'; did you mean 'training.learning_rate'?" in said

    def test_a_key_in_the_wrong_section_is_found(self, written) -> None:
        assert "did you mean 'distillation.alpha'?" in complaint(written("alpha: 0.5\n"))
        assert "did you mean 'distillation.temperature'?" in complaint(None, "temprature=2")
        assert "docs/configuration.md lists all keys" in complaint(None, "zzzz=2")
        assert "did you mean 'distillation'?" in complaint(written("distilation:\n  alpha: 0.5\n"))

    def test_out_of_range_shows_value_and_range(self, written) -> None:
        said = complaint(written("distillation:\n  alpha: 2\n"))
        assert "line 2: distillation.alpha is 2, but must be a number of at least 0 and at most 1" in said

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("seed: no", 'seed is "no", but must be a whole number of at least 0'),
            ("seed: 1.5", "seed is 1.5, but must be a whole number"),
            ("seed: true", "seed is true, but must be a whole number"),
            ("seed: '1'", 'seed is "1", but must be a whole number'),
            ("phrase: 42", "phrase is 42, but must be text (in quotes if it looks like a number)"),
            ("phrase: null", "phrase is null, but must be text"),
            ("preset: fast", "but must be one of smoke, quick, standard, thorough"),
            ("pronunciations: hello", "but must be a list, each text"),
            ("training: 5", "training is 5, but must be a section of keys: steps, batch_size"),
            ("seed: 1e999", "line 1: a number too large"),
            ("seed: 1:30", 'seed is "1:30"'),
            ("seed: 1_000", 'seed is "1_000"'),
            ("distillation: {enabled: yes}", 'distillation.enabled is "yes", but must be true or false'),
            ("seed: " + "9" * 5000, "seed"),
        ],
    )
    def test_wrong_types(self, line: str, said: str, written) -> None:
        assert said in complaint(written(line + "\n"))

    def test_everything_is_said_at_once(self, written) -> None:
        path = written("sead: 1\ntraining:\n  steps: -1\n  steps: 5\nloss: {hard_negative_weight: -2}\n")
        said = complaint(path, "nonsense", "augment.snr=3")
        assert said.startswith("6 things in the configuration are wrong:")
        assert "line 4: 'steps' stands here again; it is on line 3, too" in said
        for part in ("'sead'", "training.steps is -1", "hard_negative_weight is -2", "--set nonsense", "'augment.snr'"):
            assert part in said

    def test_a_hundred_complaints_are_cut(self, written) -> None:
        said = complaint(written("".join(f"k{n}: 1\n" for n in range(100))))
        assert said.splitlines()[-1].strip() == "... and 80 more"

    def test_contradictions(self) -> None:
        assert "above augment.snr_db_max" in complaint(None, "augment.snr_db_min=30")
        assert "no epoch would be finished" in complaint(None, "training.steps=50")
        none = [f"corpus.{engine}_positives=0" for engine in ("espeak", "kokoro", "piper", "flite")]
        assert "nothing would say the phrase" in complaint(None, *none)
        assert load_config(None, overrides=[*none, "positives=/tmp"], preset=None).positives == "/tmp"

    def test_unknown_preset(self) -> None:
        assert '--preset: preset is "fast"' in complaint(None, preset="fast")

    def test_missing_file_folder_and_wrong_root(self, written, tmp_path: Path) -> None:
        assert "No such file" in complaint(tmp_path / "none.yaml")
        assert "Is a directory" in complaint(tmp_path)
        assert "holds no `key: value` lines" in complaint(written("- a\n- b\n"))
        assert "set one key at a time" in complaint(None, "training={steps: 5}")


class TestHostileYaml:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("a: &x [1]\nb: *x\n", "line 1: anchors (&) and aliases (*) are not read"),
            ("b: *x\n", "line 1: anchors"),
            ("a: " + "[" * 5000, "levels deep"),
            ("a: " + "{a: " * 500, "levels deep"),
            ("a: !!python/object/apply:os.system [ls]\n", "line 1: the tag"),
            ("a: !!binary aGk=\n", "the tag"),
            ("a: [1\n", "line 2:"),
            ("a: b: c\n", "line 1:"),
            ("a: 1\n---\nb: 2\n", "line 2:"),
            ("? [a]\n: 1\n", "line 1: a key must be a word"),
            ("a: \x07\n", "special characters are not allowed"),
            (b"phrase: caf\xe9\n", "not UTF-8"),
            (b"\x00" * (3 << 20), "larger than 256 KiB"),
            (b"\xff" * (3 << 20), "larger than 256 KiB"),
            ("x" * (2 << 20), "larger than 256 KiB"),
            ("a: [" + "1," * 120_000, "more than 5000 keys and values"),
            ("".join(f"k{number}:\n" for number in range(30_000)), "more than 5000 keys and values"),
            ("- " * 120_000, "levels deep"),
            ("%a\n" * 80_000, "line 1: directives (%) are not read"),
            ("#\n" * 120_000 + "a: 1", "unknown key 'a'"),
            ("<<: {seed: 3}\n", "unknown key '<<'"),
        ],
        ids=lambda value: repr(value)[:25],
    )
    def test_refused_at_once(self, text: str | bytes, said: str, written) -> None:
        began = time.process_time()
        assert said in complaint(written(text))
        assert time.process_time() - began < 1.0

    def test_numbers_and_words_of_yaml_1_2(self) -> None:
        text = "[1e-3, no, on, 010, 0x10, .5, -2, +3, 1., 2020-01-01, ~, null, True, .inf, '1']"
        assert parse(text, name="x").value == [
            0.001, "no", "on", 10, "0x10", 0.5, -2, 3, 1.0, "2020-01-01", None, None, "True", ".inf", "1",
        ]  # fmt: skip


class TestDump:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_reads_back(self, preset: str, written) -> None:
        config = load_config(None, overrides=["phrase=hey computer"], preset=preset)
        assert load_config(written(dump_config(config)), overrides=[], preset=None) == config

    @settings(max_examples=200)
    @given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
    def test_any_phrase_survives(self, phrase: str) -> None:
        assert parse(dump({"phrase": phrase}), name="x").value == {"phrase": phrase}

    @pytest.mark.parametrize(
        "phrase", ["no", "1e-3", "010", "~", "null", "true", "yes", "1:30", "é", "#a", "a: b", "'"]
    )
    def test_phrases_that_look_like_something_else(self, phrase: str, written) -> None:
        config = Config(phrase=phrase)
        assert load_config(written(dump_config(config)), overrides=[], preset=None).phrase == phrase

    def test_no_value_is_shared_by_an_alias(self) -> None:
        shared = ["a"]
        assert parse(dump({"x": shared, "y": shared}), name="x").value == {"x": ["a"], "y": ["a"]}


def test_only_one_architecture_starts_from_a_trunk() -> None:
    with pytest.raises(ConfigError, match=r"starts from random weights only, but student.trunk is 'small'"):
        load_config(None, overrides=["student.architecture=bc_resnet"], preset=None)
    words = ["student.architecture=bc_resnet", "student.trunk=none"]
    assert load_config(None, overrides=words, preset=None).student.architecture == "bc_resnet"


def test_the_committed_configuration_is_the_defaults() -> None:
    path = REPOSITORY / "configs" / "standard.yaml"
    loaded = load_config(path, overrides=[], preset=None)
    assert loaded == Config(phrase="hey computer")
    body = "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("#"))
    assert body == dump_config(Config(phrase="hey computer"))


def test_every_field_can_be_described() -> None:
    for section in Config.model_fields.values():
        assert describe(section)
