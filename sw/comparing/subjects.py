"""What MODEL means on the command line: a decoder's name or file, or a design.

Owns ``find``. Imports the readers of designs and of decoders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gateformer.config.read import MODEL_SUFFIXES, load
from gateformer.config.schema import Config
from gateformer.quant import models
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, GateformerError, Problems
from gateformer.quant.frontends.decoders import decoder_of, is_named

Subject = Decoder | Config


def find(wanted: Sequence[str], overrides: Iterable[str] = ()) -> list[Subject]:
    """Return what each argument names; the same one twice counts once.

    Parameters
    ----------
    wanted : sequence of str
        Names of decoders, paths of ``config.json``, GGUF or ``design.toml`` files, folders of them,
        or model files.
    overrides : iterable of str
        ``key=value`` for the designs among them.

    Raises
    ------
    Problems or GateformerError
        E807 for an unknown name, E003 for a missing file, and all that is wrong inside the files;
        E006 where two of them have the same name, or where overrides meet no design.
    """
    given = list(overrides)
    found: list[Subject] = []
    problems: list[GateformerError] = []
    for one in dict.fromkeys(wanted):
        try:
            found.append(_one(one, given))
        except Problems as several:
            problems += several.errors
        except GateformerError as error:
            problems.append(error)
    names = [str(one.name) for one in found]
    problems += [
        ConfigError("E006", "two models of one name", layer=name, fix="Rename one of them")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if given and found and not any(isinstance(one, Config) for one in found):
        problems.append(
            ConfigError("E006", "override without a design", layer=given[0],
                        fix="Overrides are keys of a design.toml; a decoder has none")
        )  # fmt: skip
    Problems.raise_if_any(problems)
    return found


def _one(text: str, overrides: list[str]) -> Subject:
    path = Path(text)
    if is_named(text):
        return decoder_of(text)
    if path.exists() or path.suffix in {".toml", *MODEL_SUFFIXES}:
        return load(path, overrides)
    return models.load(text)
