"""The page of studies: tables of all points, techniques with and without, plots and failures.

Owns ``markdown``. Imports summaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gateformer.study.rows import Row
from gateformer.study.schema import Study, Variant
from gateformer.study.summary import LEAST, Against, Summary, against, lut_per_dsp, summaries

HEAD = """\
# Studies: accuracy, bits, techniques, area

Made by

    gateformer study {files}

Each point is a network: trained after its recipe, exported, read, lowered to integers, scheduled.
What is unchanged is reused, by the hash of recipe, data, packages and sources; the rows lie in
`docs/{folder}`. Numbers of several seeds are means.

- **float**, **framework**, **integers**: share of the test samples that the network tells in
  floating point, with quantizers in its framework, and in the integers that the hardware computes.
- **mean bits w / a**: of a weight and of an activation, over all that are multiplied
  ([metrics](metrics.md)).
- **LUT**, **FF**, **DSP**: predicted ([the cost model](cost_model.md)); **yosys**: counted for
  UltraScale+.
- **clocks**, **II**: latency of a frame and clocks between frames, exact: RTL is held to them
  ([the flow](flow.md)).
- **area**: LUT + {ratio:.1f} DSP, the ratio in which a VU13P has them.
- **equal down to**: one standard error of the difference. Paired, where rows tell which samples
  are right: of those alone in which the two differ (McNemar, 1947); else of a share of so many
  test samples, which is larger.
- **gains**: accuracy is not lower by more than that, and area or clocks fall by more than
  {least:.0%} while the other does not rise by as much. **trades**: one falls, the other rises.
"""


def markdown(done: Sequence[tuple[Study, Sequence[Row], Mapping[str, str]]], folder: str) -> str:
    """Return the page.

    Parameters
    ----------
    done : sequence of (Study, rows, versions)
        Every study with what it found, and the packages' versions.
    folder : str
        Name of the folder with rows and plots, beside the page.
    """
    files = " ".join(f"fpga_projects/studies/{study.name}.toml" for study, _, _ in done)
    head = HEAD.format(files=files, folder=folder, ratio=lut_per_dsp(), least=LEAST)
    parts = [head, *(_study(*one, folder) for one in done)]
    return "\n".join(parts)


def _study(study: Study, rows: Sequence[Row], versions: Mapping[str, str], folder: str) -> str:
    found = summaries(rows)
    lines = [f"## {study.title}", ""]
    if study.text:
        lines += [study.text.strip(), ""]
    lines += _facts(study, found, versions)
    if found:
        lines += [f"![accuracy over area]({folder}/{study.name}.svg)", "", *_all(found), ""]
    compared = against(study, found)
    if compared:
        lines += ["### With and without", "", *_compared(compared), ""]
    changed = [variant for variant in study.variants if _changes(variant)]
    if changed:
        lines += ["| variant | differs in |", "|---|---|"]
        lines += [f"| {variant.name} | {_changes(variant)} |" for variant in changed]
        lines.append("")
    lines += [
        f"- failed: {row.variant}, {row.bits} bits, seed {row.seed}: {row.failed}"
        for row in rows
        if row.failed
    ]
    told = {row.variant for row in rows}
    if missing := [variant.name for variant in study.variants if variant.name not in told]:
        lines.append(f"- not run yet: {', '.join(missing)}")
    return "\n".join(lines).rstrip() + "\n"


def _facts(study: Study, found: Sequence[Summary], versions: Mapping[str, str]) -> Iterator[str]:
    counts = sorted({len(one.rows) for one in found})
    samples = {int(one.mean("samples") or 0) for one in found}
    parts = [f"Recipe `{Path(study.recipe).name}`"]
    if samples:
        parts.append(f"{', '.join(f'{n:,}' for n in sorted(samples))} test samples")
    if counts:
        many = " or ".join(str(n) for n in counts)
        parts.append(f"{many} seed{'s' if counts[-1] > 1 else ''} a point")
    if versions:
        parts.append(", ".join(f"{name} {number}" for name, number in sorted(versions.items())))
    yield "; ".join(parts) + "."
    yield ""


COLUMNS = (
    "variant", "bits", "float", "framework", "integers", "AUC", "mean bits w / a", "LUT", "FF",
    "DSP", "clocks", "II", "yosys LUT", "yosys DSP",
)  # fmt: skip


def _all(found: Sequence[Summary]) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---|" + "---:|" * (len(COLUMNS) - 1)
    for one in found:
        cells = [
            one.variant,
            str(one.bits),
            *(_share(one.mean(name)) for name in ("float", "framework", "integer", "auc")),
            f"{_number(one.mean('weight_bits'), 2)} / {_number(one.mean('activation_bits'), 2)}",
            *(_number(one.mean(name)) for name in ("lut", "ff", "dsp", "latency", "interval")),
            *(_number(one.mean(name)) for name in ("synth_lut", "synth_dsp")),
        ]
        yield f"| {' | '.join(cells)} |"


def _compared(found: Iterable[Against]) -> Iterator[str]:
    yield (
        "| variant | against | bits | accuracy, points | equal down to | area | DSP | clocks "
        "| verdict |"
    )
    yield "|---|---|---:|---:|---:|---:|---:|---:|---|"
    for one in found:
        area = "–" if one.area is None else f"{100 * one.area:+.1f} %"
        by = " (yosys)" if one.synthesized else ""
        dsp = "–" if one.dsp is None else f"{one.dsp:+,.0f}"
        pairs = " (paired)" if one.paired else ""
        yield (
            f"| {one.this.variant} | {one.without.variant} | {one.this.bits} "
            f"| {100 * one.accuracy:+.2f} | {-100 * one.allowed:.2f}{pairs} | {area}{by} | {dsp} "
            f"| {100 * one.clocks:+.1f} % | {one.verdict} |"
        )


def _changes(variant: Variant) -> str:
    """Return what a variant changes, as its file says it."""
    parts = []
    for name in ("recipe", "ptq", "design"):
        tree = getattr(variant, name)
        if tree:
            parts.append(f"{name}: `{_toml(tree)}`")
        elif tree is not None and name == "ptq":
            parts.append("quantized after training")
    return "; ".join(parts)


def _toml(tree: object) -> str:
    if isinstance(tree, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, bool):
        return str(tree).lower()
    if isinstance(tree, str):
        return f'"{tree}"'
    if isinstance(tree, list):
        return "[" + ", ".join(_toml(one) for one in tree) + "]"
    return str(tree)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
