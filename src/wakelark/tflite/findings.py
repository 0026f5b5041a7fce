"""What `wakelark lint` found: each thing with where it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from wakelark.tflite.tflm import Arena


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing.

    Attributes:
        fatal: whether a device will not run the model because of it.
        where: the key, tensor or operator.
        what: is wrong.
        remedy: what to do.
    """

    fatal: bool
    where: str
    what: str
    remedy: str

    @property
    def text(self) -> str:
        """One line, without what a hostile file could do to a terminal."""
        line = f"{'error' if self.fatal else 'warning'}: {self.where}: {self.what}; {self.remedy}"
        return "".join(letter if letter.isprintable() else "?" for letter in line)


def error(where: str, what: str, remedy: str) -> Finding:
    """Something that keeps the model from running."""
    return Finding(True, where, what, remedy)


def warning(where: str, what: str, remedy: str) -> Finding:
    """Something that the model runs with, but not as it should."""
    return Finding(False, where, what, remedy)


@dataclass(frozen=True, slots=True)
class ModelLint:
    """Of a `.tflite` file.

    Attributes:
        findings: the fatal ones too.
        operators: how often each operator stands in the file.
        variables: resource variables.
        size_bytes: of the file.
        arena: what TFLite-Micro needed; None when it was not tried.
    """

    findings: list[Finding]
    operators: dict[str, int]
    variables: int
    size_bytes: int
    arena: Arena | None
