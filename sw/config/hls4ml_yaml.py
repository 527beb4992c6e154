"""A YAML file as plain data, each value with its line: nothing in it is ever built or run.

Owns ``Entry`` and ``read_yaml``. Imports PyYAML's composer and the errors only. The composer makes
a tree of nodes and no objects, so a tag can name what it likes: it stays a word, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from gateformer.quant.errors import ConfigError, GateformerError, Problems

LARGEST = 1 << 19
"""Bytes of the largest file that is read: hls4ml writes about 400 a layer."""
DEEPEST = 16
"""Tables within tables; hls4ml nests five."""
MOST = 50_000
"""Values once aliases are written out."""
LONGEST = 64
"""Characters of a number, so that reading one takes no time."""
SHOWN = 20
"""Refused tags that are named one by one."""

PLAIN = "tag:yaml.org,2002:"
NULL, BOOL, INT, FLOAT, MERGE = (f"{PLAIN}{n}" for n in ("null", "bool", "int", "float", "merge"))
DATA = frozenset({"str", "timestamp", "binary", "value", "seq", "map", "set", "omap", "pairs"})
"""YAML's own tags that are read as texts, lists or tables, beside the ones above."""
KERAS_MODEL = "!keras_model"
"""What hls4ml puts before the path of the model that it saved beside the file."""

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and where it stands.

    Attributes
    ----------
    line : int
        Line of the file, from 1 on.
    value : Scalar, mapping of str to Entry, or tuple of Entry
        The value.
    tag : str
        ``!keras_model`` or nothing.
    """

    line: int
    value: Scalar | Mapping[str, Entry] | tuple[Entry, ...]
    tag: str = ""

    def __str__(self) -> str:
        """Return the value in a few characters."""
        if isinstance(self.value, Mapping):
            return "{...}" if self.value else "{}"
        if isinstance(self.value, tuple):
            text = f"[{', '.join(str(entry) for entry in self.value[:8])}]"
        else:
            words = {None: "null", True: "true", False: "false"}
            plain = self.value if isinstance(self.value, str | int | float) else None
            text = words[plain] if plain is None or isinstance(plain, bool) else str(plain)
        text = " ".join(text.split())
        return text if len(text) <= 40 else f"{text[:37]}..."


def read_yaml(path: Path) -> Entry:
    """Read a file that holds one table.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Entry
        Its value is a mapping.

    Raises
    ------
    ConfigError or Problems
        E003 where there is no file; E007 for text that is no YAML, is too large or swells; E008
        for every tag that asks for a Python object; all of one kind at once.
    """
    if not path.is_file():
        raise ConfigError("E003", "file not found", layer=str(path), fix="Check the path")
    with path.open("rb") as file:
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise _malformed(path, f"It is over {LARGEST >> 10} KiB, so it holds more than settings")
    try:
        root = yaml.compose(raw.decode("utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _malformed(path, f"{error.problem or 'not YAML'}{at}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _malformed(path, " ".join(str(error).split())) from error
    except RecursionError:
        raise _malformed(path, "It nests too deeply") from None
    if not isinstance(root, yaml.MappingNode):
        raise _malformed(path, "It holds no table of keys")
    _refuse_tags(root, path)
    return _Reading(path).entry(root)


def _refuse_tags(root: yaml.Node, path: Path) -> None:
    """Raise E008 for the tags that are not data, in the order of the file; none inside another."""
    found = sorted({(node.start_mark.line + 1, _shown(node.tag)) for node in _refused(root)})
    faults: list[GateformerError] = [
        ConfigError(
            "E008",
            "Python object in a configuration file",
            layer=f"{path.name}:{line}",
            kind=tag,
            cause="A file is data: no object in it is ever built",
            fix="Write the value as plain YAML, or delete the line",
        )
        for line, tag in found[:SHOWN]
    ]
    Problems.raise_if_any(faults)


def _plain(node: yaml.Node) -> bool:
    word = node.tag.removeprefix(PLAIN)
    known = node.tag in (NULL, BOOL, INT, FLOAT, MERGE) or (word != node.tag and word in DATA)
    return known or (node.tag == KERAS_MODEL and isinstance(node, yaml.ScalarNode))


def _shown(tag: str) -> str:
    text = f"!!{tag.removeprefix(PLAIN)}" if tag.startswith(PLAIN) else tag
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refused(root: yaml.Node) -> Iterator[yaml.Node]:
    """Yield nodes whose tags are not data, each once, however often aliases name it."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if not _plain(node):
            yield node
        elif isinstance(node, yaml.MappingNode):
            todo += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value


class _Reading:
    """Nodes become entries, aliases written out, within bounds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.faults: list[GateformerError] = []

    def entry(self, root: yaml.Node) -> Entry:
        """Return the tree."""
        made = self._made(root, 0)
        Problems.raise_if_any(self.faults)
        return made

    def _made(self, node: yaml.Node, depth: int) -> Entry:
        self.count += 1
        if self.count > MOST:
            raise _malformed(self.path, f"Its aliases stand for more than {MOST:,} values")
        if depth > DEEPEST:
            raise _malformed(self.path, f"It nests deeper than {DEEPEST} tables")
        line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return Entry(line, self._table(node, depth))
        if isinstance(node, yaml.SequenceNode):
            return Entry(line, tuple(self._made(part, depth + 1) for part in node.value))
        if not isinstance(node, yaml.ScalarNode):
            raise _malformed(self.path, f"Line {line} is neither a table, a list nor a value")
        tag = KERAS_MODEL if node.tag == KERAS_MODEL else ""
        return Entry(line, self._scalar(node, line), tag)

    def _table(self, node: yaml.MappingNode, depth: int) -> dict[str, Entry]:
        table: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in node.value:
            made = self._made(value, depth + 1)
            if key.tag == MERGE:
                parts = made.value if isinstance(made.value, tuple) else (made,)
                for part in reversed(parts):
                    merged |= part.value if isinstance(part.value, Mapping) else {}
                continue
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._fault(line, "A key is a list or a table")
            elif not key.value.isprintable():
                self._fault(line, "A key holds control characters")
            elif key.value in table:
                first = table[key.value].line
                self._fault(line, f"'{_cut(key.value)}' stands twice, first at line {first}")
            else:
                table[key.value] = Entry(line, made.value, made.tag)
        return {**merged, **table}

    def _scalar(self, node: yaml.ScalarNode, line: int) -> Scalar:
        text: str = node.value
        if node.tag == NULL:
            return None
        if not text.isprintable():
            self._fault(line, "A text holds control characters")
        if node.tag not in (BOOL, INT, FLOAT):
            return text
        if len(text) > LONGEST:
            self._fault(line, f"A number has {len(text):,} characters")
            return text
        builder = yaml.constructor.SafeConstructor()
        try:
            if node.tag == BOOL:
                return bool(builder.construct_yaml_bool(node))
            if node.tag == INT:
                return int(builder.construct_yaml_int(node))
            return float(builder.construct_yaml_float(node))
        except (KeyError, ValueError, OverflowError):
            self._fault(line, f"'{_cut(text)}' is not what its tag says")
            return text

    def _fault(self, line: int, cause: str) -> None:
        self.faults.append(
            ConfigError(
                "E007",
                "malformed YAML",
                layer=f"{self.path.name}:{line}",
                cause=cause,
                fix="Correct the line, or delete it",
            )
        )


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _malformed(path: Path, cause: str) -> ConfigError:
    return ConfigError(
        "E007", "malformed YAML", layer=str(path), cause=cause, fix="Give hls4ml's own file"
    )
