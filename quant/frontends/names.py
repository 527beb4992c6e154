"""Names in strangers' files: what may be written to pages, sources and file names.

Owns ``check_name``. Imports errors.
"""

from __future__ import annotations

from gateformer.quant.errors import ModelError

MAX_NAME = 200
"""Characters of a name; frameworks' own are below 100, with the scopes around them."""


def check_name(name: str, what: str = "layer", longest: int = MAX_NAME) -> str:
    """Return a name that is safe to write anywhere.

    Parameters
    ----------
    name : str
        From a file.
    what : str
        What it names, for the message.
    longest : int
        Characters that it may have.

    Raises
    ------
    ModelError
        E108 where it is too long, holds control characters, or leads out of a folder.
    """
    if len(name) > longest:
        unsafe = f"it is {len(name)} characters long, the limit is {longest}"
    elif not name.isprintable():
        unsafe = "it holds control characters"
    elif ".." in name.replace("\\", "/").split("/") or name.startswith(("/", "\\")):
        unsafe = "it is a path out of its folder"
    else:
        return name
    raise ModelError(
        "E108",
        "unsafe name in a model file",
        layer=name[:40].encode("unicode_escape").decode(),
        cause=unsafe,
        fix=f"rename the {what} and save again",
    )
