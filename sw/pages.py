"""Markdown pages from their templates.

Owns ``filled``. Imports nothing of gateformer: a package's pages stand in its ``templates/``.
"""

from __future__ import annotations


def filled(package: str, template: str, /, **values: object) -> str:
    """Return a page with its values; one that it lacks is an error.

    Parameters
    ----------
    package : str
        The package of gateformer whose template it is.
    template : str
        A file of its ``templates/``, without ``.md.j2``.
    values : object
        By name.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(f"gateformer.{package}"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{template}.md.j2").render(**values)
