"""All file targets, in the order in which they are written."""

from __future__ import annotations

from wakelark.errors import ConfigError
from wakelark.pipeline.targets.esphome import EsphomeTarget
from wakelark.pipeline.targets.onnx import OnnxTarget
from wakelark.pipeline.targets.openwakeword import OpenWakeWordTarget
from wakelark.pipeline.targets.target import Target
from wakelark.pipeline.targets.web import WebTarget

TARGETS: tuple[Target, ...] = (OnnxTarget(), OpenWakeWordTarget(), EsphomeTarget(), WebTarget())
"""A new target is a file of its own beside this one, and an entry here."""


def find_targets(names: list[str]) -> list[Target]:
    """The targets of these names, each once, in order; all for no names.

    Raises:
        ConfigError: there is no such target.
    """
    known = [target.name for target in TARGETS]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"--to {unknown[0]}: not a target; there are {', '.join(known)}")
    return [target for target in TARGETS if not names or target.name in names]
