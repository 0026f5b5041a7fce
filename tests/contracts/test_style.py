"""The house rules that a machine can check: CONTRIBUTING.md says why they are there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from wakelark.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "wakelark"
MODULE_LINES = 320
BODY_LINES = 50
OUTERMOST = PACKAGE / "cli" / "__init__.py"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def walk(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def functions(path: Path) -> list[Function]:
    return [node for node in walk(path) if isinstance(node, Function)]


def body_lines(function: Function) -> int:
    """Lines of a function's body without its docstring: an option list of a verb is no body."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def calls(path: Path, name: str) -> list[ast.Call]:
    return [
        node
        for node in walk(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Catches everything and does not raise it again (cleaning up and raising again is fine)."""
    broad = handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    )
    last = handler.body[-1]
    return broad and not (isinstance(last, ast.Raise) and last.exc is None)


@pytest.fixture(params=SOURCES, ids=name_of)
def source(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_modules_are_small(source: Path) -> None:
    assert len(source.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES


def test_functions_are_small(source: Path) -> None:
    assert {f.name: body_lines(f) for f in functions(source) if body_lines(f) > BODY_LINES} == {}


def test_no_function_swallows_keywords(source: Path) -> None:
    assert [f.name for f in functions(source) if f.args.kwarg] == []


def test_nothing_guesses_what_it_was_handed(source: Path) -> None:
    guesses = calls(source, "hasattr") + [call for call in calls(source, "getattr") if len(call.args) > 2]
    assert [call.lineno for call in guesses] == []


@pytest.mark.parametrize("path", [path for path in SOURCES if path != OUTERMOST], ids=name_of)
def test_errors_are_caught_by_name(path: Path) -> None:
    """Only the outermost command line may catch everything: it turns a bug into one line."""
    assert [node.lineno for node in walk(path) if isinstance(node, ast.ExceptHandler) and is_broad(node)] == []


def test_nothing_is_left_unfinished(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert [mark for mark in ("TODO", "FIXME", "XXX", "NotImplementedError") if mark in text] == []


def test_what_is_public_is_documented(source: Path) -> None:
    module = ast.parse(source.read_text(encoding="utf-8"))
    public = [
        node for node in module.body if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert ast.get_docstring(module), "the module has no docstring"
    assert [node.name for node in public if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_tests_use_the_real_classes(path: Path) -> None:
    names = {alias.name for node in walk(path) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in walk(path) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.startswith(("unittest.mock", "mock", "pytest_mock"))}


def setting_names(section: BaseModel) -> set[str]:
    """The last words of all keys of the configuration."""
    names: set[str] = set()
    for name, value in section:
        names |= setting_names(value) if isinstance(value, BaseModel) else {name}
    return names


def defaults(function: Function) -> dict[str, str]:
    """The parameters of a function that have a default, with it."""
    positional = [*function.args.posonlyargs, *function.args.args]
    first = len(positional) - len(function.args.defaults)
    pairs = [*zip(positional[first:], function.args.defaults, strict=True)]
    pairs += [(a, d) for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if d is not None]
    return {argument.arg: ast.unparse(default) for argument, default in pairs}


def test_a_setting_has_its_only_default_in_the_configuration(source: Path) -> None:
    """Everything must be given a setting's value; `train`'s None means: as configured. Other verbs know no settings."""
    if source.parent == PACKAGE / "cli" and source.name != "train.py":
        return
    settings = setting_names(Config())
    found = {
        (f.name, name): value for f in functions(source) for name, value in defaults(f).items() if name in settings
    }
    assert {key: value for key, value in found.items() if value not in ("None", "''")} == {}
