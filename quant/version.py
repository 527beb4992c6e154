"""The version, written once in pyproject.toml and read from the installed package."""

from importlib.metadata import version

__version__ = version("gateformer")
