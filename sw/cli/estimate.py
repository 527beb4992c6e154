"""``gateformer estimate``: latency, interval and resources, before anything is generated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateformer.cli.shared import (
    DataOption,
    DesignArgument,
    JsonOption,
    Overrides,
    print_json,
    read,
)

if TYPE_CHECKING:
    from rich.table import Table

    from gateformer.flow.step import Metrics


def command(
    design: DesignArgument,
    override: Overrides = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict latency, interval and resources, and whether they fit the device.

    Where they do not, the fastest setting that does is named.
    """
    from rich.console import Console

    from gateformer.flow.fit import suggest
    from gateformer.flow.steps.lowering import Lower
    from gateformer.flow.steps.scheduling import Schedule, plan_metrics
    from gateformer.flow.view import Memory
    from gateformer.hw.devices import LUT4_PER_LUT6

    config = read(design, override, data)
    view = Memory(config)
    metrics = plan_metrics(view.get(Schedule), config)
    found = None if metrics["estimate.fits"] else suggest(view.get(Lower).graph, config)
    if as_json:
        print_json({**metrics, "suggestion": found})
        return
    console = Console(soft_wrap=True)
    clock = config.schedule.clock_ns
    latency, interval = (metrics[f"schedule.{n}_cycles"] for n in ("latency", "interval"))
    console.print(
        f"Latency {latency} cycles ({float(latency or 0) * clock / 1000:.3g} us at {clock} ns), "
        f"one frame every {'clock' if interval == 1 else f'{interval} cycles'}",
        highlight=False,
    )
    console.print(table(metrics))
    console.print(f"Adder graphs {metrics['estimate.adders']}.", highlight=False)
    if metrics["estimate.lut_inputs"] != 6:
        console.print(
            f"LUTs of {config.schedule.device} have {metrics['estimate.lut_inputs']} inputs: "
            f"{LUT4_PER_LUT6:g} of them stand for each 6-input LUT of the cost model.",
            highlight=False,
        )
    if metrics["estimate.fits"]:
        console.print(f"It fits {config.schedule.device}.", highlight=False)
    elif found is None:
        console.print(f"It does not fit {config.schedule.device}, nor does any setting tried.")
    else:
        words = " ".join(f"-o schedule.{key}={found[key]}" for key in SUGGESTED)
        console.print(
            f"[yellow]It does not fit {config.schedule.device}.[/] The fastest setting that does: "
            f"{words} (latency {found['latency_cycles']}, interval {found['interval_cycles']})",
            highlight=False,
        )


SUGGESTED = ("token_parallelism", "reuse_factor")


def table(metrics: Metrics) -> Table:
    """Return the table of resources."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from gateformer.flow.steps.scheduling import lut_name

    result = Table(box=SIMPLE_HEAD)
    result.add_column("resource")
    result.add_column("predicted", justify="right")
    result.add_column(f"of {metrics['estimate.device']}", justify="right")
    for name in ("lut", "ff", "dsp", "bram"):
        percent = metrics[f"estimate.{name}_percent"]
        share = "" if percent is None else f"{percent} %"
        style = "red" if isinstance(percent, int | float) and percent > 100 else ""
        label = lut_name(metrics) if name == "lut" else name.upper()
        result.add_row(label, f"{metrics[f'estimate.{name}']:,.12g}", share, style=style)
    return result
