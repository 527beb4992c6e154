"""A text file line by line, plain or compressed, never holding more than a line of bounded length.

Owns ``lines_of``. Imports the errors.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from gateformer.quant.errors import ConfigError, PimError

LONGEST = 1_000_000
"""Bytes that a line may hold."""
MOST_PROBLEMS = 20
"""Problems of one file that are reported at once."""


def lines_of(path: Path, code: str) -> Iterator[bytes]:
    """Yield a file's lines, unpacked where its name ends in ``.gz``.

    Raises
    ------
    PimError
        E809 for a line over ``LONGEST`` bytes, else ``code`` where the file is damaged.
    ConfigError
        E003 where there is no such file.
    """
    if path.is_dir():
        raise ConfigError("E003", "a folder, no file", layer=str(path), fix="Name a file inside it")
    if not path.is_file():
        raise ConfigError("E003", "file not found", layer=str(path), fix="Check the path")
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            while line := stream.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    raise PimError(
                        "E809",
                        "line too long",
                        layer=f"{path}:{number}",
                        cause=f"A line may hold {LONGEST:,} bytes",
                        fix="Check that this is the right file",
                    )
                yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        place = f"{path}:{number + 1}"
        raise PimError(code, "damaged compressed file", layer=place, cause=str(error)) from error
