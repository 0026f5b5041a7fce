"""`wakelark ablate` end to end: two arms, two seeds, interrupted, gone on with."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from .conftest import TIMEOUT_S, CommandLine, Trained

TINY = [
    "--phrase", "alexa", "--preset", "smoke", "--seeds", "2", "--set", "training.steps=20",
    "--set", "training.steps_per_epoch=20", "--set", "teacher.steps=40", "--set", "mining.score_min=1e-6",
]  # fmt: skip


@pytest.fixture(scope="module")
def ablated(wakelark: CommandLine, smoke: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished ablation that was interrupted once. `smoke` has filled the cache with the phrase's speech."""
    folder = tmp_path_factory.mktemp("ablation") / "out"
    process = wakelark.start("ablate", *TINY, "--arms", "A0", "--arms", "B", "--out", folder)
    end_s = time.monotonic() + TIMEOUT_S
    while process.poll() is None and not list(folder.glob("alexa/runs/*.json")) and time.monotonic() < end_s:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 143, said
    assert "Go on with: wakelark ablate" in said
    assert "Traceback" not in said
    done = wakelark.run("ablate", *TINY, "--arms", "A0", "--arms", "B", "--out", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((folder / "ablation.json").read_text())
    return folder


def test_every_cell_has_a_run_and_pairs_are_compared(ablated: Path) -> None:
    result = json.loads((ablated / "ablation.json").read_text())
    assert [(run["arm"], run["seed"]) for run in result["runs"]] == [("A0", 0), ("A0", 1), ("B", 0), ("B", 1)]
    assert [run["distilled_share"] for run in result["runs"]] == [0.0, 0.0, 1.0, 1.0]
    assert len(result["teacher"]) == 1
    (row,) = result["comparisons"]
    assert (row["name"], row["pairs"], row["clean"]["mean"]["p"]) in (("distillation", 2, p) for p in (0.5, 1.0))
    assert "synthetic voices" in (ablated / "ablation.md").read_text()
    assert not list(ablated.glob("alexa/unfinished/*"))


def test_a_finished_ablation_is_only_counted_again(ablated: Path, wakelark: CommandLine) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in ablated.glob("alexa/runs/*.json")}
    assert len(before) == 4
    done = wakelark.run("ablate", *TINY, "--arms", "A0", "--arms", "B", "--out", ablated, "--json")
    assert done.returncode == 0, done.stderr
    assert {path.name: path.stat().st_mtime_ns for path in ablated.glob("alexa/runs/*.json")} == before


def test_wrong_words_are_refused_at_once(wakelark: CommandLine, tmp_path: Path) -> None:
    for words, complaint in (
        (["--arms", "Z"], "no arm 'Z'"),
        (["--positives", "snowboy=x"], "none of the phrases"),
        (["--set", "loss.nothing=1"], "unknown key"),
    ):
        done = wakelark.run("ablate", *TINY, *words, "--out", tmp_path / "out")
        assert done.returncode == 2, done.stderr
        assert complaint in done.stderr
        assert not (tmp_path / "out" / "alexa").exists()
