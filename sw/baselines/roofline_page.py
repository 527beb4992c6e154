"""The page docs/roofline.md: ``python -m gateformer.baselines.roofline_page``.

Owns ``page``. Imports the models, the published points, the fits and the records that come with the
package.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from gateformer.baselines import store
from gateformer.baselines.fitting import WITHIN, Law, Prediction, fit, predict
from gateformer.baselines.machines import KNOWN, launches
from gateformer.baselines.published import Point, points
from gateformer.baselines.record import Record
from gateformer.pages import filled
from gateformer.pim.replication_page import markdown
from gateformer.pim.screen import Block, Cell, percent


def page() -> str:
    """Return the page."""
    given = points()
    names = titles(given)
    found = predicted(records())
    held = firm(found)
    return filled(
        "baselines",
        "roofline",
        machines=markdown(machines()),
        sources=markdown(sources()),
        published=markdown(published(given)),
        titles="\n".join(f"{number}. {name}" for number, name in enumerate(names, 1)),
        summary=markdown(summary(given)),
        law=fit([one.sample for one in given if one.group == "tuned, GPU" and one.bits >= 8]),
        launches=markdown(operations()),
        measured=markdown(measured(found)) if found else "",
        firm=len(held),
        good=sum(abs(two.error) <= WITHIN for _, two in held),
        within=percent(WITHIN, 0),
    )


def machines() -> Block:
    """Return every machine's constants."""
    rows = tuple(
        (
            one.title,
            one.peak_gbs,
            one.peak_tflops,
            f"{one.watts:g} W, {one.boundary}",
            percent(one.share, 0),
            one.layer_us,
            _eager(one.eager_layer_us, one.eager_share),
        )
        for one in KNOWN.values()
    )
    heads = ("machine", "GB/s", "TFLOP/s", "limit", "s", "a, us", "eager")
    return Block("Machines", heads, rows)


def _eager(layer_us: float | None, share: float | None) -> str | None:
    words = [] if layer_us is None else [f"{layer_us:g} us a layer"]
    words += [] if share is None else [f"{percent(share)} of the bandwidth"]
    return " or ".join(words) or None


def sources() -> Block:
    """Return where the constants come from."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in KNOWN.values():
        for key, words in one.sources.items():
            found.setdefault((key, words), []).append(one.title)
    rows = tuple((", ".join(names), *key) for key, names in found.items())
    return Block("Sources", ("machine", "constant", "source"), rows)


def titles(given: Sequence[Point]) -> list[str]:
    """Return the sources of published points, each once."""
    return list(dict.fromkeys(one.source for one in given))


def published(given: Sequence[Point]) -> Block:
    """Return each published point beside its model."""
    names = titles(given)
    rows = tuple(
        (
            one.group,
            one.machine.title + (f" x {one.devices}" if one.devices > 1 else ""),
            one.decoder.name,
            one.bits,
            _read(one),
            round(one.modelled.ms, 2),
            _signed(one.error),
            "fit" if one.fitted else "check",
            f"[{names.index(one.source) + 1}] {one.how}",
        )
        for one in given
    )
    heads = ("model", "machine", "decoder", "bits", "ms, published", "modelled", "error",
             "used to", "source")  # fmt: skip
    return Block("Published", heads, rows)


def _read(point: Point) -> Cell:
    """Return a published time, with what is uncertain of it where something was taken off."""
    return f"{point.ms:.2f} ± {point.uncertain:.2f}" if point.prefill else point.ms


def summary(given: Sequence[Point]) -> Block:
    """Return the errors of each group of points."""
    rows: list[tuple[Cell, ...]] = []
    for group in dict.fromkeys(one.group for one in given):
        for words, some in (
            ("in the fit", [one for one in given if one.fitted]),
            ("16 and 32 bits", [one for one in given if not one.fitted and one.bits >= 16]),
            ("8 bits", [one for one in given if not one.fitted and one.bits == 8]),
            ("4 bits", [one for one in given if not one.fitted and one.bits < 8]),
        ):
            errors = [abs(one.error) for one in some if one.group == group]
            if errors:
                rows.append((group, words, len(errors), percent(median(errors), 0),
                             percent(max(errors), 0)))  # fmt: skip
    heads = ("model", "points", "n", "error, median", "largest")
    return Block("Errors", heads, tuple(rows))


def operations() -> Block:
    """Return what an operation costs a GPU."""
    names = {"eager": "launched alone (eager)", "fused": "from a captured graph"}
    rows = []
    for tier in ("eager", "fused"):
        one = launches("eager" if tier == "eager" else "fused")
        rows.append((names[tier], one.us, f"{one.low:g} to {one.high:g}", one.source))
    return Block("Launches", ("way", "us", "error bar", "source"), tuple(rows))


def records() -> list[Record]:
    """Return the records that come with the package, in the order of their files."""
    return [one for path in sorted(store.shipped().glob("*/*.json")) for one in store.read(path)]


Predicted = list[tuple[Record, Prediction]]


def predicted(given: Sequence[Record]) -> Predicted:
    """Return the records that others predict, each with its prediction."""
    return [(one, two) for one in given if (two := predict(one, given)) is not None]


def firm(found: Predicted) -> Predicted:
    """Return the predictions that rest on two and more shapes: as many as the law has constants."""
    return [(one, two) for one, two in found if two.law.samples > 1]


def measured(found: Predicted) -> Block:
    """Return predictions beside what was measured."""
    rows = tuple(_predicted(one, two) for one, two in found)
    heads = ("machine", "model", "runtime", "precision", "ms, measured", "predicted", "error",
             "a, us", "s", "from")  # fmt: skip
    return Block("Measured", heads, rows)


def _predicted(record: Record, found: Prediction) -> tuple[Cell, ...]:
    setup = record.setup
    pages = ", huge pages" if record.pages == "huge" else ""
    return (
        record.hardware.id,
        record.workload.name,
        f"{setup.runtime}, {setup.tier}{pages}",
        setup.precision,
        round(record.times.median * 1e3, 3),
        round(found.seconds * 1e3, 3),
        _signed(found.error),
        round(found.law.layer * 1e6, 1),
        _share(found.law),
        ", ".join(found.fitted),
    )


def _share(law: Law) -> str | None:
    return None if law.share is None else percent(law.share, 0)


def _signed(error: float) -> str:
    return f"{100 * error:+.1f} %"


if __name__ == "__main__":
    print(page(), end="")
