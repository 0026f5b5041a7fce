"""A speaker farther away: the clip in a simulated room, quieter and with more of the room in it.

The rooms are drawn as training draws them (`augment.room`), with other draws, so figures at a distance say what
distance costs, and flatter: a real room has furniture, other noise and a talker who turns away.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from wakelark.audio import Float32Array
from wakelark.augment.room import Room
from wakelark.augment.signal import peak

AS_RECORDED_M = 0.5
"""How far away the speaker of a clip as it is counts as being."""
_ACROSS = 1.7
"""The farthest place in a room, in sides of a cube of the same volume."""


def at_distance(audio: Float32Array, distance_m: float, *, rng: np.random.Generator) -> Float32Array:
    """The audio as a microphone at this distance hears it, in a room that is drawn.

    The direct sound falls with the distance from `AS_RECORDED_M` on; that of the room stays, so the ratio of direct to
    reverberant energy is `(critical distance / distance)^2`. A room in which there is no such distance is made larger.
    The length stays, and the direct sound stays where it is.

    Shape: `[N] -> [N]`

    Raises:
        ValueError: nearer than `AS_RECORDED_M`.
    """
    if distance_m < AS_RECORDED_M:
        raise ValueError(f"{distance_m} m: a clip counts as spoken at {AS_RECORDED_M} m and cannot be brought nearer")
    room = Room()
    drawn = room.draw(rng)
    params = dataclasses.replace(
        drawn, distance_m=distance_m, volume_m3=max(drawn.volume_m3, (distance_m / _ACROSS) ** 3)
    )
    heard = room.apply(audio, params) * np.float32(AS_RECORDED_M / distance_m)
    return heard / np.float32(max(1.0, peak(heard)))
