"""Lazy package attributes (PEP 562), so that importing one floor does not load its contents."""

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_exports(
    package: str, origins: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package whose names load on first use.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    origins : Mapping[str, str]
        Public name to the module that defines it.

    Returns
    -------
    tuple
        ``__getattr__`` and ``__dir__``, to be bound at the package's top level.
    """

    def load(name: str) -> object:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(origins[name]), name)

    def names() -> list[str]:
        return sorted(origins)

    return load, names
