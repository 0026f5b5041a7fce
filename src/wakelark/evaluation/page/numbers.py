"""Numbers as people read them, the same everywhere on the page.

Shares have one decimal and a per cent sign, rates per hour two decimals, hours one; ranges are "low to high".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from wakelark.evaluation.verdict import duration

NO_BREAK = "\u00a0"
NOTHING = "–"


def percent(share: float | None) -> str:
    """A share as a percentage, a dash for None.

    >>> percent(0.0614), percent(None)
    ('6.1\\xa0%', '–')
    """
    return NOTHING if share is None else f"{100 * share:.1f}{NO_BREAK}%"


def percent_range(interval: Sequence[float]) -> str:
    """An interval of shares as percentages.

    >>> percent_range((0.0, 0.0931))
    '0.0 to 9.3\\xa0%'
    """
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}{NO_BREAK}%"


def rate(per_hour: float | None) -> str:
    """Events per hour, a dash for None; so many that nobody counts them, without decimals.

    >>> rate(0.5), rate(6220.12)
    ('0.50', '6,220')
    """
    if per_hour is None:
        return NOTHING
    return f"{per_hour:.2f}" if per_hour < 100 else f"{per_hour:,.0f}"


def rate_range(interval: Sequence[float]) -> str:
    """An interval of rates per hour.

    >>> rate_range((0.02, 4.317))
    '0.02 to 4.32'
    """
    return f"{rate(interval[0])} to {rate(interval[1])}"


def count(number: int) -> str:
    """A whole number.

    >>> count(453412)
    '453,412'
    """
    return f"{number:,}"


def score(value: float) -> str:
    """A score or threshold with three decimals; more of them near 1, where they matter.

    >>> score(0.5), score(0.99963), score(0.0001), score(1.0)
    ('0.500', '0.9996', '0.000', '1.000')
    """
    decimals = 3 if value < 0.999 or value == 1 else min(9, math.ceil(-math.log10(1 - value)))
    return f"{value:.{decimals}f}"


def size(count_bytes: float) -> str:
    """A file's size.

    >>> size(223979), size(2034500)
    ('224\\xa0KB', '2.0\\xa0MB')
    """
    kilobytes = count_bytes / 1000
    return f"{kilobytes:.0f}{NO_BREAK}KB" if kilobytes < 1000 else f"{kilobytes / 1000:.1f}{NO_BREAK}MB"


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds.

    >>> clock(3.21), clock(75)
    ('3.2\\xa0s', '1\\xa0min 15\\xa0s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}{NO_BREAK}min {rest}{NO_BREAK}s" if minutes else f"{seconds:.1f}{NO_BREAK}s"


def how_often(false_alarms: int, hours: float) -> str:
    """Alarms as a pace.

    >>> how_often(0, 1.3), how_often(2, 3.5), how_often(30, 1.5), how_often(1, 1.0), how_often(4000, 1.0)
    ('none in 1.3 hours', 'one in 1.8 hours', 'one in 3 minutes', 'one in 1.0 hours', 'one in 1 seconds')
    """
    return f"none in {duration(hours)}" if not false_alarms else f"one in {duration(hours / false_alarms)}"


def plain(name: str) -> str:
    """A key as words.

    >>> plain("near_miss")
    'near miss'
    """
    return name.replace("_", " ")
