"""Text of scripts: templates filled in strictly, words quoted for Tcl, numbers read from reports.

Owns ``fill``, ``tcl`` and ``number``; templates stand in ``templates/`` beside this file.
"""

from __future__ import annotations

import math
import re
from importlib.resources import files

PLAIN = re.compile(r"[A-Za-z0-9_./:+=*-]+")


def tcl(word: str) -> str:
    """Return a text as one word of Tcl, whatever is in it."""
    if PLAIN.fullmatch(word):
        return word
    if not re.search(r"[{}\\\n]", word):
        return f"{{{word}}}"
    escaped = re.sub(r'([\\{}\[\]$;" #])', r"\\\1", word)
    return escaped.replace("\n", "\\n").replace("\t", "\\t")


def fill(template: str, **values: object) -> str:
    """Return a template with its values; one that it lacks is an error.

    Parameters
    ----------
    template : str
        A file of ``templates/``, without ``.j2``.
    values : object
        By name; in a template, ``| tcl`` quotes a word, and an included one sees them too.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = files("gateformer.toolchains") / "templates"
    environment = Environment(
        loader=FunctionLoader(lambda name: (folder / f"{name}.j2").read_text("utf-8")),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["tcl"] = tcl
    return environment.get_template(template).render(**values)


def number(text: str) -> int | float:
    """Return a number as tools write it: with commas between thousands, never endless.

    Raises
    ------
    ValueError
        It is none.
    """
    plain = text.strip().replace(",", "")
    if re.fullmatch(r"[-+]?\d+", plain):
        return int(plain)
    value = float(plain)
    if not math.isfinite(value):
        raise ValueError(f"'{text.strip()}' is no finite number")
    return value
