"""A language model trained to do without most hidden numbers: what the memory then saves.

    python -m gateformer.study.learned_skipping [--recorded] > docs/pim_learned_skip.md

Owns the page and what it records. Imports the training, the bit-true decoder and the memory's
simulation. Trainings are kept by the hash of all that decides them, so an interrupted run goes on
behind the last one that ended; clocks are simulated anew each time.
"""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.flow.files import digest_of, write_whole
from gateformer.hw.pim import device as devices
from gateformer.hw.pim.compile import Compiler
from gateformer.pages import filled
from gateformer.quant import language
from gateformer.quant.decoder import Decoder
from gateformer.quant.frontends.gguf_file import Language
from gateformer.quant.train import language as trainer
from gateformer.quant.train.language import BYTES, Recipe, fit
from gateformer.sim.pim import simulate
from gateformer.sim.pim.bulk import Bulk
from gateformer.sim.pim.weights import of_language
from gateformer.study.training import versions

RECORD = Path("docs/pim_learned_skip.json")
WORK = Path("runs/study/bytes")
DEVICE = "pim-gpt"
LANES = 16
"""BF16 numbers of a column of ``DEVICE``."""
SEEDS = (1, 2)
WINDOW, WINDOWS = 256, 64
"""Bytes of a stretch of test text, and stretches, evenly spread over it."""
CHANNELS = (1, 2, 8)
TOKENS, PAST = 16, 64
"""Tokens of a simulation, and tokens before them."""
LEAST = 0.01
"""Share of the clocks that has to fall for a gain, as in all studies."""


