"""Laws of the augmentations: right sign, exact limit case, deterministic, type and length kept."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wakelark.audio import SAMPLE_RATE, Float32Array, to_int16
from wakelark.augment.band_limit import BandLimit, BandLimitParams
from wakelark.augment.beds import BedLibrary, BedParams, coloured_noise
from wakelark.augment.chain import Chain
from wakelark.augment.clipping import Clipping, ClippingParams
from wakelark.augment.codec import KINDS, Codec, CodecParams
from wakelark.augment.floor import Floor, FloorParams
from wakelark.augment.gain import Gain, GainParams
from wakelark.augment.noise import Noise, NoiseParams
from wakelark.augment.room import Room, RoomParams
from wakelark.augment.signal import active_rms, fft_size, gain_to_db, peak
from wakelark.augment.speed import Speed, SpeedParams
from wakelark.augment.tilt import Tilt, TiltParams
from wakelark.config import AugmentConfig

SAMPLES = 32_000
BAND_LIMIT = BandLimit(low_pass_probability=1.0, high_pass_probability=1.0)
TILT = Tilt(max_slope_db_per_octave=5.0)
NOISE = Noise(snr_db_min=0.0, snr_db_max=20.0)
GAIN = Gain(peak_dbfs_min=-32.0, peak_dbfs_max=0.0)
BED = coloured_noise(-3.0, SAMPLES, seed=5)


def _with_bed(rng: np.random.Generator, audio: Float32Array) -> Float32Array:
    return NOISE.apply(audio, NOISE.draw(rng), bed=BED)


APPLIERS: dict[str, Callable[[np.random.Generator, Float32Array], Float32Array]] = {
    "room": lambda rng, audio: Room().apply(audio, Room().draw(rng)),
    "noise": _with_bed,
    "tilt": lambda rng, audio: TILT.apply(audio, TILT.draw(rng)),
    "band_limit": lambda rng, audio: BAND_LIMIT.apply(audio, BAND_LIMIT.draw(rng)),
    "codec": lambda rng, audio: Codec().apply(audio, Codec().draw(rng)),
    "clipping": lambda rng, audio: Clipping().apply(audio, Clipping().draw(rng)),
    "gain": lambda rng, audio: GAIN.apply(audio, GAIN.draw(rng)),
    "floor": lambda rng, audio: Floor().apply(audio, Floor().draw(rng)),
}


@pytest.fixture
def speech() -> Float32Array:
    """A second of harmonics with a syllable's envelope between half a second of silence on both sides."""
    times_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    voice = sum(np.sin(2 * np.pi * 130 * h * times_s) / h for h in range(1, 40))
    word = 0.1 * voice * np.sin(np.pi * times_s) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * times_s))
    return np.pad(word, (SAMPLE_RATE // 2, SAMPLE_RATE // 2)).astype(np.float32)


def tone(frequency_hz: float, amplitude: float = 0.1) -> Float32Array:
    return (amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(SAMPLES) / SAMPLE_RATE)).astype(np.float32)


def level_change_db(before: Float32Array, after: Float32Array) -> float:
    middle = slice(SAMPLES // 4, -SAMPLES // 4)
    return gain_to_db(active_rms(after[middle])) - gain_to_db(active_rms(before[middle]))


@pytest.mark.parametrize("name", APPLIERS)
@pytest.mark.parametrize("samples", [SAMPLES, 31_999, 200])
def test_type_and_length_are_kept_and_the_input_too(name: str, samples: int, speech: Float32Array) -> None:
    audio = np.ascontiguousarray(speech[speech.size // 2 - samples // 2 :][:samples])
    before = audio.copy()
    for seed in range(4):
        out = APPLIERS[name](np.random.default_rng(seed), audio) if name != "noise" else _noise_of(audio, seed)
        assert out.dtype == np.float32
        assert out.shape == audio.shape
        assert np.isfinite(out).all()
    assert np.array_equal(audio, before)


def _noise_of(audio: Float32Array, seed: int) -> Float32Array:
    return NOISE.apply(audio, NOISE.draw(np.random.default_rng(seed)), bed=BED[: audio.size])


@pytest.mark.parametrize("name", APPLIERS)
def test_same_seed_same_samples_and_silence_stays_silence(name: str, speech: Float32Array) -> None:
    first = APPLIERS[name](np.random.default_rng(3), speech)
    assert np.array_equal(first, APPLIERS[name](np.random.default_rng(3), speech))
    if name != "floor":
        assert not APPLIERS[name](np.random.default_rng(3), np.zeros(SAMPLES, np.float32)).any()


def test_drawn_numbers_are_plain() -> None:
    chain = Chain(AugmentConfig(), beds=BedLibrary([(to_int16(0.1 * BED), "music"), (to_int16(0.1 * BED), "speech")]))
    for seed in range(20):
        params = chain.draw(np.random.default_rng(seed))
        assert json.loads(json.dumps(dataclasses.asdict(params)))["gain"]["peak_dbfs"] == params.gain.peak_dbfs


class TestSpeed:
    def test_factor_sets_length_and_pitch(self) -> None:
        fast = Speed(speed_range=0.2).apply(tone(440), SpeedParams(1.1))
        assert fast.size == pytest.approx(SAMPLES / 1.1, abs=2)
        spectrum = np.abs(np.fft.rfft(fast * np.hanning(fast.size)))
        assert np.argmax(spectrum) * SAMPLE_RATE / fast.size == pytest.approx(484, abs=1)

    def test_factor_one_is_the_audio_itself(self, speech: Float32Array) -> None:
        assert np.array_equal(Speed(speed_range=0.0).apply(speech, SpeedParams(1.0)), speech)
        assert Speed(speed_range=0.0).draw(np.random.default_rng(0)).factor == 1.0

    def test_draws_stay_in_range_and_are_balanced(self) -> None:
        rng = np.random.default_rng(0)
        factors = np.array([Speed(speed_range=0.12).draw(rng).factor for _ in range(2000)])
        assert factors.min() >= 1 / 1.12
        assert factors.max() <= 1.12
        assert abs(np.log(factors).mean()) < 0.01


class TestRoom:
    def test_direct_path_is_untouched(self, speech: Float32Array) -> None:
        response = Room().impulse_response(RoomParams(0.5, 1.0, 60.0, 8, 1))
        assert response[0] == 1.0
        impulse = np.zeros(SAMPLES, np.float32)
        impulse[100] = 1.0
        assert np.argmax(Room().apply(impulse, RoomParams(0.5, 0.5, 60.0, 8, 1))) == 100

    def test_next_to_the_microphone_is_the_audio_itself(self, speech: Float32Array) -> None:
        near = Room().apply(speech, RoomParams(0.4, 1e-6, 60.0, 8, 1))
        assert near == pytest.approx(speech, abs=1e-5)

    def test_energy_ratio_follows_the_critical_distance(self) -> None:
        # 0.057 * sqrt(60 / 0.6) = 0.57 m: there direct and reverberant energy are equal; at twice the distance 1 : 4.
        at = Room().impulse_response(RoomParams(0.6, 0.57, 60.0, 8, 1))
        far = Room().impulse_response(RoomParams(0.6, 1.14, 60.0, 8, 1))
        assert np.square(at[1:]).sum() == pytest.approx(1.0, rel=0.2)
        assert np.square(far[1:]).sum() / np.square(at[1:]).sum() == pytest.approx(4.0, rel=1e-3)

    def test_the_direct_sound_is_never_buried(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(50):
            response = Room().impulse_response(Room().draw(rng))
            assert np.square(response[1:]).sum() < 12.0

    def test_tail_decays_by_60_db_per_rt60(self) -> None:
        response = Room().impulse_response(RoomParams(0.5, 1.0, 60.0, 8, 1))
        early, late = response[1600:2400], response[5600:6400]
        drop_db = 10 * np.log10(np.square(early).sum() / np.square(late).sum())
        # 0.25 s of 0.5 s is 30 dB for the low half of the band, twice that for the high half.
        assert 27 < drop_db < 36


class TestNoise:
    @pytest.mark.parametrize("snr_db", [-3.0, 0.0, 10.0, 24.0])
    def test_measured_ratio_is_the_ratio_asked_for(self, snr_db: float, speech: Float32Array) -> None:
        added = NOISE.apply(speech, NoiseParams(snr_db), bed=BED) - speech
        assert gain_to_db(active_rms(speech) / active_rms(added)) == pytest.approx(snr_db, abs=0.1)

    def test_ratio_is_about_the_span_of_the_phrase(self, speech: Float32Array) -> None:
        loud_neighbour = speech.copy()
        loud_neighbour[:8000] += tone(300, 0.9)[:8000]
        span = slice(9000, 24000)
        added = NOISE.apply(loud_neighbour, NoiseParams(6.0), bed=BED, speech=span) - loud_neighbour
        assert gain_to_db(active_rms(speech[span]) / active_rms(added)) == pytest.approx(6.0, abs=0.1)

    def test_silent_bed_adds_nothing(self, speech: Float32Array) -> None:
        assert np.array_equal(NOISE.apply(speech, NoiseParams(5.0), bed=np.zeros_like(speech)), speech)


class TestBeds:
    def test_generated_noise_has_the_slope_asked_for(self) -> None:
        noise = coloured_noise(-6.0, 160_000, seed=0)
        power = np.square(np.abs(np.fft.rfft(noise)))
        octave = [power[int(f * 10) : int(f * 20)].mean() for f in (500, 1000, 2000)]
        assert 10 * np.log10(octave[0] / octave[1]) == pytest.approx(6.0, abs=0.5)
        assert np.sqrt(np.mean(np.square(noise))) == pytest.approx(1.0, rel=1e-4)

    def test_without_recordings_every_bed_is_generated(self) -> None:
        rng = np.random.default_rng(0)
        assert {BedLibrary([]).draw(rng).kind for _ in range(20)} == {"coloured"}

    def test_all_kinds_are_drawn_and_repeat_exactly(self) -> None:
        recording = to_int16(0.1 * BED)
        library = BedLibrary([(recording, "music"), (recording[:9000], "speech"), (recording[:0], "speech")])
        rng = np.random.default_rng(0)
        drawn = [library.draw(rng) for _ in range(60)]
        assert {params.kind for params in drawn} == {"music", "babble", "coloured"}
        for params in drawn:
            bed = library.audio(params, SAMPLES)
            assert bed.shape == (SAMPLES,)
            assert np.array_equal(bed, library.audio(params, SAMPLES))

    def test_a_short_recording_is_repeated(self) -> None:
        library = BedLibrary([(np.arange(1, 101, dtype=np.int16), "music")])
        bed = library.audio(BedParams("music", picks=((0, 0.25),), levels_db=(0.0,)), 300)
        assert bed[0] / bed[75] == pytest.approx(26.0)
        assert np.allclose(bed[:200], bed[100:])


class TestTilt:
    def test_slope_around_1_khz(self) -> None:
        params = TiltParams(slope_db_per_octave=3.0)
        assert level_change_db(tone(1000), TILT.apply(tone(1000), params)) == pytest.approx(0.0, abs=0.05)
        assert level_change_db(tone(4000), TILT.apply(tone(4000), params)) == pytest.approx(6.0, abs=0.05)
        assert level_change_db(tone(250), TILT.apply(tone(250), params)) == pytest.approx(-6.0, abs=0.05)

    def test_bump_raises_its_centre_only(self) -> None:
        params = TiltParams(0.0, bumps=((1.0, 0.2, 6.0),))
        assert level_change_db(tone(2000), TILT.apply(tone(2000), params)) == pytest.approx(6.0, abs=0.05)
        assert level_change_db(tone(500), TILT.apply(tone(500), params)) == pytest.approx(0.0, abs=0.05)

    def test_flat_is_exactly_flat(self, speech: Float32Array) -> None:
        assert (TILT.response(32_768, TiltParams(0.0)) == 1.0).all()
        assert TILT.apply(speech, TiltParams(0.0)) == pytest.approx(speech, abs=1e-6)


class TestBandLimit:
    def test_cut_offs_lie_3_db_down(self) -> None:
        params = BandLimitParams(low_pass_hz=4000.0, high_pass_hz=200.0)
        for frequency_hz in (4000.0, 200.0):
            out = BAND_LIMIT.apply(tone(frequency_hz), params)
            assert level_change_db(tone(frequency_hz), out) == pytest.approx(-3.01, abs=0.1)
        assert level_change_db(tone(1000), BAND_LIMIT.apply(tone(1000), params)) == pytest.approx(0.0, abs=0.05)
        assert level_change_db(tone(8000 / 1.1), BAND_LIMIT.apply(tone(8000 / 1.1), params)) < -40

    def test_no_cut_off_is_exactly_flat(self) -> None:
        assert (BAND_LIMIT.response(32_768, BandLimitParams()) == 1.0).all()


class TestCodec:
    @pytest.mark.parametrize("kind", KINDS)
    def test_damage_is_there_and_bounded(self, kind: str, speech: Float32Array) -> None:
        # The telephone cuts the fundamental away, so what it keeps is compared with a voice inside its band.
        audio = tone(700) if kind == "telephone" else speech
        out = Codec().apply(audio, CodecParams(kind, bits=8, coarseness=0.6))
        middle = slice(9000, 23000)
        ratio_db = gain_to_db(active_rms(audio[middle]) / active_rms(out[middle] - audio[middle]))
        assert 8 < ratio_db < 50

    def test_many_bits_and_fine_bands_change_nothing(self, speech: Float32Array) -> None:
        assert Codec().apply(speech, CodecParams("bits", bits=24)) == pytest.approx(speech, abs=1e-6)
        fine = Codec().apply(speech, CodecParams("transform", coarseness=1e-3))
        assert np.abs(fine - speech).max() < 0.01 * peak(speech)

    def test_fewer_bits_damage_more(self, speech: Float32Array) -> None:
        errors = [np.abs(Codec().apply(speech, CodecParams("bits", bits=b)) - speech).max() for b in (6, 8, 10)]
        assert errors[0] > errors[1] > errors[2]

    def test_quiet_audio_is_treated_like_loud_audio(self, speech: Float32Array) -> None:
        for kind in KINDS:
            params = CodecParams(kind, bits=8, coarseness=0.6)
            loud = Codec().apply(speech, params)
            assert Codec().apply(speech / 256, params) * 256 == pytest.approx(loud, abs=2e-4)

    def test_telephone_keeps_its_band_only(self) -> None:
        params = CodecParams("telephone")
        assert level_change_db(tone(1000), Codec().apply(tone(1000), params)) == pytest.approx(0.0, abs=0.3)
        both = tone(1000) + tone(6000)
        left = np.abs(np.fft.rfft(Codec().apply(both, params)))
        assert left[6000 * 2] < 0.01 * left[1000 * 2]


class TestClippingGainFloor:
    def test_clipping_limits_the_peak_exactly(self, speech: Float32Array) -> None:
        out = Clipping().apply(speech, ClippingParams(6.0206))
        assert peak(out) == pytest.approx(peak(speech) / 2, rel=1e-4)
        assert np.array_equal(Clipping().apply(speech, ClippingParams(0.0)), speech)

    def test_gain_sets_the_peak(self, speech: Float32Array) -> None:
        for peak_dbfs in (-32.0, -6.0, 0.0):
            assert gain_to_db(peak(GAIN.apply(speech, GainParams(peak_dbfs)))) == pytest.approx(peak_dbfs, abs=1e-3)

    def test_speech_stays_audible_beside_a_loud_neighbour(self, speech: Float32Array) -> None:
        audio = speech * np.float32(0.1)
        audio[:4000] += tone(300, 0.5)[:4000]
        span = slice(8000, 24000)
        assert gain_to_db(active_rms(GAIN.apply(audio, GainParams(-32.0))[span])) < -46
        kept = GAIN.apply(audio, GainParams(-32.0), speech=span)
        assert gain_to_db(active_rms(kept[span])) == pytest.approx(-45.0, abs=0.01)
        assert peak(kept) <= 1.0

    def test_near_silence_is_not_blown_up(self) -> None:
        quiet = tone(500, 1e-5)
        assert gain_to_db(peak(GAIN.apply(quiet, GainParams(0.0)))) == pytest.approx(-60, abs=0.1)

    def test_floor_has_its_level_or_is_digital_silence(self) -> None:
        silence = np.zeros(SAMPLES, np.float32)
        floor = Floor().apply(silence, FloorParams(-60.0, -3.0, 1))
        assert gain_to_db(float(np.sqrt(np.mean(np.square(floor))))) == pytest.approx(-60.0, abs=0.01)
        assert not Floor().apply(silence, FloorParams(None)).any()


class TestChain:
    def test_everything_off_only_sets_the_level(self, speech: Float32Array) -> None:
        config = AugmentConfig(
            room_probability=0, noise_probability=0, tilt_db_per_octave=0, low_pass_probability=0,
            high_pass_probability=0, codec_probability=0, clip_probability=0, gain_db_min=-6, gain_db_max=-6,
        )  # fmt: skip
        chain = Chain(config, beds=BedLibrary([]))
        params = chain.draw(np.random.default_rng(1))
        params = dataclasses.replace(params, floor=FloorParams(None), tilt=TiltParams(0.0))
        expected = speech * np.float32(10 ** (-6 / 20) / peak(speech))
        assert chain.apply(speech, params) == pytest.approx(expected, abs=1e-6)

    def test_same_draw_same_samples_and_finite(self, speech: Float32Array) -> None:
        beds = BedLibrary([(to_int16(0.1 * BED), "music"), (to_int16(0.1 * BED), "speech")])
        chain = Chain(AugmentConfig(), beds=beds)
        for seed in range(30):
            params = chain.draw(np.random.default_rng(seed))
            out = chain.apply(speech, params, speech=slice(8000, 24000))
            assert np.array_equal(out, chain.apply(speech, params, speech=slice(8000, 24000)))
            assert out.shape == speech.shape
            assert out.dtype == np.float32
            assert np.isfinite(out).all()
            assert peak(out) < 1.2
            assert gain_to_db(active_rms(out[8000:24000])) > -45.5

    def test_silence_goes_through(self) -> None:
        chain = Chain(AugmentConfig(), beds=BedLibrary([]))
        for seed in range(10):
            assert np.isfinite(
                chain.apply(np.zeros(SAMPLES, np.float32), chain.draw(np.random.default_rng(seed)))
            ).all()


def test_fft_sizes_have_small_factors() -> None:
    for samples in (1, 2, 17, 1000, 32_001, 40_800):
        size = fft_size(samples)
        assert size >= samples
        assert size % 2 == 0
        for factor in (2, 3, 5):
            while size % factor == 0:
                size //= factor
        assert size == 1


def test_the_document_runs() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "augmentation.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "docs/augmentation.md", "exec"), {})


def test_the_document_names_every_part() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "augmentation.md").read_text(encoding="utf-8")
    package = Path(__file__).resolve().parents[1] / "src" / "wakelark" / "augment"
    parts = {path.name for path in package.glob("*.py")} - {"__init__.py", "signal.py", "speed.py"}
    assert {name for name in parts if f"`{name}`" not in text} == set()
