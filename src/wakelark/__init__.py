"""wakelark: custom wake words, from a phrase to a detector.

>>> from wakelark import Detector          # doctest: +SKIP
>>> detector = Detector.load("model.onnx")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wakelark.runtime.detector import Detection, Detector

__version__ = "0.1.0"
__all__ = ["Detection", "Detector", "__version__"]


def __getattr__(name: str) -> object:
    """Import the runtime on first use, so that `import wakelark` costs nothing."""
    if name in ("Detection", "Detector"):
        from wakelark.runtime import detector

        return getattr(detector, name)
    raise AttributeError(f"module 'wakelark' has no attribute {name!r}")
