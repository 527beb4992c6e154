"""Map the four top-level folders onto the ``gateformer`` package; all else is in pyproject.toml."""

from setuptools import find_packages, setup

FLOORS = {"gateformer": "sw", "gateformer.hw": "hw", "gateformer.quant": "quant", "gateformer.sim": "sim"}

setup(
    package_dir=FLOORS,
    packages=[*FLOORS, *(f"{name}.{sub}" for name, root in FLOORS.items() for sub in find_packages(root))],
)
