"""Codec: what telephones, radio links and music compression do to speech, imitated in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wakelark.audio import Float32Array
from wakelark.augment.signal import fft_size, peak

KINDS = ("mu_law", "telephone", "bits", "transform")
MU = 255.0
FRAME = 512
BAND = 8


@dataclass(frozen=True, slots=True)
class CodecParams:
    """A kind of `KINDS`, bits per sample ("bits") and the coarseness of a transform codec ("transform")."""

    kind: str
    bits: int = 16
    coarseness: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """One of: mu-law at 16 kHz; mu-law at 8 kHz ("telephone"); fewer bits; coarse spectral bands ("transform").

    All work relative to the peak, as behind a recorder's level control, so a quiet view is not destroyed.
    """

    bits_min: int = 7
    bits_max: int = 11
    coarseness_min: float = 0.3
    coarseness_max: float = 1.2

    def draw(self, rng: np.random.Generator) -> CodecParams:
        return CodecParams(
            kind=KINDS[int(rng.integers(len(KINDS)))],
            bits=int(rng.integers(self.bits_min, self.bits_max + 1)),
            coarseness=float(rng.uniform(self.coarseness_min, self.coarseness_max)),
        )

    def apply(self, audio: Float32Array, params: CodecParams) -> Float32Array:
        """Encode and decode.

        Shape: `[N] -> [N]`
        """
        scale = np.float32(peak(audio))
        if scale == 0:
            return audio
        unit = audio / scale
        if params.kind == "mu_law":
            decoded = _mu_law(unit)
        elif params.kind == "telephone":
            decoded = _telephone(unit)
        elif params.kind == "bits":
            step = np.float32(2.0 ** (1 - params.bits))
            decoded = np.rint(unit / step) * step
        elif params.kind == "transform":
            decoded = _transform(unit, params.coarseness)
        else:
            raise ValueError(f"codec kind {params.kind!r} is none of {', '.join(KINDS)}")
        return decoded * scale


def _mu_law(unit: Float32Array) -> Float32Array:
    """Companding to 8 bits and back. Shape: `[N] -> [N]`"""
    compressed = np.log1p(np.float32(MU) * np.abs(unit)) / np.float32(np.log1p(MU))
    levels = np.rint(compressed * np.float32(127)) / np.float32(127)
    return np.copysign(np.expm1(levels * np.float32(np.log1p(MU))) / np.float32(MU), unit)


def _telephone(unit: Float32Array) -> Float32Array:
    """300-3,400 Hz at 8 kHz, mu-law. Shape: `[N] -> [N]`"""
    full = fft_size(unit.size + 1600)
    full += full % 4 and 4 - full % 4
    spectrum = np.fft.rfft(unit, full)[: full // 4 + 1]
    edges_hz = np.arange(spectrum.size) * (16_000 / full)
    # Straight flanks of 200 Hz instead of a cliff, which would ring.
    spectrum *= np.clip((edges_hz - 200) / 200, 0, 1) * np.clip((3600 - edges_hz) / 200, 0, 1)
    narrow = np.fft.irfft(spectrum, full // 2) * 0.5
    coded = _mu_law(np.clip(narrow, -1, 1).astype(np.float32))
    wide = np.zeros(full // 2 + 1, np.complex64)
    wide[: full // 4 + 1] = np.fft.rfft(coded)
    return (np.fft.irfft(wide, full)[: unit.size] * 2).astype(np.float32)


def _transform(unit: Float32Array, coarseness: float) -> Float32Array:
    """Overlapping spectra whose bands keep few values each. Shape: `[N] -> [N]`"""
    hop = FRAME // 2
    window = np.sin(np.pi * (np.arange(FRAME, dtype=np.float32) + np.float32(0.5)) / np.float32(FRAME))
    frames = -(-unit.size // hop) + 1
    padded = np.zeros((frames + 1) * hop, np.float32)
    padded[hop : hop + unit.size] = unit
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::hop] * window)
    bands = spectra[:, : FRAME // 2].reshape(frames, -1, BAND)
    power = np.mean(bands.real**2 + bands.imag**2, axis=-1, keepdims=True)
    # Noise may follow the signal within a band (masking), but bands far below the loudest one are dropped.
    step = np.float32(coarseness) * np.sqrt(power) + np.float32(1e-9)
    keep = power > power.max(axis=1, keepdims=True) * np.float32(10.0 ** (-4 + 1.5 * coarseness))
    bands[...] = np.where(keep, np.rint(bands.real / step) * step + 1j * (np.rint(bands.imag / step) * step), 0)
    decoded = np.fft.irfft(spectra, FRAME) * window
    out = np.zeros((frames + 1, hop), np.float32)
    out[:-1] += decoded[:, :hop]
    out[1:] += decoded[:, hop:]
    return out.reshape(-1)[hop : hop + unit.size].astype(np.float32, copy=False)
