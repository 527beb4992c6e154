"""``pim perplexity``: what each way of computing costs a real language model on a real text.

Owns ``perplexity`` and ``VARIANTS``. Imports the model's file, the model in float32, the bulk
decoder and the tables. Each variant's result is kept by the content of what it depends on, so that
a run that was interrupted goes on behind the last variant that it finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from gateformer.hw.pim import device as devices
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.device import Device
from gateformer.pim.screen import Answer, Block
from gateformer.pim.waiting import waiting
from gateformer.quant import language
from gateformer.quant.caching import user_cache
from gateformer.quant.errors import ConfigError, DataError, RunError
from gateformer.quant.frontends import gguf_file
from gateformer.quant.frontends.gguf_file import Floats, Language
from gateformer.quant.frontends.gguf_vocabulary import Words
from gateformer.quant.words import counted
from gateformer.sim.pim.bulk import Bulk
from gateformer.sim.pim.vectors import ExactVectors
from gateformer.sim.pim.weights import of_language

SOURCES = (
    "gateformer.hw.pim.arithmetic",
    "gateformer.hw.pim.functions",
    "gateformer.quant.frontends.gguf_file",
    "gateformer.quant.frontends.gguf_vocabulary",
    "gateformer.quant.language",
    "gateformer.sim.pim.bulk",
    "gateformer.sim.pim.macs",
    "gateformer.sim.pim.products",
    "gateformer.sim.pim.vectors",
    "gateformer.sim.pim.weights",
    "gateformer.sim.pim.words",
)
"""Modules that decide what a variant computes: where one changes, results are made again."""
LARGEST = 1 << 26
"""Bytes of the largest text that is read: far more than any model's context takes."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way of computing.

    Attributes
    ----------
    name : str
        What the table calls it.
    weights : str
        Format of the matrices; empty for float32 throughout.
    exact : bool
        Whether functions are float64's in place of the ASIC's.
    """

    name: str
    weights: str = ""
    exact: bool = False


VARIANTS = (
    Variant("float32"),
    Variant("BF16, exact functions", "bf16", exact=True),
    Variant("BF16, the ASIC's functions", "bf16"),
    Variant("INT8 weights, INT8 vectors", "int8"),
    Variant("INT4 weights, INT8 vectors", "int4"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a variant gave.

    Attributes
    ----------
    perplexity : float
        e to the mean surprise in nats.
    largest, rms : float
        Differences of logits from float32's: the largest, and the root of the mean square.
    same : float
        Share of tokens after which the likeliest next one is float32's.
    seconds : float
        Time that it took, on whatever else went on.
    """

    perplexity: float
    largest: float
    rms: float
    same: float
    seconds: float


def perplexity(
    model: Path,
    text: Path | None = None,
    *,
    tokens: int = 1000,
    device: str = "pim-gpt",
    folder: Path | None = None,
) -> Answer:
    """Measure all variants.

    Parameters
    ----------
    model : Path
        A GGUF file.
    text : Path or None
        UTF-8; None for the documentation that Python carries (``pydoc_data.topics``).
    tokens : int
        Tokens that are foretold, one after another from the text's first on.
    device : str
        The memory whose lanes, tiles and ASIC are taken.
    folder : Path or None
        Where results are kept; None for the user's cache.

    Raises
    ------
    DataError
        E604 for a text that is too short, E605 where there is none, E602 where it is not UTF-8 or
        has characters that the vocabulary lacks.
    ConfigError
        E022 for more tokens than the model's context.
    RunError
        E702 where results cannot be kept.
    PimError
        E804 for a device without one of the formats.
    """
    memory = devices.load(device)
    words_ = _read(text)
    with waiting(f"reading {model.name}"):
        found = gguf_file.load(model)
        if tokens > found.decoder.context:
            raise ConfigError(
                "E022",
                "setting out of range",
                layer="tokens",
                cause=f"{tokens:,} are to be foretold; {found.decoder.name}'s context has "
                f"{found.decoder.context:,}",
                fix=f"Take --tokens {found.decoder.context} at most",
            )
        some = Words(found.vocabulary).encode(words_)[: tokens + 1]
    if len(some) <= tokens:
        raise DataError(
            "E604",
            "text too short",
            layer=str(text),
            cause=f"It has {len(some):,} tokens; {tokens:,} are to be foretold behind the first",
            fix="Give a longer text, or fewer --tokens",
        )
    for variant in VARIANTS:  # what a device lacks is said before minutes of measuring
        if variant.weights:
            Compiler(found.decoder, memory, tokens=tokens, weights=variant.weights)
    content = hashlib.sha256(model.read_bytes()).hexdigest()
    kept = folder or user_cache("perplexity")
    _refuse_closed(kept)
    exact: list[Floats] = []

    def plain() -> Floats:
        if not exact:
            exact.append(language.logits(found, some[:-1]))
        return exact[0]

    outcomes, new = [], 0
    with waiting(f"{found.decoder.name}: {counted(tokens, 'token')}", len(VARIANTS)) as step:
        for variant in VARIANTS:
            place = kept / f"{_key(content, some, variant, memory)}.json"
            known = _known(place)
            if known is None:
                known = _measure(found, some, variant, memory, plain)
                _keep(place, known)
                new += 1
            outcomes.append(known)
            step(1)
    name = f"Python {platform.python_version()}'s documentation" if text is None else str(text)
    data: dict[str, Any] = {
        "model": found.decoder.name,
        "formats": dict(found.formats),
        "text": name,
        "tokens": tokens,
        "device": memory.name,
        "variants": [
            {"name": variant.name, **asdict(one)}
            for variant, one in zip(VARIANTS, outcomes, strict=True)
        ],
    }
    measured = f"{new} of {len(VARIANTS)} measured now, the others kept."
    note = f"{counted(tokens, 'token')} of {name}; {measured}"
    return Answer(data, (_table(found.decoder.name, outcomes),), (note,))


