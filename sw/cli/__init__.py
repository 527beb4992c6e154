"""The command line: one command a file, imported only when it is the one called.

A command's module offers ``command``, a function that typer reads, or ``commands``, a mapping of
sub-command names to such functions. A command may return its exit code.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from gateformer.cli import failures
from gateformer.quant.signals import Ended, heeding_signals

COMMANDS: dict[str, str] = {
    "doctor": "Show what is installed and what each missing piece would enable.",
    "inspect": "List a model's layers, and all that cannot be imported.",
    "train": "Train a network after a recipe, ready to run.",
    "import-config": "Write a design.toml from an hls4ml_config.yml.",
    "quantize": "Quantize a trained network without training, as a new design.",
    "estimate": "Predict latency, interval and resources, and whether they fit the device.",
    "generate": "Write the sources.",
    "simulate": "Check the hardware bit by bit and clock by clock.",
    "build": "Run a toolchain on the sources.",
    "run": "Do all of it, in a folder that keeps every step.",
    "report": "Write the page of a run again.",
    "study": "Put accuracy, bits and techniques beside area and clocks.",
    "pim": "Simulate transformers on a memory that computes.",
    "baseline": "Measure the same models in other runtimes, on this CPU and GPU.",
    "compare": "Put FPGA, PIM, CPU and GPU side by side.",
}
"""Each command and its line in the help, in the order of use."""

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : Sequence[str], optional
        The arguments after the program's name; ``sys.argv`` when absent.

    Returns
    -------
    int
        The exit code, as docs/errors.md lists them.
    """
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    try:
        # Asked to end, a command removes what is half-written, as on Ctrl-C.
        with heeding_signals():
            app = typer.main.get_command(build_app(wanted))
            with app.make_context("gateformer", arguments) as context:
                result = app.invoke(context)
            sys.stdout.flush()
    except typer.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt, Ended) as error:
        return failures.report(failures.explain(error), as_json="--json" in arguments)
    except SystemExit as end:
        # rich ends the process itself where the output's reader went away, with another code.
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        return failures.report(end.__context__, as_json=False)
    return result if isinstance(result, int) else 0


def build_app(wanted: str | None) -> typer.Typer:
    """Return the typer app; only the wanted command's module is imported."""
    app = typer.Typer(
        help="Quantized transformers to bit-exact, cycle-exact hardware.",
        add_completion=False,
        context_settings=SETTINGS,
    )
    app.callback()(options)
    for name, summary in COMMANDS.items():
        if name == wanted:
            add(app, name, summary)
        else:
            app.command(name, help=summary)(placeholder)
    return app


def add(app: typer.Typer, name: str, summary: str) -> None:
    """Import a command's module and register what it offers."""
    module = import_module(f"gateformer.cli.{name.replace('-', '_')}")
    if not hasattr(module, "commands"):
        app.command(name)(module.command)
        return
    group = typer.Typer(help=summary, context_settings=SETTINGS)
    group.callback()(placeholder)
    for sub, function in module.commands.items():
        group.command(sub)(function)
    app.add_typer(group, name=name)


def placeholder() -> None:
    """Stand in the help for a command that is not the one called."""


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from gateformer.quant.version import __version__

        typer.echo(f"gateformer {__version__}")
        raise typer.Exit


def options(
    version: bool = typer.Option(
        False, "--version", callback=show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Quantized transformers to bit-exact, cycle-exact hardware."""
