"""The command line: one file per verb; each parses, calls one function and prints.

Verbs are imported only when they are called for, so that `wakelark --help` and the runtime verbs start fast and need
nothing beyond the base install.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

if TYPE_CHECKING:
    import typer

# Spinning OpenMP threads make two busy cores slower than one; this must be set before torch or onnxruntime load.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

VERBS = {
    "train": "From a phrase to models: synthesise, train, distil, measure, export.",
    "mine": "Let a run's models hear long audio; what fools them becomes hard negatives.",
    "add": "Add your own clips, or a device's false alarms, to a run's corpus.",
    "fetch": "Bring the voices and the recordings without the phrase, once for all phrases.",
    "say": "Hear how the phrase will be pronounced before training.",
    "export": "What each ecosystem loads (ONNX, openWakeWord, ESPHome, web), proven in its own runtime.",
    "report": "Write the page of a finished run anew.",
    "evaluate": "Miss rate and false alarms per hour of a model, with intervals.",
    "benchmark": "A model beside the published ones for the same phrase: accuracy, CPU, memory, size.",
    "diagnose": "Why a model fired on a recording, or did not, and what to do.",
    "ablate": "Which parts of the recipe help: paired runs with intervals and tests.",
    "detect": "Find the phrase in audio files.",
    "score": "The raw scores of a model over an audio file.",
    "listen": "Listen on the microphone.",
    "lint": "Whether a model for ESPHome will boot on an ESP32, and why not.",
    "serve": "A Wyoming wake service for Home Assistant and satellites.",
    "trunk": "Distil the student's phrase-free trunk from the speech embedding, once for all phrases.",
    "doctor": "What this machine has, what is missing, what to do.",
}
"""Every verb with its one-line help; the module of that name in this package holds the function of that name."""

INTERRUPTED = 130
_REMEDIES = {
    errno.ENOSPC: "free some disk space",
    errno.EDQUOT: "your disk quota is used up: free some space",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n 4096)",
}


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run `wakelark`: the only place that turns errors into messages and exit codes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # help and tables hold characters that an ASCII terminal has not
            stream.reconfigure(errors="replace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    sys.exit(_run(words, debug=debug))


def _run(words: list[str], *, debug: bool) -> int:
    import typer

    from wakelark.errors import WakelarkError

    json_output = "--json" in words
    try:
        result = typer.main.get_command(_app(words)).main(args=words, prog_name="wakelark", standalone_mode=False)
        if result == INTERRUPTED:  # typer turns Ctrl-C into this without a word
            return _fail("interrupted", INTERRUPTED, json_output=json_output)
        return result if isinstance(result, int) else 0
    except WakelarkError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code, json_output=json_output)
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED, json_output=json_output)
    except BrokenPipeError:
        # The reader (`| head`) went away: nothing more to say, and nothing may be said on stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer_usage_error() as error:
        return _fail(cast(_UsageError, error).format_message(), 2, json_output=json_output)
    except Exception as error:
        if debug:
            raise
        message, code = _explain(error)
        return _fail(message, code, json_output=json_output)


def _explain(error: Exception) -> tuple[str, int]:
    """Message and exit code of an error that no verb foresaw: most often the machine's fault, else a bug."""
    match error:
        case ModuleNotFoundError(name=str(name)) if not name.startswith("wakelark"):
            remedy = 'install the training part: pip install "wakelark[train]" (or -e ".[all]" in a clone)'
            return f"this needs the package {name}, which is not installed; {remedy}", 5
        case MemoryError() | RuntimeError() if isinstance(error, MemoryError) or _is_torchs_memory(error):
            return "out of memory; close other programs, or choose a smaller --preset, and run the command again", 5
        case OSError(errno=int(number)) if number in _REMEDIES:
            place = f" {error.filename}" if error.filename is not None else ""
            return f"cannot write{place}: {error.strerror}; {_REMEDIES[number]}, and run the command again", 5
    return f"a bug in wakelark: {type(error).__name__}: {error} (run again with --debug and report it)", 1


def _is_torchs_memory(error: Exception) -> bool:
    """torch says so in a plain RuntimeError on the CPU, and in a subclass of it on a GPU."""
    text = str(error)
    return "not enough memory" in text or "can't allocate memory" in text or "CUDA out of memory" in text


class _UsageError(Protocol):
    def format_message(self) -> str: ...


def typer_usage_error() -> type[Exception]:
    """The exception of wrong command-line words; typer ships its own copy of click in newer versions."""
    import typer

    return next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def _fail(message: str, code: int, *, json_output: bool = False) -> int:
    import json

    from wakelark.cli.output import note

    if json_output:
        print(json.dumps({"error": message, "exit_code": code}))
    if message:  # none beside the help that a bare `wakelark` prints
        note(f"wakelark: {message}")
    return code


def _app(words: list[str]) -> typer.Typer:
    """The typer application. Only the module of the verb asked for is imported; the others are named by their help."""
    import typer

    from wakelark import __version__

    app = typer.Typer(
        add_completion=True,
        no_args_is_help=True,
        help="Custom wake words: a phrase in, detectors out.",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def print_version(value: bool) -> None:
        if value:
            print(__version__)
            raise typer.Exit

    @app.callback()
    def _options(
        version: bool = typer.Option(False, "--version", callback=print_version, is_eager=True, help="Print it."),
    ) -> None:
        """Options before the verb; `--debug` anywhere shows tracebacks."""

    asked = next((word for word in words if word in VERBS), None)
    for verb, summary in VERBS.items():
        module = f"wakelark.cli.{verb}"
        function = vars(importlib.import_module(module))[verb] if verb == asked else _placeholder(verb)
        app.command(verb, help=None if verb == asked else summary)(function)
    return app


def _placeholder(verb: str) -> Callable[[], None]:
    def unused() -> None:
        raise AssertionError(f"{verb} was called without being asked for")

    return unused
