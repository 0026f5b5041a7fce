"""Data health: repeats, balance, sound and labels, on made clips and on recordings of people."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch

from wakelark.audio import SAMPLE_RATE, Int16Array, read_audio, to_float, to_int16, write_wav
from wakelark.config import CorpusConfig
from wakelark.corpus.clip import Clip
from wakelark.corpus.speech_span import speech_span
from wakelark.corpus.streams import Piece, write_stream
from wakelark.evaluation.label_check import cross_entropy, odd_ones, own_votes
from wakelark.evaluation.repeats import find_repeats, same_take
from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.pipeline.health.balance import check_balance, check_lengths
from wakelark.pipeline.health.check import check_folders
from wakelark.pipeline.health.findings import Finding, Health
from wakelark.pipeline.health.labels import (
    bad_voices,
    doubted_by_heads,
    doubted_by_speech,
    label_findings,
    left_out_losses,
)
from wakelark.pipeline.health.own import Material, gather
from wakelark.pipeline.health.repeats import check_equal, check_near
from wakelark.pipeline.health.sound import check_own_sound, check_own_streams, check_voices
from wakelark.pipeline.known_sounds import choose_known, index_sounds
from wakelark.pipeline.teacher import in_fold
from wakelark.training.view_store import RECORD, ViewStore, shard_bytes

from .test_evaluate_cli import run, run_json


def silent(done: int, total: int, what: str) -> None:
    """No progress."""


def talk(seed: int, *, seconds: float = 1.0, level: float = 0.1) -> Int16Array:
    """Noise whose loudness and colour change like speech, in a quiet room: another seed is another take."""
    rng = np.random.default_rng(seed)
    audio = rng.standard_normal(2 * SAMPLE_RATE) * 1e-4
    count = round(seconds * 12)
    for part in range(count):
        length = round(seconds * SAMPLE_RATE / count)
        piece = rng.standard_normal(length)
        width = int(rng.integers(1, 12))
        piece = np.convolve(piece, np.ones(width) / width, "same") * np.hanning(length) * rng.uniform(0.2, 1)
        start = 8_000 + part * length
        audio[start : start + length] += level * 3 * piece
    return to_int16(np.clip(audio, -1, 1).astype(np.float32))


def own(cache: Path, audio: Int16Array, number: int, **changes: Any) -> Clip:
    """An own clip in the cache."""
    path = f"own/{number}.flac"
    (cache / "own").mkdir(parents=True, exist_ok=True)
    soundfile.write(cache / path, audio, SAMPLE_RATE, subtype="PCM_16")
    label = changes.get("label", 1)
    values: dict[str, Any] = {
        "id": hashlib.sha256(audio.tobytes()).hexdigest()[:16], "path": path, "samples": len(audio), "label": label,
        "kind": "own_positive" if label else "own_negative", "voice": f"own/v{number}", "phrase_start": 8_000,
        "phrase_end": 24_000,
    }  # fmt: skip
    if not label:
        values |= {"phrase_start": None, "phrase_end": None}
    return Clip(**(values | changes))


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def encoded(audio: Int16Array, container: str) -> Int16Array:
    buffer = io.BytesIO()
    soundfile.write(buffer, to_float(audio), SAMPLE_RATE, format=container)
    buffer.seek(0)
    return to_int16(np.asarray(soundfile.read(buffer, dtype="float32")[0], np.float32))


def copies_of(audio: Int16Array) -> dict[str, Int16Array]:
    """What people do to a recording without noticing that it stays the same."""
    low = soxr.resample(soxr.resample(to_float(audio), SAMPLE_RATE, 11_025), 11_025, SAMPLE_RATE)
    hiss = np.random.default_rng(9).standard_normal(len(audio)) * 20
    return {
        "turned down": (audio // 8).astype(np.int16),
        "trimmed": audio[3_200:-2_000],
        "moved": np.concatenate([np.zeros(5_000, np.int16), audio]),
        "ogg": encoded(audio, "OGG"),
        "mp3": encoded(audio, "MP3"),
        "resampled": to_int16(low.astype(np.float32)),
        "upside down": (-audio).astype(np.int16),
        "with hiss": np.clip(audio + hiss, -32768, 32767).astype(np.int16),
    }


def test_copies_of_a_take_are_found_and_other_takes_are_not() -> None:
    takes = [talk(seed) for seed in range(6)]
    changed = copies_of(takes[2])
    clips = [*takes, *changed.values()]
    assert find_repeats(clips) == [[2, *range(6, 6 + len(changed))]]
    assert find_repeats(takes) == []
    assert find_repeats([]) == find_repeats(takes[:1]) == []
    assert not same_take(np.zeros(100, np.int16), takes[0])


def test_copies_of_recordings_of_people_are_found(real_recordings: Path) -> None:
    paths = sorted((real_recordings / "alexa").glob("*.flac"))[:12]
    takes = [to_int16(read_audio(path, max_seconds=10)) for path in paths]
    groups = find_repeats([*takes, *copies_of(takes[3]).values()])
    assert [3, *range(12, 20)] in groups
    assert find_repeats(takes) == []


def test_repeats_across_splits_and_labels_are_warnings(cache: Path) -> None:
    first, second, third = talk(1), talk(2), talk(3)
    clips = [
        own(cache, first, 0), own(cache, first, 1, split="test"),
        own(cache, second, 2), own(cache, second, 3, label=0),
        own(cache, third, 4), own(cache, third, 5),
        own(cache, encoded(talk(4), "MP3"), 6), own(cache, talk(4), 7, split="dev"),
    ]  # fmt: skip
    material = gather(clips, (), {clips[0].id: "given/a.wav"})
    equal = by_check(check_equal(material))
    assert {check: (finding.level, finding.count) for check, finding in equal.items()} == {
        "repeats-across-splits": ("warn", 2), "repeats-across-labels": ("warn", 2), "repeats": ("note", 2),
    }  # fmt: skip
    assert equal["repeats-across-splits"].items[0]["file"] == "given/a.wav"
    assert equal["repeats-across-splits"].items[0]["splits"] == ["test", "train"]
    near, groups, compared = check_near(material)
    assert (by_check(near)["near-repeats-across-splits"].count, compared) == (2, 8)
    assert sorted(len(group) for group in groups) == [2, 2, 2, 2]


def test_recordings_in_two_roles_are_found(cache: Path) -> None:
    pieces = [Piece("a.wav", "digest", talk(1))]
    streams = [
        write_stream(
            pieces, name=role, path=f"own/{role}.npy", role=role, kind="speech", licence="x", package="p", version="",
            skipped=[],
        )
        for role in ("train", "test")
    ]  # fmt: skip
    (finding,) = check_equal(Material(clips=[], streams=streams))
    assert (finding.check, finding.count, finding.items[0]["file"]) == ("recordings-across-splits", 1, "a.wav")


def test_faults_of_own_clips_voices_and_recordings(cache: Path) -> None:
    clipped = np.clip(talk(2, level=2.0), -8_000, 8_000).astype(np.int16)
    hiss = to_int16((np.random.default_rng(0).standard_normal(32_000) * 0.1).astype(np.float32))
    spoken = own(cache, np.zeros(16_000, np.int16), 4, kind="alone", voice="espeak/mute", engine="espeak")
    clips = [own(cache, talk(1), 0), own(cache, clipped, 1), own(cache, hiss, 2, label=0), spoken]
    stream = write_stream(
        [Piece("long.wav", "d", np.tile(clipped, 20))], name="own-1", path="own/long.npy", role="train", kind="speech",
        licence="x", package="p", version="", skipped=[],
    )  # fmt: skip
    material = gather(clips, (stream,), {})
    (finding,) = check_own_sound(material)  # noise alone is a fine negative
    assert (finding.check, finding.level, finding.count, finding.of) == ("clipped", "warn", 1, 3)
    assert finding.items[0]["file"] == "own/1.flac"
    voices, heard = check_voices(material)
    assert ([found.check for found in voices], heard) == (["voice-silent"], 1)
    recordings, heard = check_own_streams(material)
    assert ([found.check for found in recordings], heard) == (["recording-clipped"], 1)


def plain(number: int, **changes: Any) -> Clip:
    values: dict[str, Any] = {"id": str(number), "path": "x", "samples": 16_000, "label": 1, "kind": "alone"}
    return Clip(**(values | changes))


def test_who_dominates_is_told() -> None:
    spoken = [plain(number, voice=f"espeak/{number % 30}", engine="espeak") for number in range(60)]
    assert by_check(check_balance(Material(clips=spoken, streams=()), complete=True)).keys() == {"dominant-engine"}
    loud = [plain(100 + number, voice="own/me", kind="own_positive", engine="recording") for number in range(40)]
    other = [plain(200, voice="own/you", kind="own_positive", engine="recording")]
    found = by_check(check_balance(Material(clips=[*spoken, *loud, *other], streams=()), complete=True))
    assert found.keys() == {"dominant-engine", "dominant-voice", "dominant-own-voice"}
    assert (found["dominant-voice"].count, found["dominant-voice"].of) == (40, 101)
    few = by_check(check_balance(Material(clips=spoken[:5], streams=()), complete=True))
    assert few["few-voices"].count == 5
    assert check_balance(Material(clips=loud, streams=()), complete=False) == []


def test_recordings_of_odd_length_are_told() -> None:
    usual = [plain(number, kind="own_positive", phrase_start=0, phrase_end=12_000) for number in range(10)]
    odd = plain(10, kind="own_positive", phrase_start=0, phrase_end=30_000)
    long = plain(11, kind="own_positive", samples=6 * SAMPLE_RATE, phrase_start=0, phrase_end=12_000)
    found = by_check(check_lengths(Material(clips=[*usual, odd, long], streams=())))
    assert {check: finding.count for check, finding in found.items()} == {"odd-length": 1, "long": 1}


def test_a_finding_is_a_sentence_and_warnings_come_first() -> None:
    note = Finding(check="a", level="note", count=1, of=2, what="w", remedy="r")
    warning = Finding(
        check="b", level="warn", count=4, of=5, what="4 of 5 are bad", remedy="mend them",
        items=({"file": "x"}, {"file": "y"}),
    )  # fmt: skip
    health = Health()
    health.add([note, warning])
    assert [finding.check for finding in health.findings] == ["b", "a"]
    assert health.warnings() == ["data: 4 of 5 are bad (x, y, ...): mend them"]
    assert json.loads(json.dumps(health.facts()))["warnings"] == 1


def test_votes_leave_out_who_must_not_vote() -> None:
    similarities = np.array([[1.0, 0.9, 0.8, 0.1], [0.9, 1.0, 0.2, 0.3]], np.float32)
    labels = np.array([0, 1, 0, 1])
    shares = own_votes(similarities, labels, np.array([0, 1]), excluded=[[0], [1, 0]])
    assert shares.tolist() == [pytest.approx(1 / 3), pytest.approx(1 / 2)]
    alike = np.array([[1, 0.8, 0.8, 0.2], [0.8, 1, 0.8, 0.2], [0.8, 0.8, 1, 0.2], [0.2, 0.2, 0.2, 1]], np.float32)
    odd = odd_ones(alike, excluded=[[0], [1], [2], [3]])
    assert odd.tolist() == pytest.approx([1, 1, 1, 0.2 / 0.6])
    assert cross_entropy(np.array([2.0, 2.0]), np.array([1, 0])) == pytest.approx(
        [np.log1p(np.exp(-2)), np.log1p(np.exp(2))]
    )


def test_positives_are_judged_by_the_head_that_never_heard_their_voice(tmp_path: Path) -> None:
    """Each head says the same of everything, so the loss of a clip tells which of them was asked."""
    clips = tuple(
        plain(number, voice=f"v{number}", kind="own_positive" if number < 20 else "alone", engine="espeak")
        for number in range(40)
    )
    records = np.zeros(80, RECORD)
    (tmp_path / "shard.npy").write_bytes(shard_bytes(records))
    clip = np.repeat(np.arange(40), 2).astype(np.int32)
    store = ViewStore(
        shards=(tmp_path / "shard.npy",), shard=np.zeros(80, np.int32), row=np.arange(80, dtype=np.int32), clips=clips,
        clip=clip, view=np.tile([0, 1], 40).astype(np.int32),
    )  # fmt: skip
    heads = [EmbeddingHead(context_steps=10, hidden=4, dropout=0.0).eval() for _ in range(4)]
    said = (3.0, -4.0, 1.0, 5.0)
    for head, value in zip(heads, said, strict=True):
        for parameter in head.parameters():
            torch.nn.init.zeros_(parameter)
        torch.nn.init.constant_(head.out.bias, value)  # pyright: ignore[reportArgumentType]
    ensemble = HeadEnsemble(heads, temperatures=[2.0] * 4, biases=[0.5] * 4)
    losses = left_out_losses(store, ensemble)
    for number, value in enumerate(said):
        left_out = {clips[clip[row]].id for row in np.flatnonzero(~in_fold(store, number, 4))}
        assert left_out
        assert {round(losses[key], 5) for key in left_out} == {round(float(np.log1p(np.exp(-(value / 2 + 0.5)))), 5)}
    assert losses.keys() == {clip.id for clip in clips}
    doubted = {key for key, loss in losses.items() if loss == max(losses.values())}
    material = Material(clips=clips, streams=())
    assert doubted_by_heads(material, losses) == []  # a probability of 18 %: too much to bother anybody
    losses = dict.fromkeys(losses, 0.1) | dict.fromkeys(doubted, 3.0)
    (finding,) = label_findings(material, [*doubted_by_heads(material, losses), *doubted_by_heads(material, losses)])
    own_doubted = [clip for clip in clips if clip.id in doubted and clip.kind == "own_positive"]
    assert (finding.count, finding.of) == (len(own_doubted), 20)  # each once, although two judges doubt it


def test_a_voice_that_does_not_say_the_phrase_is_named() -> None:
    clips = [plain(number, voice=f"espeak/{number // 4}", engine="espeak") for number in range(40)]
    losses = {clip.id: 5.0 if clip.voice == "espeak/3" and int(clip.id) % 4 else 0.1 for clip in clips}
    (finding,) = bad_voices(Material(clips=clips, streams=()), losses)
    assert (finding.check, finding.count, finding.of) == ("voice-label", 1, 10)
    assert finding.items == ({"voice": "espeak/3", "detail": "75% of its clips are doubted"},)


def test_a_whole_folder_of_other_words_is_found_by_the_synthesised_phrase(real_recordings: Path, cache: Path) -> None:
    """Recordings of people stand for the synthesis; nine of ten own recordings are of another phrase."""
    spoken, mine, other = [], [], []
    for phrase, count, clips in (("alexa", 24, spoken), ("alexa", 1, mine), ("smart_mirror", 9, other)):
        paths = sorted((real_recordings / phrase).glob("*.flac"))[30 * (clips is mine) :][:count]
        for path in paths:
            audio = to_int16(read_audio(path, max_seconds=10))
            end = (speech_span(audio) or (0, len(audio)))[1]
            changes = {"kind": "alone" if clips is spoken else "own_positive", "phrase_end": end, "engine": "x"}
            clips.append(own(cache, audio, len(spoken) + 100 * len(mine) + 1000 * len(other), **changes))
    material = gather([*spoken, *mine, *other], (), {})
    known = index_sounds(choose_known(material.clips, of_a_text=1), progress=silent)
    doubted = {doubt.clip.id for doubt in doubted_by_speech(material, known)}
    assert len(doubted & {clip.id for clip in other}) >= 8
    assert not doubted & {clip.id for clip in mine}


def folders_with_swaps(real_recordings: Path, root: Path) -> tuple[Path, Path, set[str]]:
    """Recordings of two phrases, two of each in the wrong folder."""
    alexa, mirror = (sorted((real_recordings / name).glob("*.flac"))[:90:5] for name in ("alexa", "smart_mirror"))
    wrong = set()
    for folder, mine, others in (("positives", alexa, mirror), ("negatives", mirror, alexa)):
        (root / folder).mkdir()
        for path in [*mine[2:], *others[:2]]:
            (root / folder / path.name).write_bytes(path.read_bytes())
        wrong |= {f"{folder}/{path.name}" for path in others[:2]}
    return root / "positives", root / "negatives", wrong


def test_swapped_labels_are_found_in_folders(real_recordings: Path, cache: Path, tmp_path: Path) -> None:
    positives, negatives, wrong = folders_with_swaps(real_recordings, tmp_path)
    health = check_folders(positives, negatives, config=CorpusConfig(), workers=1, progress=silent)
    doubted = {
        str(item["file"]).removeprefix(f"{tmp_path}/")
        for finding in health.findings if finding.check == "label" for item in finding.items
    }  # fmt: skip
    assert len(doubted & wrong) >= 3
    assert len(doubted - wrong) <= 1
    assert all(finding.level == "warn" for finding in health.findings if finding.check == "label")


def test_doctor_looks_at_folders(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(3):
        write_wav(folder / f"take{number}.wav", talk(number))
    write_wav(folder / "again.wav", talk(0))
    (folder / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(folder / "phone.wav", soxr.resample(to_float(talk(7)), 16_000, 8_000), 8_000)
    data = run_json(["doctor", "--positives", str(folder)], capsys)
    checks = {check["name"]: check for check in data["checks"]}
    assert {"data", "data: repeats", "data: refused-unreadable", "data: low-rate", "data: narrow"} <= checks.keys()
    assert data["data"]["checked"]["own clips"] == 4
    assert "again.wav" in json.dumps(data["data"]) or "take0.wav" in json.dumps(data["data"])
    code, out, _ = run(["doctor", "--positives", str(folder)], capsys)
    assert "phone.wav  8000 Hz" in out
    assert code == (0 if data["ok"] else 5)


def test_doctor_says_when_nothing_can_be_used(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    code, out, _ = run(["doctor", "--negatives", str(tmp_path)], capsys)
    assert code in (3, 5)
    assert "none of the 1 files" in out
    assert run(["doctor", "--positives", str(tmp_path / "gone")], capsys)[0] == 2
