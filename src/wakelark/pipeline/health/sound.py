"""Clips that are silent, clipped, noisy, cut, narrow-band or broken, and recordings that are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wakelark.audio import SAMPLE_RATE, to_float
from wakelark.corpus.cache import cache_folder
from wakelark.corpus.clip import Clip
from wakelark.corpus.streams import Stream
from wakelark.evaluation.sound_check import REMEDIES, SAID, Fault, FaultCode, measure_sound, sound_faults
from wakelark.pipeline.health.findings import LISTED, Finding
from wakelark.pipeline.health.own import Material
from wakelark.training.clip_audio import ClipReader

WARN_SHARE: Mapping[FaultCode, float] = {
    "silent": 0.0, "clipped": 0.1, "cut_start": 0.1, "cut_end": 0.1, "dropouts": 0.1, "narrow": 0.2, "quiet": 0.3,
    "offset": 0.3, "noisy": 0.5,
}  # fmt: skip
"""Above this share of the own recordings a fault is a warning. A few noisy or faint ones are good to learn from."""
OF_A_VOICE: tuple[FaultCode, ...] = ("silent", "clipped", "narrow", "dropouts")
"""What can be wrong with a synthesised voice: its clips are cut to the speech on purpose, and have no room."""
_WINDOWS = 40
_WINDOW_S = 2.0


def check_own_sound(material: Material) -> list[Finding]:
    """Faults of the user's clips, one finding per fault."""
    own = material.own
    faulty: dict[FaultCode, list[tuple[Clip, Fault]]] = {}
    for clip in own:
        for fault in sound_faults(measure_sound(to_float(material.audio[clip.id]))):
            if fault.code == "noisy" and clip.label == 0:
                continue  # negatives may be all noise
            faulty.setdefault(fault.code, []).append((clip, fault))
    return [
        Finding(
            check=code.replace("_", "-"), level="warn" if len(found) / len(own) > WARN_SHARE[code] else "note",
            count=len(found), of=len(own), what=f"{len(found)} of {len(own)} own recordings are {SAID[code]}",
            remedy=REMEDIES[code],
            items=tuple(
                {"file": material.name(clip), "detail": fault.what, "split": clip.split}
                for clip, fault in found[:LISTED]
            ),
        )
        for code, found in faulty.items()
    ]  # fmt: skip


def check_voices(material: Material) -> tuple[list[Finding], int]:
    """Faults of synthesised voices, by one clip of each; and how many voices that are."""
    one = {clip.voice: clip for clip in material.spoken}
    reader = ClipReader(cache_folder())
    faulty: dict[FaultCode, list[str]] = {}
    for voice, clip in one.items():
        for fault in sound_faults(measure_sound(reader.read(clip))):
            if fault.code in OF_A_VOICE:
                faulty.setdefault(fault.code, []).append(voice)
    findings = [
        Finding(
            check=f"voice-{code}", level="warn" if code == "silent" else "note", count=len(voices),
            of=len(one), what=f"{len(voices)} of {len(one)} synthesised voices are {SAID[code]}",
            remedy="they speak so by nature; real microphones at 8 kHz sound alike, so a few do no harm"
            if code == "narrow"
            else "hear them with `wakelark say`; leave an engine out by setting its number of positives to 0",
            items=tuple({"voice": voice} for voice in voices[:LISTED]),
        )
        for code, voices in faulty.items()
    ]  # fmt: skip
    return findings, len(one)


def check_own_streams(material: Material) -> tuple[list[Finding], int]:
    """Long own recordings that are clipped or silent in a tenth of their windows; and how many were looked at."""
    own = [stream for stream in material.streams if stream.path.startswith("own/")]
    found: dict[FaultCode, list[dict[str, object]]] = {}
    for stream in own:
        windows = _windows(stream)
        faults = [fault.code for window in windows for fault in sound_faults(measure_sound(window))]
        for code in ("silent", "clipped", "narrow"):
            share = faults.count(code) / len(windows)
            if share > (0.9 if code == "silent" else 0.1):
                name = material.names.get(stream.name, stream.path)
                detail = f"in {share:.0%} of {len(windows)} windows"
                found.setdefault(code, []).append({"file": name, "detail": detail, "split": stream.role})
    findings = [
        Finding(
            check=f"recording-{code}", level="note" if code == "narrow" else "warn", count=len(items), of=len(own),
            what=f"{len(items)} of {len(own)} own long recordings are {SAID[code]}", remedy=REMEDIES[code],
            items=tuple(items[:LISTED]),
        )
        for code, items in found.items()
    ]  # fmt: skip
    return findings, len(own)


def _windows(stream: Stream) -> list[np.ndarray]:
    """Windows of two seconds, evenly over the recording."""
    audio = np.load(cache_folder() / stream.path, mmap_mode="r")
    length = round(_WINDOW_S * SAMPLE_RATE)
    starts = np.linspace(0, max(0, len(audio) - length), _WINDOWS).astype(int)
    return [to_float(np.asarray(audio[start : start + length])) for start in np.unique(starts)]
