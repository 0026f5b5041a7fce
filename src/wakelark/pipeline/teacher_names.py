"""What `distillation.teachers` may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from typing_extensions import override

from wakelark.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TeacherName:
    """An entry of `distillation.teachers`: "heads", "run:DIR" or "hf:DIR"."""

    kind: Literal["heads", "run", "hf"]
    folder: Path

    @override
    def __str__(self) -> str:
        return "heads" if self.kind == "heads" else f"{self.kind}:{self.folder}"


def teacher_names(entries: Sequence[str]) -> list[TeacherName]:
    """The entries of `distillation.teachers`, with whole paths, so that a run may be resumed from anywhere.

    Raises:
        ConfigError: there is none, one is named twice, or one is of no known kind.

    >>> [str(name) for name in teacher_names(["heads", "run:/runs/alexa"])]
    ['heads', 'run:/runs/alexa']
    """
    names = []
    for entry in entries:
        kind, _, folder = entry.partition(":")
        if entry == "heads":
            names.append(TeacherName("heads", Path()))
        elif kind in ("run", "hf") and folder.strip():
            names.append(TeacherName(kind, Path(folder.strip()).expanduser().resolve()))
        else:
            raise ConfigError(
                f"distillation.teachers: {entry!r} is no teacher; take heads, run:DIR (a finished run) or hf:DIR (a "
                f"local Hugging Face directory)"
            )
    if not names:
        raise ConfigError("distillation.teachers is empty; name one (heads), or set distillation.enabled: false")
    if len(set(names)) < len(names):
        raise ConfigError(f"distillation.teachers names a teacher twice: {', '.join(map(str, names))}")
    return names
