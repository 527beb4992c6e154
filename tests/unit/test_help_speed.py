"""The help answers at once, because it imports nothing that it does not show."""

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys
from gateformer.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]))
"""

HEAVY = {"numpy", "h5py", "jinja2", "tensorflow", "torch", "cocotb", "da4ml"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["doctor", "--json"]])
def test_nothing_heavy_is_imported(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert not {name.split(".")[0] for name in modules} & HEAVY


def test_help_imports_no_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "--help"], capture_output=True, text=True, check=True
    )
    modules = set(json.loads(done.stdout.splitlines()[-1])[1])
    own = {name for name in modules if name.startswith("gateformer.cli.")}
    assert own == {"gateformer.cli.failures"}


def test_importing_a_floor_loads_none_above_it() -> None:
    probe = "import sys, gateformer.quant; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    own = {name for name in done.stdout.split() if name.startswith("gateformer")}
    assert own == {"gateformer", "gateformer.quant", "gateformer.quant.lazy"}
