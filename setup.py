"""Map the four top-level folders onto the ``gateformer`` package; all else is in pyproject.toml."""

from setuptools import find_packages, setup

FLOORS = {
    "gateformer": "sw",
    "gateformer.hw": "hw",
    "gateformer.quant": "quant",
    "gateformer.sim": "sim",
}
INSIDE = [f"{name}.{sub}" for name, folder in FLOORS.items() for sub in find_packages(folder)]

setup(package_dir=FLOORS, packages=[*FLOORS, *INSIDE])
