from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str) -> ModuleType:
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"rtl_{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toys() -> ModuleType:
    """The toy cores of toys.py."""
    return _load("toys")


@pytest.fixture(scope="session")
def builds(request: pytest.FixtureRequest) -> Path:
    """A folder of finished builds that outlives the session."""
    assert request.config.cache is not None
    return request.config.cache.mkdir("rtl_builds")
