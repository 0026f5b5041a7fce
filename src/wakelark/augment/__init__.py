"""Augmentation: one part per file, `draw(rng)` apart from `apply(audio, params)`.

Drawing makes a frozen dataclass of plain numbers; applying is deterministic given those numbers. So a view can be
replayed, logged and reproduced anywhere. Linear parts also have `response(fft_samples, params)`, so that a chain of
them costs one pass through the frequency domain. Audio is float32 `[N]`, and `N` never changes except in `speed`.
"""
