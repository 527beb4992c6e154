"""Which Verilog a module needs, and when two modules are the same but for their names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateformer.quant.errors import ToolError

_TOKENS = re.compile(
    r"""
    (?P<kept> "(?:[^"\\\n]|\\.)*" | `[^\n]* | \d*'[sS]?[bodhBODH][0-9a-fA-F_xXzZ?]+ | \d[\d_]*
      | \$\w+ )
    | (?P<word> [A-Za-z_]\w* )
    | (?P<sign> \S )
    """,
    re.VERBOSE,
)
# fmt: off
KEYWORDS = frozenset((
    "always", "and", "assign", "begin", "buf", "case", "casex", "casez", "default", "defparam",
    "else", "end", "endcase", "endfunction", "endgenerate", "endmodule", "endtask", "for",
    "forever", "function", "generate", "genvar", "if", "initial", "inout", "input", "integer",
    "localparam", "module", "nand", "negedge", "nor", "not", "or", "output", "parameter",
    "posedge", "real", "reg", "repeat", "signed", "specify", "task", "time", "tri", "unsigned",
    "wait", "while", "wire", "xnor", "xor",
))
# fmt: on


def bare(text: str) -> str:
    """Return Verilog without its comments."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)


def modules_in(files: Mapping[str, str]) -> dict[str, str]:
    """Return the file of each module."""
    found = {}
    for name, text in files.items():
        for module in re.findall(r"^\s*module\s+(\w+)", bare(text), re.MULTILINE):
            found[module] = name
    return found


def closure(files: Mapping[str, str], top: str) -> dict[str, str]:
    """Return the files that a module needs: its own, then others as they are met."""
    where = modules_in(files)
    if top not in where:
        raise ToolError("E502", "yosys has nothing to do", layer=top, cause="No file has it")
    needed: dict[str, str] = {}
    wanted = [where[top]]
    while wanted:
        name = wanted.pop(0)
        if name not in needed:
            needed[name] = files[name]
            text = bare(files[name])
            words = dict.fromkeys(re.findall(r"[A-Za-z_]\w*", text))
            wanted += [where[word] for word in words if word in where]
            wanted += [data for data in re.findall(r'"([^"\n]+)"', text) if data in files]
    return needed


def parametric(files: Mapping[str, str], module: str) -> bool:
    """Return whether a module has parameters in its header."""
    name = modules_in(files).get(module)
    return name is not None and bool(re.search(rf"\bmodule\s+{module}\s*#", bare(files[name])))


def bodies(files: Mapping[str, str]) -> dict[str, str]:
    """Return each module's text, from its name to its end."""
    pattern = re.compile(r"^\s*module\s+(\w+)(.*?)\bendmodule\b", re.MULTILINE | re.DOTALL)
    return {
        found[1]: found[2]
        for name, text in files.items()
        if name.endswith(".v")
        for found in pattern.finditer(bare(text))
    }


def repeated(files: Mapping[str, str], modules: Mapping[str, int]) -> dict[str, int]:
    """Return modules that are there several times inside others, and how often in all.

    Parameters
    ----------
    files : mapping of str to str
        Verilog by file name.
    modules : mapping of str to int
        Modules that are looked into, and how often each is there. Where a generate block decides
        how often something is there, or parameters what it is, it is left out.
    """
    texts = bodies(files)
    totals: dict[str, int] = {}
    for parent, count in modules.items():
        text = texts.get(parent, "")
        inside: dict[str, int] = {}
        for child in re.findall(r"^\s*(\w+)\s+\w+\s*\(", text, re.MULTILINE):
            if child in texts and child not in modules and not parametric(files, child):
                inside[child] = inside.get(child, 0) + 1
        for child, number in inside.items():
            unclear = re.search(r"\bgenerate\b", text) is not None
            totals[child] = (
                -1
                if unclear or totals.get(child) == -1
                else (totals.get(child, 0) + count * number)
            )
    return {child: number for child, number in totals.items() if number > 1}


def canonical(files: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return sources with numbers for names, and the names.

    Two modules with the same first part are the same circuit: a network's blocks often differ
    only in what their layers are called.
    """
    numbers: dict[str, int] = {}
    parts = []
    for name, text in files.items():
        if not name.endswith(".v"):
            parts.append(f"{name}\n{text}")
            continue
        for token in _TOKENS.finditer(bare(text)):
            word = token["word"]
            if word is None or word in KEYWORDS:
                parts.append(token[0])
            else:
                parts.append(f"\\{numbers.setdefault(word, len(numbers))}")
    return " ".join(parts), tuple(numbers)


def renamed(text: str, names: tuple[str, ...], others: tuple[str, ...]) -> str:
    """Return a text in which a twin's names stand for a module's."""
    twin = dict(zip(names, others, strict=False))
    return re.sub(r"[A-Za-z_]\w*", lambda word: twin.get(word[0], word[0]), text)
