"""Tries the page in a headless Chromium: a recording through its file input, and a fake microphone."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wakelark.audio import Float32Array
from wakelark.errors import ModelError
from wakelark.export.web.chromium import Browser
from wakelark.export.web.server import serving

_LOAD_S, _SCORE_S = 60.0, 120.0  # how long the page may take; a slow machine needs 2 s for either
_POLL_S = 0.1
# Keeps what the page tells of every chunk; floats as base64, since DevTools passes JSON.
_KEEP = """
globalThis.kept = { file: [], microphone: [], audio: [] };
document.addEventListener("wakelark", ({ detail: { source, audio, steps } }) => {
  kept[source].push(...steps);
  if (source === "microphone") kept.audio.push(...audio);
});
"""
_HEARD = """
(() => {
  let text = "";
  for (const byte of new Uint8Array(Float32Array.from(kept.audio).buffer)) text += String.fromCharCode(byte);
  return btoa(text);
})()
"""


@dataclass(frozen=True, slots=True)
class PageSteps:
    """What the page made of audio.

    Attributes:
        audio: `[N]`, the samples that its detector was given by the microphone; empty for a recording.
        scores: `[T]`, raw.
        decisive: `[T]`, smoothed.
        detections: when, in seconds.
    """

    audio: Float32Array
    scores: Float32Array
    decisive: Float32Array
    detections: list[float]


class PageTrial:
    """A page that is open in a browser; see `opened`.

    Args:
        browser: in it.
    """

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    def choose_model(self, name: str) -> None:
        """Switch to one of the page's models and wait until it is loaded."""
        chosen = json.dumps(f'#models input[value="{name}"]')
        self.browser.run(f"document.querySelector({chosen})?.checked || document.querySelector({chosen})?.click()")
        self.wait("!document.getElementById('microphone').disabled", "loads its model", _LOAD_S)

    def score_file(self, wav: Path) -> PageSteps:
        """What the page makes of a WAV file."""
        self.browser.run("void (kept.file = [])")
        self.browser.choose_file("#file", wav)
        self.wait("kept.file.length > 0", "scores a recording", _SCORE_S)
        return self._steps("file", np.zeros(0, np.float32))

    def listen(self, seconds: float) -> PageSteps:
        """What the page makes of so many seconds or a little more of its microphone."""
        self.browser.run("void (kept.microphone = [], kept.audio = [])")
        self._press()
        self.wait(f"kept.audio.length >= {round(seconds * 16_000)}", "hears its microphone", _SCORE_S)
        self._press()
        self.wait("document.getElementById('microphone').ariaPressed === 'false'", "stops listening", _LOAD_S)
        # The last chunk may still be on its way through the model; it is whole or not there.
        heard = np.frombuffer(base64.b64decode(self.browser.run(_HEARD)), np.float32)
        return self._steps("microphone", heard)

    def _press(self) -> None:
        self.browser.run("document.getElementById('microphone').click()")

    def _steps(self, source: str, audio: Float32Array) -> PageSteps:
        steps: list[dict[str, Any]] = self.browser.run(f"kept.{source}")
        return PageSteps(
            audio=audio,
            scores=np.array([step["score"] for step in steps], np.float32),
            decisive=np.array([step["decisive"] for step in steps], np.float32),
            detections=[step["detection"]["time"] for step in steps if step["detection"]],
        )

    def wait(self, condition: str, what: str, limit_s: float) -> None:
        """Until an expression on the page is true.

        Raises:
            ModelError: the page says that something went wrong, or `limit_s` passed.
        """
        until = time.monotonic() + limit_s
        while not self.browser.run(f"Boolean({condition})"):
            trouble = self.browser.run("document.getElementById('trouble').textContent")
            if trouble or time.monotonic() > until:
                told = trouble or "; ".join(self.browser.messages) or f"nothing within {limit_s:g} s"
                raise ModelError(f"the page never {what} in {self.browser.executable}: {told}")
            time.sleep(_POLL_S)


@contextmanager
def opened(folder: Path, executable: str, *, microphone: Path | None = None) -> Iterator[PageTrial]:
    """Serve a folder on this machine and open its page until the block ends.

    Args:
        folder: as `write_folder` leaves it.
        executable: of a Chromium.
        microphone: a WAV file that the page hears when it listens.

    Raises:
        ModelError: the browser does not start, or the page does not load, complained, or asked for something from
            elsewhere.
    """
    with serving(folder) as address, Browser(executable, microphone=microphone) as browser:
        browser.open(address)
        trial = PageTrial(browser)
        browser.run(_KEEP)
        trial.wait("!document.getElementById('microphone').disabled", "loads its model", _LOAD_S)
        yield trial
        elsewhere = [url for url in browser.requests if not url.startswith((address, "data:", "blob:"))]
        if elsewhere:
            raise ModelError(f"the page asked for something from elsewhere: {elsewhere[0]}")
        if browser.messages:
            raise ModelError(f"the page complained in {executable}: {browser.messages[0]}")
