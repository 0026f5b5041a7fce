"""docs/robustness.md: every row of its range is there once, says how it is defended, and names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TABLE = (REPOSITORY / "docs" / "robustness.md").read_text(encoding="utf-8")
ROWS = {
    int(cells[1]): cells[2:-1]
    for line in TABLE.splitlines()
    if len(cells := [cell.strip() for cell in line.split("|")]) > 4 and cells[1].isdigit()
}
NAMED = sorted({(file, test) for file, test in re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE)})
MINE = [*range(1, 32), *range(43, 56)]
"""Input and training. The other rows are written by those who made those defences."""


def test_every_row_is_there_once() -> None:
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", TABLE, re.MULTILINE)]
    assert set(MINE) <= set(numbers)
    assert len(numbers) == len(set(numbers))
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("number", sorted(ROWS))
def test_a_row_has_a_test_or_says_why_not(number: int) -> None:
    _, outcome, tests = ROWS[number]
    assert "::" in tests or "does not apply" in outcome.lower() or "open" in outcome.split()[-1]


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda value: value)
def test_a_named_test_exists(file: str, test: str) -> None:
    module = ast.parse((REPOSITORY / "tests" / file).read_text(encoding="utf-8"))
    assert test in {node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
