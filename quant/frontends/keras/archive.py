"""The ``.keras`` archive: a zip of two JSON files and one HDF5 file, unpacked with limits."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends.plain_json import MAX_JSON_BYTES, damaged

MAX_MEMBERS = 10_000
MAX_BYTES = 1 << 30
MAX_RATIO = 1000
"""Deflate reaches 1032; float weights rarely 2."""

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
CHUNK = 1 << 20


def unpack(path: Path) -> tuple[bytes, bytes, io.BytesIO]:
    """Metadata, configuration and weights of a ``.keras`` file, in memory.

    Raises
    ------
    ModelError
        E101 for a damaged archive, E107 for one that swells, E108 for names that leave it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise ModelError("E107", "model file too large", cause=f"{len(members)} members")
            for member in members:
                check_name(member.filename)
            by_name = {member.filename: member for member in members}
            if len(by_name) != len(members):
                raise damaged(str(path), "two members have one name")
            config = _member(archive, by_name, CONFIG, MAX_JSON_BYTES)
            metadata = _member(archive, by_name, METADATA, MAX_JSON_BYTES)
            return metadata, config, io.BytesIO(_member(archive, by_name, WEIGHTS, MAX_BYTES))
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, zlib.error) as error:
        raise damaged(str(path), f"it is damaged or truncated ({error})") from None


def check_name(name: str) -> None:
    """Refuse names that would leave the archive (E108)."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name or "\0" in name:
        raise ModelError(
            "E108",
            "unsafe name in a model file",
            cause=f"member {name!r} lies outside the archive",
            fix="save the model again; do not use files from sources that you do not trust",
        )


def _member(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str, limit: int
) -> bytes:
    member = members.get(name)
    if member is None:
        raise damaged(f"'{name}'", "the archive does not hold it")
    swollen = member.file_size > MAX_RATIO * max(member.compress_size, 1)
    if member.file_size > limit or (swollen and member.file_size > CHUNK):
        raise _bomb(name, member.file_size)
    data = bytearray()
    with archive.open(member) as stream:
        while chunk := stream.read(CHUNK):
            data += chunk
            if len(data) > min(limit, member.file_size):
                raise _bomb(name, len(data))
    return bytes(data)


def _bomb(name: str, size: int) -> ModelError:
    return ModelError(
        "E107",
        "model file too large when unpacked",
        cause=f"'{name}' swells to at least {size} bytes",
        fix="save the model again; do not use files from sources that you do not trust",
    )
