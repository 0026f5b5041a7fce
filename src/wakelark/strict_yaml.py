"""YAML without its surprises: no aliases, tags or duplicate keys, `no` is text, `1e-3` is a number, sizes are capped.

Every value comes with the line it stands on, so that later complaints can name it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import cast

import yaml
from typing_extensions import override

from wakelark.errors import ConfigError

MAX_BYTES = 1 << 18
"""The largest configuration that can be written has a few thousand bytes; PyYAML reads some 100 KB per second."""
MAX_DEPTH = 20
MAX_NODES = 5_000
"""Keys and values: some hundred are known, and lists of words or folders may be long."""

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    "null": re.compile(r"^(?:~|null|)$"),
    "bool": re.compile(r"^(?:true|false)$"),
    "int": re.compile(r"^[-+]?[0-9]+$"),
    "float": re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
}
"""The scalars of YAML 1.2 that a configuration needs; all else is text."""


class _Refused(yaml.MarkedYAMLError):
    """YAML that is legal, but not here."""


class StrictLoader(yaml.SafeLoader):
    """Composes nodes only; values are made by `parse`."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012  (PyYAML's own class attribute, filled below)

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._nodes = 0

    @override
    def fetch_directive(self) -> None:
        """PyYAML's step at a line that begins with `%`: a quarter of a megabyte of them takes it seconds."""
        raise _Refused(problem="directives (%) are not read; remove the line", problem_mark=self.get_mark())

    @override
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """PyYAML's recursive step, with aliases refused and the depth counted."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _Refused(
                problem="anchors (&) and aliases (*) are not read; write the value out", problem_mark=event.start_mark
            )
        if self._depth >= MAX_DEPTH:
            raise _Refused(problem=f"more than {MAX_DEPTH} levels deep", problem_mark=event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Refused(problem=f"more than {MAX_NODES} keys and values", problem_mark=event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class StrictDumper(yaml.SafeDumper):
    """Writes what `parse` reads back as it was: text that looks like a number of either YAML version is quoted."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        """Never write anchors."""
        return True


for _name, _pattern in _SCALARS.items():
    StrictLoader.add_implicit_resolver(_TAG + _name, _pattern, None)
    StrictDumper.add_implicit_resolver(_TAG + _name, _pattern, None)


@dataclass(slots=True)
class Document:
    """Parsed YAML.

    Attributes:
        value: the content.
        lines: line of every key, by its path of keys and list positions.
        problems: (line, message) of what was refused but did not stop the reading.
    """

    value: Value
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)


def parse(text: str, *, name: str) -> Document:
    """Parse one YAML document.

    Args:
        text: the YAML.
        name: how messages call it.

    Raises:
        ConfigError: it is larger than 256 KiB, not YAML, or uses what is refused.

    >>> parse("rate: 1e-3\\nanswer: no", name="x.yaml").value
    {'rate': 0.001, 'answer': 'no'}
    """
    if len(text.encode()) > MAX_BYTES:
        raise ConfigError(
            f"{name} is larger than {MAX_BYTES >> 10} KiB: that is no configuration; was another file meant?"
        )
    try:
        node = StrictLoader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{name}{line}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: {str(error).splitlines()[0]}") from error
    document = Document(None)
    if node is not None:
        document.value = _value(cast("yaml.Node", node), (), document)
    return document


def dump(value: Value) -> str:
    """YAML that `parse` reads back to the same value."""
    return yaml.dump(value, Dumper=StrictDumper, sort_keys=False, allow_unicode=True, width=120)


def _value(node: yaml.Node, path: tuple[str | int, ...], document: Document) -> Value:
    line = node.start_mark.line + 1
    document.lines.setdefault(path, line)
    kind = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [_value(item, (*path, place), document) for place, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        if kind == "str":
            return node.value
        if kind in _SCALARS and _SCALARS[kind].match(node.value):
            value = _scalar(kind, node.value)
            if value not in (math.inf, -math.inf):
                return value
            document.problems.append((line, "a number too large to be held"))
            return None
    document.problems.append((line, f"the tag {node.tag} is not read; write plain values"))
    return None


def _scalar(kind: str, text: str) -> Value:
    if kind == "null":
        return None
    if kind == "bool":
        return text == "true"
    # Python refuses to read integers of thousands of digits; nothing here needs more than a float holds.
    return int(text) if kind == "int" and len(text) < 40 else float(text)


def _mapping(node: yaml.MappingNode, path: tuple[str | int, ...], document: Document) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append((line, "a key must be a word"))
            continue
        key = str(key_node.value)
        if key in found:
            document.problems.append(
                (line, f"{key!r} stands here again; it is on line {document.lines[*path, key]}, too")
            )
            continue
        document.lines[*path, key] = line
        found[key] = _value(value_node, (*path, key), document)
    return found
