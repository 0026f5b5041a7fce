"""Mining rounds: one that does not help is undone and said; what one found is read back and not looked for again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE, to_int16
from wakelark.config import Config, MiningConfig, TeacherConfig, TrainingConfig
from wakelark.corpus.clip import Clip
from wakelark.corpus.streams import Piece, write_stream
from wakelark.export.parity import probe_audio
from wakelark.models.heads import HeadEnsemble
from wakelark.pipeline.corpus import Corpus, stream_line
from wakelark.pipeline.development import DevelopmentSet, PositiveTrial
from wakelark.pipeline.learners import Heads
from wakelark.pipeline.mined_file import read_rounds
from wakelark.pipeline.mining import TrainStream
from wakelark.pipeline.rounds import Ground, Mined, mine
from wakelark.pipeline.run_folder import RunFolder
from wakelark.pipeline.teacher import TeacherJob
from wakelark.training.clip_features import ClipFeatures
from wakelark.training.front_ends import embeddings, log_mel
from wakelark.training.stream_features import StreamFeatures
from wakelark.training.view_store import RECORD, ViewStore, shard_bytes

SECONDS = 25


@dataclass(slots=True)
class Stage:
    """The mining stage of a small run, ready to be called again and again."""

    job: TeacherJob
    corpus: Corpus
    stream: TrainStream
    folder: RunFolder

    def run(self) -> tuple[Mined[HeadEnsemble], list[str]]:
        warnings: list[str] = []
        quiet = lambda done, total, what: None  # noqa: E731
        learner = Heads(self.job, quiet, warnings.append)
        heads = learner.train(self.job.store, data_key=self.job.data_key, name=learner.name)
        ground = Ground(
            config=self.job.config, corpus=self.corpus, streams=[self.stream], views=self.folder.views,
            found=self.folder.mined, known=[], progress=quiet, warn=warnings.append,
        )  # fmt: skip
        start = Mined(heads, self.job.store, self.job.data_key)
        return mine(learner, start, rounds=self.job.config.mining.rounds, ground=ground), warnings


def views(folder: Path, rng: np.random.Generator) -> ViewStore:
    """Thirty views of the phrase and as many of something else, told apart by their embeddings' mean."""
    records = np.zeros(60, RECORD)
    records["embeddings"] = rng.normal(size=(60, 16, 96))
    records["embeddings"][:30] += 0.3
    (folder / "shard.npy").write_bytes(shard_bytes(records))
    clips = tuple(
        Clip(id=f"{n:016x}", path="x.flac", samples=9, label=int(n < 30), kind="alone" if n < 30 else "sentence")
        for n in range(60)
    )
    order = np.arange(60, dtype=np.int32)
    zeros = np.zeros(60, np.int32)
    return ViewStore(shards=(folder / "shard.npy",), shard=zeros, row=order, clips=clips, clip=order, view=zeros)


@pytest.fixture(params=[0, 1])
def stage(request: pytest.FixtureRequest, tmp_path: Path, cache: Path) -> Stage:
    rng = np.random.default_rng(request.param)
    audio = to_int16(probe_audio(rng, seconds=SECONDS))
    stream = write_stream(
        [Piece("a.wav", "0" * 16, audio)], name="radio", path="recordings/radio.npy", role="train", kind="speech",
        licence="CC0", package="radio", version="", skipped=[],
    )  # fmt: skip
    config = Config(
        phrase="hey you", seed=request.param, teacher=TeacherConfig(heads=1, steps=6, batch_size=16),
        training=TrainingConfig(workers=1),
        mining=MiningConfig(rounds=1, events_per_round=4, share_per_source=1.0, score_min=1e-6, quarantine_score=1.0),
    )  # fmt: skip
    trials = [
        PositiveTrial(
            ClipFeatures(np.zeros((1, 40), np.float16), rng.normal(0.3, 1, (40, 96)).astype(np.float16)),
            1.6,
            3.5,
            n,
            False,
        )
        for n in range(10)
    ]
    quiet = StreamFeatures(
        "dev", 400 * 1280, np.zeros((1, 40), np.float16), rng.normal(size=(390, 96)).astype(np.float16)
    )
    folder = RunFolder(tmp_path / "run")
    folder.root.mkdir()
    job = TeacherJob(
        config=config, store=views(tmp_path, rng), development=DevelopmentSet(trials, [quiet], config.evaluation),
        data_key="data", folder=folder.checkpoints / "teacher", metrics=folder.metrics, name="teacher",
        resume_command="again",
    )  # fmt: skip
    line = stream_line(stream)
    heard = TrainStream(line, StreamFeatures("radio", SECONDS * SAMPLE_RATE, log_mel(audio), embeddings(audio)))
    return Stage(job, Corpus([line], [stream]), heard, folder)


def test_a_round_is_kept_if_it_helps_and_else_undone_loudly_and_either_way_read_back(stage: Stage) -> None:
    got, warnings = stage.run()
    (result,) = got.rounds
    (written,) = read_rounds(stage.folder.mined)
    assert result.events == len(written.of("keep", "undone")) > 0
    assert result.quarantined == len(written.of("quarantine"))
    if result.kept:
        assert result.figure_after < result.figure_before
        assert got.clips == written.of("keep")
        assert len(got.store) == 60 + 3 * result.events
        assert not any("undone" in warning for warning in warnings)
    else:
        assert result.figure_after >= result.figure_before
        assert (got.clips, len(got.store), written.of("keep")) == ([], 60, [])
        assert any(warning.startswith("mining round 1 was undone") for warning in warnings)

    # The list is what counts: an event that is taken out of it is not found again.
    lines = stage.folder.mined.read_text().splitlines(keepends=True)
    stage.folder.mined.write_text("".join(lines[:1] + lines[2:]))
    for name in ("teacher-mined-1", "views"):
        for file in stage.folder.root.rglob(f"{name}/**/*"):
            if file.is_file():
                file.unlink()
    again, _ = stage.run()
    (reread,) = read_rounds(stage.folder.mined)
    assert [line.clip for line in reread.lines] == [line.clip for line in written.lines[1:]]
    assert again.rounds[0].figure_before == result.figure_before


def test_a_list_of_other_data_is_not_read_back(stage: Stage) -> None:
    first, _ = stage.run()
    stage.folder.mined.write_text(stage.folder.mined.read_text().replace('"data": "', '"data": "other'))
    for file in stage.folder.root.rglob("teacher-mined-1/**/*"):
        if file.is_file():
            file.unlink()
    again, _ = stage.run()
    assert again.rounds == first.rounds
    assert "other" not in stage.folder.mined.read_text()


def test_a_round_whose_every_event_may_be_the_phrase_trains_nothing_and_says_so(stage: Stage) -> None:
    stage.job.config.mining.quarantine_score = 1e-9
    got, warnings = stage.run()
    (result,) = got.rounds
    assert (result.events, result.kept, got.clips, len(got.store)) == (0, False, [], 60)
    assert result.quarantined == len(read_rounds(stage.folder.mined)[0].of("quarantine")) > 0
    assert any("mining round 1 trained on nothing" in warning for warning in warnings)
