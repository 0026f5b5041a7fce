"""A headless Chromium to try pages in: its DevTools protocol over a pipe, no library and no port."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from wakelark.errors import ModelError

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SIZE = (1280, 900)  # of the window, in CSS pixels, until `resize`


def find_browser() -> str | None:
    """Path of an installed Chromium."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page in a headless Chromium; a context manager.

    Args:
        executable: of `find_browser`.
        microphone: a WAV file that a page hears, over and over, when it asks for a microphone.

    Attributes:
        messages: what the page wrote to its console, and what went wrong in it.
        requests: addresses that it asked for.

    Raises:
        ModelError: the browser does not start or stops answering, or the page does not do what is asked of it.
    """

    def __init__(self, executable: str, *, microphone: Path | None = None) -> None:
        self.executable = executable
        self._microphone = microphone
        self.messages: list[str] = []
        self.requests: list[str] = []
        self._number = 0
        self._buffer = b""
        self._session = ""
        self._loaded = False

    def __enter__(self) -> Browser:
        self._profile = tempfile.TemporaryDirectory(prefix="wakelark-browser-", ignore_cleanup_errors=True)
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        # Chromium reads from file 3 and writes to file 4.
        command = f'exec "$0" "$@" 3<&{their_in} 4>&{their_out}'
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--hide-scrollbars", "--mute-audio", "--remote-debugging-pipe",
            "--disable-component-update", "--disable-sync", "--disable-quic",
            f"--user-data-dir={self._profile.name}", *_microphone_options(self._microphone), "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command, self.executable, *options],
            pass_fds=(their_in, their_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.ask("Target.attachToTarget", {"targetId": page, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.resize(*_SIZE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = ""
        os.write(self._out, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def resize(self, width: int, height: int, *, scale: float = 1.0) -> None:
        """Another size of the window."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False},
        )

    def prefer(self, features: Mapping[str, str]) -> None:
        """What the user prefers, for instance `{"prefers-color-scheme": "dark"}`."""
        wanted = [{"name": name, "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", {"features": wanted})

    def open(self, page: Path | str) -> None:
        """Load a file, or an address, and wait until it is there."""
        self._loaded = False
        self.ask("Page.navigate", {"url": page if isinstance(page, str) else page.resolve().as_uri()})
        while not self._loaded:
            self._read()

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        answer = self.ask("Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True})
        if details := answer.get("exceptionDetails"):
            told = details.get("exception", {}).get("description") or details["text"]
            raise ModelError(f"the page failed in {self.executable}: {told}")
        return answer["result"].get("value")

    def choose_file(self, selector: str, file: Path) -> None:
        """Give a file to a page's file input, as a user does."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
        self.ask("DOM.setFileInputFiles", {"nodeId": node, "files": [str(file.resolve())]})

    def press(self, key: str) -> None:
        """A key down and up, as a user presses it."""
        for kind in ("rawKeyDown", "keyUp"):
            code = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35, "Tab": 9}[key]
            self.ask("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code})

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """A PNG of the page."""
        answer = self.ask("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        file.write_bytes(base64.b64decode(answer["data"]))

    def print(self, file: Path) -> None:
        """The page as PDF."""
        answer = self.ask("Page.printToPDF", {"printBackground": False, "preferCSSPageSize": True})
        file.write_bytes(base64.b64decode(answer["data"]))

    def ask(self, method: str, parameters: Mapping[str, object] | None = None) -> dict[str, Any]:
        """One command and its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters or {}}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._read()
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise ModelError(f"{self.executable} refuses {method}: {answer['error'].get('message')}")
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        """The next message; events are kept on the way."""
        until = time.monotonic() + 120
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self._in, 1 << 20) if ready else b""
            if not part:
                raise ModelError(f"{self.executable} said nothing for two minutes, or it died; try again")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        event, told = message.get("method", ""), message.get("params", {})
        if event == "Runtime.consoleAPICalled":
            self.messages.append(f"{told['type']}: {[argument.get('value') for argument in told['args']]}")
        elif event == "Runtime.exceptionThrown":
            self.messages.append(str(told["exceptionDetails"]))
        elif event == "Log.entryAdded":
            self.messages.append(f"{told['entry']['level']}: {told['entry']['text']}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event == "Page.loadEventFired":
            self._loaded = True
        return message


def _microphone_options(file: Path | None) -> list[str]:
    if file is None:
        return []
    return [
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        "--autoplay-policy=no-user-gesture-required", f"--use-file-for-fake-audio-capture={file.resolve()}",
    ]  # fmt: skip
