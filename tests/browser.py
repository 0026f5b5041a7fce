"""The headless Chromium that wakelark itself checks its page with, for tests."""

from wakelark.export.web.chromium import Browser, find_browser

__all__ = ["Browser", "find_browser"]