def _measure(
    model: Language,
    tokens: Sequence[int],
    variant: Variant,
    device: Device,
    plain: Callable[[], Floats],
) -> Outcome:
    exact, begun = plain(), time.perf_counter()
    found = exact if not variant.weights else _logits(model, tokens[:-1], variant, device)
    seconds = time.perf_counter() - begun
    apart = [np.abs(a.astype(np.float64) - b) for a, b in zip(found, exact, strict=True)]
    return Outcome(
        perplexity=language.perplexity(language.surprises(found, tokens[1:])),
        largest=float(max(one.max() for one in apart)),
        rms=float(np.sqrt(np.mean([np.square(one).mean() for one in apart]))),
        same=float((found.argmax(1) == exact.argmax(1)).mean()),
        seconds=seconds,
    )


def _logits(model: Language, tokens: Sequence[int], variant: Variant, device: Device) -> Floats:
    compiler = Compiler(model.decoder, device, tokens=len(tokens), weights=variant.weights)
    weights = of_language(model, variant.weights)
    bulk = Bulk.like(compiler, weights, ExactVectors() if variant.exact else None)
    with waiting(variant.name, model.decoder.layers) as step:
        return bulk.logits(tokens, lambda _: step(1))


def _table(name: str, outcomes: Sequence[Outcome]) -> Block:
    first = outcomes[0]
    rows = tuple(
        (
            variant.name,
            one.perplexity,
            None if one is first else f"{100 * (one.perplexity / first.perplexity - 1):+.1f} %",
            None if one is first else one.largest,
            None if one is first else one.rms,
            None if one is first else f"{100 * one.same:.1f} %",
        )
        for variant, one in zip(VARIANTS, outcomes, strict=True)
    )
    heads = ("computed in", "perplexity", "more", "largest difference of a logit",
             "root mean square", "same likeliest token")  # fmt: skip
    return Block(f"Perplexity of {name}", heads, rows)


def _read(text: Path | None) -> str:
    if text is None:
        from pydoc_data import topics

        return "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    try:
        with text.open("rb") as stream:
            raw = stream.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise DataError(
                "E602",
                "malformed data",
                layer=str(text),
                cause=f"It has more than {LARGEST >> 20} MiB",
                fix="Give the part of it that is to be foretold",
            )
        return raw.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        cause = error.strerror or str(error)
        raise DataError(
            "E605", "data file not found", layer=str(text), cause=cause, fix="Check the path"
        ) from None
    except UnicodeDecodeError as error:
        cause = f"Byte {error.start} is not UTF-8"
        raise DataError(
            "E602", "malformed data", layer=str(text), cause=cause, fix="Give a text in UTF-8"
        ) from None


def _key(content: str, tokens: Sequence[int], variant: Variant, device: Device) -> str:
    """Return the name of what a result depends on."""
    mac = device.mac
    sizes = None if mac is None else [mac.lanes, mac.buffer_bytes, dict(mac.weights)]
    lanes = device.asic.lanes if device.asic else 0
    access = device.organization.access_bits
    said = [content, list(tokens), asdict(variant), sizes, lanes, access, np.__version__, _code()]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@cache
def _code() -> str:
    found = hashlib.sha256()
    for name in SOURCES:
        spec = find_spec(name)
        assert spec is not None and spec.origin is not None
        found.update(Path(spec.origin).read_bytes())
    return found.hexdigest()


def _refuse_closed(folder: Path) -> None:
    """Raise where results cannot be kept, before minutes of measuring."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RunError(
            "E702",
            "permission denied",
            layer=str(folder),
            cause="Results cannot be kept there",
            fix="Set XDG_CACHE_HOME to a folder of your own",
        )


def _known(place: Path) -> Outcome | None:
    """Return a result that was kept; None where there is none, or no whole one."""
    try:
        return Outcome(**{key: float(one) for key, one in json.loads(place.read_text()).items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _keep(place: Path, outcome: Outcome) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(asdict(outcome)) + "\n")
    partial.replace(place)
