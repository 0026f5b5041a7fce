"""Reads a model card's JSON into its records, and refuses by name what cannot be. Standard library only."""

from __future__ import annotations

import dataclasses
import math
from types import NoneType, UnionType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from wakelark.errors import ModelError

_SCALARS: dict[type, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def refuse(field: str, value: object, must_be: str) -> NoReturn:
    """Say which field of a card cannot be.

    Raises:
        ModelError: always.
    """
    raise ModelError(f"the model's card: {field} is {value!r}, but must be {must_be}")


def within(field: str, value: float, low: float, high: float) -> None:
    """Check a number's range.

    Raises:
        ModelError: it lies outside.
    """
    if not low <= value <= high:
        refuse(field, value, f"between {low} and {high}")


def refuse_constant(text: str) -> NoReturn:
    """For `json.loads`: NaN and infinities are no numbers of JSON.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{text} is no number")


def read_record(cls: type, data: object, where: str) -> Any:
    """A record of the dataclass `cls` from parsed JSON; keys that it does not know are left out.

    Args:
        cls: its fields are numbers, texts, dictionaries, other such records, tuples of them, or None.
        data: what `json.loads` gave.
        where: path of the record within the card, "" for the card itself.

    Raises:
        ModelError: a field is missing or of the wrong type, or a value cannot be.
    """
    if not isinstance(data, dict):
        refuse(where or "its content", data, "an object")
    types = get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        path = f"{where}.{field.name}" if where else field.name
        if field.name not in data:
            raise ModelError(
                f"the model's card: the field {path} is missing; was this file written by wakelark? Export it again"
            )
        values[field.name] = _value(types[field.name], data[field.name], path)
    return cls(**values)


def _value(kind: Any, value: object, path: str) -> Any:
    if get_origin(kind) is UnionType:
        return None if value is None else _value(next(k for k in get_args(kind) if k is not NoneType), value, path)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            refuse(path, value, "a list")
        return tuple(read_record(get_args(kind)[0], item, f"{path}[{index}]") for index, item in enumerate(value))
    if get_origin(kind) is dict:
        return _mapping(kind, value, path)
    return _scalar(kind, value, path) if kind in _SCALARS else read_record(kind, value, path)


def _scalar(kind: type, value: object, path: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**53 else math.inf
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        refuse(path, value, _SCALARS[kind])
    if isinstance(value, float) and not math.isfinite(value):
        refuse(path, value, "finite")
    return value


def _mapping(kind: Any, value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(path, value, "an object")
    if get_args(kind)[1] is str and not all(isinstance(item, str) for item in value.values()):
        refuse(path, value, "an object of texts")
    return value
