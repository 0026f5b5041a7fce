"""Signals between checkpoints end in one message that says how to go on, and leave no handler behind."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from wakelark.config import Config
from wakelark.errors import BusyError, Interrupted
from wakelark.pipeline.folder_lock import hold_folder
from wakelark.pipeline.interruptible import interruptible
from wakelark.pipeline.trunk import make_trunk

COMMAND = "wakelark trunk --out 'my trunk' --set seed=1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_becomes_an_error_with_the_command_that_goes_on(number: signal.Signals) -> None:
    before = [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises(Interrupted) as stopped, interruptible(COMMAND):
        signal.raise_signal(number)
    assert stopped.value.exit_code == 128 + number
    assert str(stopped.value).endswith(f"Go on with: {COMMAND}")
    assert [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(COMMAND):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        (f"stopped after step 3; go on with: {COMMAND}", f"stopped after step 3; go on with: {COMMAND}"),
        ("stopped at once", f"stopped at once. Go on with: {COMMAND}"),
    ],
)
def test_what_a_training_said_is_kept_and_the_command_is_named_once(inner: str, outer: str) -> None:
    with pytest.raises(Interrupted) as stopped, interruptible(COMMAND):
        raise Interrupted(inner, signal.SIGTERM)
    assert (str(stopped.value), stopped.value.exit_code) == (outer, 143)


def test_two_trunks_are_not_made_in_one_folder(tmp_path: Path) -> None:
    with hold_folder(tmp_path), pytest.raises(BusyError, match="in use by process"):
        make_trunk(Config(), tmp_path, progress=lambda done, total, what: None, resume_command=COMMAND)
    assert not (tmp_path / "speech").exists()