@dataclass(frozen=True, slots=True)
class Way:
    """A model and how much of its hidden vector is multiplied.

    Attributes
    ----------
    name : str
        What the table calls it.
    d_ff : int
        Hidden numbers; one tile at most.
    trained, kept : float
        Share of the columns that is kept at the end of the training, and in the memory.
    """

    name: str
    d_ff: int
    trained: float
    kept: float

    @property
    def decoder(self) -> Decoder:
        """Return the model's shape."""
        return Decoder(
            name=f"bytes-{self.d_ff}",
            layers=2,
            d_model=256,
            heads=8,
            kv_heads=8,
            d_head=32,
            d_ff=self.d_ff,
            vocab=256,
            context=WINDOW,
            norm="rms",
            activation="relu",
            positions="rotary",
            bias_qkv=False,
            bias_projection=False,
            bias_ffn=False,
        )

    def recipe(self, seed: int) -> Recipe:
        """Return its training."""
        keep = None if self.trained == 1 else math.ceil(self.d_ff // LANES * self.trained)
        return Recipe(self.decoder, seed=seed, lanes=LANES, keep=keep)


WAYS = (
    Way("whole", 1024, 1.0, 1.0),
    Way("skips untrained", 1024, 1.0, 0.5),
    Way("skips untrained", 1024, 1.0, 0.25),
    Way("trained to skip", 1024, 0.5, 0.5),
    Way("trained to skip", 1024, 0.25, 0.25),
    Way("narrower, whole", 512, 1.0, 1.0),
)
"""The first is what all others are set against."""


@dataclass(frozen=True, slots=True)
class Result:
    """A row of the table.

    Attributes
    ----------
    way : Way
        What was measured.
    bits : float
        Bits a byte of test text, mean over seeds.
    more, bar : float
        By how much these are more than the first way's, and one standard error of that
        difference, stretch by stretch.
    clocks, change : tuple of float
        Of a token, for ``CHANNELS``, and by which share they are above the first way's.
    """

    way: Way
    bits: float
    more: float
    bar: float
    clocks: tuple[float, ...]
    change: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """Return whether clocks fall at equal bits a byte, on any number of channels."""
        if self.more > self.bar:
            return "loses accuracy"
        saved = [str(n) for n, one in zip(CHANNELS, self.change, strict=True) if one < -LEAST]
        return f"gains on {' and '.join(saved)}" if saved else "no gain"


@cache
def texts() -> tuple[bytes, bytes]:
    """Return the text to learn from and the last eighth, which is the test."""
    from pydoc_data import topics

    whole = "\n\n".join(topics.topics[name] for name in sorted(topics.topics)).encode()
    cut = len(whole) * 7 // 8
    return whole[:cut], whole[cut:]


def stretches() -> Iterator[bytes]:
    """Yield the stretches of test text, a byte longer than a window."""
    test = texts()[1]
    for number in range(WINDOWS):
        start = number * (len(test) - WINDOW - 1) // (WINDOWS - 1)
        yield test[start : start + WINDOW + 1]


def trained(recipe: Recipe, work: Path) -> Language:
    """Return a trained model; it is kept in a folder."""
    said = {
        "recipe": asdict(recipe),
        "text": sha256(texts()[0]).hexdigest(),
        "versions": versions(("torch", "numpy")),
        "trainer": sha256(Path(trainer.__file__).read_bytes()).hexdigest(),
    }
    place = work / f"{digest_of(said)[:24]}.npz"
    if not place.is_file():
        _keep(fit(recipe, texts()[0], _say), place)
    with np.load(place, allow_pickle=False) as kept:
        names = [one.name for one in recipe.decoder.matrices] + ["parameters"]
        blocks = tuple(
            {name: kept[f"{name}.{block}"] for name in names}
            for block in range(recipe.decoder.layers)
        )
        table, final = kept["embedding"], kept["final"]
    return Language(recipe.decoder, blocks, table, table, final, BYTES, {})


def measured(way: Way, model: Language) -> list[float]:
    """Return the bits a byte of each stretch, in the memory's own arithmetic, bit by bit."""
    compiler = Compiler(way.decoder, devices.load(DEVICE), tokens=WINDOW, ffn_keep=way.kept)
    bulk = Bulk.like(compiler, of_language(model))
    return [
        float(language.surprises(bulk.logits(text[:-1]), text[1:]).mean() / math.log(2))
        for text in stretches()
    ]


def record(work: Path) -> dict[str, Any]:
    """Train and measure all ways."""
    rows = []
    for way in WAYS:
        bits = [measured(way, trained(way.recipe(seed), work)) for seed in SEEDS]
        rows.append({"way": asdict(way), "bits": [[round(x, 6) for x in one] for one in bits]})
    whole = b"".join(texts())
    return {
        "versions": {"python": platform.python_version()} | versions(("torch", "numpy")),
        "text": {"learned": len(texts()[0]), "sha256": sha256(whole).hexdigest()},
        "rows": rows,
    }


def results(rows: Sequence[Mapping[str, Any]]) -> list[Result]:
    """Return the table of what was recorded, with clocks as they are simulated now."""
    found: list[Result] = []
    first: tuple[NDArray[np.float64], tuple[float, ...]] | None = None
    for row in rows:
        way = Way(**row["way"])
        bits = np.asarray(row["bits"], np.float64).mean(0)
        clocks = tuple(
            simulate(
                way.decoder, TOKENS, device=DEVICE, past=PAST, channels=n, ffn_keep=way.kept
            ).clocks
            / TOKENS
            for n in CHANNELS
        )
        first = first or (bits, clocks)
        apart = bits - first[0]
        found.append(
            Result(
                way,
                float(bits.mean()),
                float(apart.mean()),
                float(apart.std(ddof=1) / math.sqrt(len(apart))),
                clocks,
                tuple(a / b - 1 for a, b in zip(clocks, first[1], strict=True)),
            )
        )
    return found


def page(recorded: Mapping[str, Any]) -> str:
    """Return the page."""
    found = results(recorded["rows"])
    untrained, learned = (
        next(one.more for one in found if one.way.trained == share and one.way.kept == 0.25)
        for share in (1.0, 0.25)
    )
    return filled(
        "study",
        "pim_learned_skip",
        found=found,
        taken_back=1 - learned / untrained,
        names=[f"seed {seed}" for seed in SEEDS],
        seeds=[[f"{np.mean(one):.4f}" for one in row["bits"]] for row in recorded["rows"]],
        versions=recorded["versions"],
        text=recorded["text"],
        shape=WAYS[0].decoder,
        recipe=WAYS[0].recipe(SEEDS[0]),
        channels=CHANNELS,
        window=WINDOW,
        windows=WINDOWS,
        tokens=TOKENS,
        past=PAST,
        device=DEVICE,
    )


def _keep(model: Language, place: Path) -> None:
    """Write a model whole or not at all."""
    arrays: dict[str, Any] = {
        f"{name}.{number}": one
        for number, block in enumerate(model.blocks)
        for name, one in block.items()
    }
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, embedding=model.embedding, final=model.final, **arrays)
    partial.replace(place)


def _say(step: int, loss: float) -> None:
    if step % 100 == 99:
        print(f"step {step + 1}: {loss / math.log(2):.3f} bits a byte", file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--recorded"]):
        raise SystemExit("usage: python -m gateformer.study.learned_skipping [--recorded]")
    if not sys.argv[1:]:
        write_whole(RECORD, json.dumps(record(WORK), indent=1) + "\n")
    print(page(json.loads(RECORD.read_text(encoding="utf-8"))), end="")
