"""The errors a user can meet, each with its exit code.

Every message says what went wrong, where, why, and what to do about it.
"""

from __future__ import annotations


class WakelarkError(Exception):
    """Base of all errors that are shown to the user as one message without a traceback."""

    exit_code = 1


class ConfigError(WakelarkError):
    """Wrong usage or configuration: nothing was started."""

    exit_code = 2


class DataError(WakelarkError):
    """Recordings, phrases or a corpus that cannot be used."""

    exit_code = 3


class ModelError(WakelarkError):
    """A model file or checkpoint that cannot be used."""

    exit_code = 4


class SetupError(WakelarkError):
    """The machine lacks something: a package, disk space, a permission, a microphone."""

    exit_code = 5


class BusyError(WakelarkError):
    """Another process already works in this folder."""

    exit_code = 6


class Interrupted(WakelarkError):
    """Ctrl-C or SIGTERM, after the work so far was saved.

    Args:
        message: what was saved and how to go on.
        signal_number: 2 for SIGINT (exit code 130), 15 for SIGTERM (exit code 143).
    """

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
