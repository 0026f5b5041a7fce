"""report.html in a real browser: nothing goes wrong in it, and the dial shows the right figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wakelark.evaluation.page.whole import report_page

from .browser import Browser, find_browser
from .report_material import full_report, metrics, snippets_for

CHROMIUM = find_browser()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: the page is not tried in a browser")
SHOWN = "[...document.querySelectorAll('.of:not([hidden]) [data-show]')].map(e => [e.dataset.show, e.textContent])"
VISIBLE = "[...document.querySelectorAll('.of')].filter(e => !e.hidden).map(e => e.dataset.model)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    report = full_report()
    path.write_text(report_page(report, metrics=metrics(), snippets=snippets_for(report)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM) as browser:
        browser.open(page)
        yield browser
        # Of everything that the tests did.
        assert browser.messages == []
        assert {url for url in browser.requests if not url.startswith("data:")} == {page.resolve().as_uri()}


def columns(page: Path, model: int) -> dict[str, Any]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', page.read_text(encoding="utf-8"))
    return json.loads(found[model])


def shown(browser: Browser) -> dict[str, str]:
    return dict(browser.run(SHOWN))


def test_one_model_is_shown_at_a_time(browser: Browser) -> None:
    for number in ("1", "2", "0"):
        browser.run(f"document.querySelectorAll('.switch input')[{number}].click()")
        assert set(browser.run(VISIBLE)) == {number}


def test_the_slider_shows_the_figures_of_its_stop(browser: Browser, page: Path) -> None:
    data = columns(page, 0)
    names = sorted(shown(browser))
    assert shown(browser) == {name: data["columns"][name][data["start"]] for name in names}
    browser.run("document.querySelector('.dial input').focus()")
    for keys, at in (
        (["ArrowRight"], data["start"] + 1), (["ArrowLeft", "ArrowLeft"], data["start"] - 1), (["Home"], 0),
        (["End"], len(data["columns"]["missed"]) - 1),
    ):  # fmt: skip
        for key in keys:
            browser.press(key)
        assert shown(browser) == {name: data["columns"][name][at] for name in names}
        here = browser.run("document.querySelector('.det .here').getAttribute('transform')")
        assert here == f"translate({data['columns']['x'][at]:g} {data['columns']['y'][at]:g})"
        told = browser.run("document.querySelector('.dial input').getAttribute('aria-valuetext')")
        assert data["columns"]["missed"][at] in told


def test_a_preset_button_goes_to_its_preset(browser: Browser, page: Path) -> None:
    for number, name in enumerate(("strict", "normal", "sensitive")):
        browser.run(f"document.querySelectorAll('.presets button')[{number}].click()")
        assert shown(browser)["nearest"] == f"the preset “{name}”"
        pressed = "[...document.querySelectorAll('.dial')[0].querySelectorAll('button')].map(b => b.ariaPressed)"
        assert browser.run(pressed) == [str(other == number).lower() for other in range(3)]


def test_a_sound_can_be_played(browser: Browser) -> None:
    seconds = browser.run(
        "new Promise(done => { const audio = document.querySelector('.clip audio');"
        "audio.addEventListener('loadedmetadata', () => done(audio.duration));"
        "audio.addEventListener('error', () => done(audio.error.message)); audio.load(); })"
    )
    assert seconds == pytest.approx(1.5, abs=0.2)
    assert browser.run("document.querySelector('.play').textContent").startswith("Play ")
    assert browser.run("[...document.querySelectorAll('.clip img')].every(i => i.complete && i.naturalWidth > 0)")


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(browser: Browser, width: int) -> None:
    browser.resize(width, 900)
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_text_can_be_read_on_either_ground(browser: Browser) -> None:
    """WCAG 2.2 asks for a contrast of 4.5 for text."""
    colours = (
        "(() => { const style = getComputedStyle(document.documentElement);"
        "const names = ['paper', 'ink', 'soft', 'accent', 'good', 'usable', 'weak'];"
        "return Object.fromEntries(names.map(name => [name, style.getPropertyValue('--' + name).trim()])) })()"
    )
    for scheme in ("light", "dark"):
        browser.prefer({"prefers-color-scheme": scheme})
        found = browser.run(colours)
        paper = luminance(found.pop("paper"))
        for name, colour in found.items():
            low, high = sorted((paper, luminance(colour)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, name)


def luminance(colour: str) -> float:
    """Relative luminance by WCAG's definition, of "#rrggbb"."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
