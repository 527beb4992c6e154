"""Small HLS projects written by hand, with the headers that hls4ml bundles."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from gateformer.hw.hls.project import Backend, HlsSettings, IoType, Port, Project
from gateformer.quant.types import Fixed

KINDS = {
    "flag": Fixed(False, 1, 0),
    "byte": Fixed(True, 8, 3),
    "whole": Fixed(True, 64, 10),
    "natural": Fixed(False, 64, 0),
    "wide": Fixed(True, 70, 67),
}
"""Types at the edges of a machine word."""
TOKENS, FEATURES = 3, 2


def headers(backend: Backend) -> dict[str, str]:
    """Headers of the backend's number types, as an hls4ml project has them."""
    spec = find_spec("hls4ml")
    assert spec is not None
    assert spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0]) / "templates"
    family, types = ("quartus", "ac_types") if backend == "quartus" else ("vivado", "ap_types")
    found = {
        f"firmware/{types}/{path.relative_to(root / family / types)}": path.read_text("utf-8")
        for path in sorted((root / family / types).rglob("*.h"))
    }
    place = root / family / ("firmware/nnet_utils" if backend == "quartus" else "nnet_utils")
    text = (place / "nnet_types.h").read_text("utf-8")
    return found | {"firmware/nnet_utils/nnet_types.h": text}


def cpp_type(kind: Fixed, backend: Backend) -> str:
    """A type in C++."""
    if backend == "quartus":
        more = int(kind.width == 1)  # hls4ml's Quartus projects hold one bit in two
        return f"ac_fixed<{kind.width + more}, {kind.integer + more}, {str(kind.signed).lower()}>"
    return f"ap_{'' if kind.signed else 'u'}fixed<{kind.width}, {kind.integer}>"


def project(
    backend: Backend = "vitis",
    io_type: IoType = "io_parallel",
    kinds: dict[str, Fixed] | None = None,
    body: str = "",
    tail: str = "",
) -> Project:
    """A project whose output ``<name>_out`` is its input ``<name>``, through ``<name>_mid``.

    ``body`` stands before the copies, ``tail`` behind them.
    """
    kinds = KINDS if kinds is None else kinds
    size = TOKENS * FEATURES
    ac = backend == "quartus"
    stream = "nnet::stream" if ac else "hls::stream"
    head = ["#pragma once"]
    if ac:
        head += ['#include "ac_fixed.h"', '#include "ac_int.h"', '#include "stream.h"']
    else:
        head += ['#include "ap_fixed.h"', '#include "ap_int.h"', '#include "hls_stream.h"']
    head += ['#include "nnet_utils/nnet_types.h"', "#include <cstdlib>"]
    for name, kind in kinds.items():
        element = cpp_type(kind, backend)
        beat = f"nnet::array<{element}, {FEATURES}>"
        head += [f"typedef {element if io_type == 'io_parallel' else beat} {name}_t;"]
    copy = []
    if io_type == "io_stream":
        takes = [f"{stream}<{n}_t> &{n}{s}" for s in ("", "_out") for n in kinds]
        copy = [f"  {stream}<{name}_t> {name}_mid;" for name in kinds]
        signature = f"void net({', '.join(takes)})"
        into = "{name}_out"
    elif ac:
        head += ["struct input_data {", *(f"  {n}_t {n}[{size}];" for n in kinds), "};"]
        head += ["struct output_data {", *(f"  {n}_t {n}_out[{size}];" for n in kinds), "};"]
        signature = "output_data net(input_data inputs)"
        copy = ["  output_data outputs;", *(f"  {n}_t {n}_mid[{size}];" for n in kinds)]
        into = "outputs.{name}_out"
    else:
        signature = (
            f"void net({', '.join(f'{n}_t {n}{s}[{size}]' for s in ('', '_out') for n in kinds)})"
        )
        copy = [f"  {n}_t {n}_mid[{size}];" for n in kinds]
        into = "{name}_out"
    given = "inputs.{name}" if ac and io_type == "io_parallel" else "{name}"
    for name in kinds:
        copy += [f"  pass({given.format(name=name)}, {name}_mid); // {name}"]
        copy += [f"  pass({name}_mid, {into.format(name=name)}); // {name}_out"]
    ends = ["  return outputs;"] if ac and io_type == "io_parallel" else []
    passing = (
        f"template <class S> void pass(S &a, S &b) "
        f"{{ for (int i = 0; i < {TOKENS}; ++i) b.write(a.read()); }}"
        if io_type == "io_stream"
        else f"template <class T> void pass(T *a, T *b) "
        f"{{ for (int i = 0; i < {size}; ++i) b[i] = a[i]; }}"
    )
    source = ['#include "net.h"', passing, f"{signature} {{", body, *copy, tail, *ends, "}", ""]
    files = {
        **headers(backend),
        "firmware/net.h": "\n".join([*head, f"{signature};", ""]),
        "firmware/net.cpp": "\n".join(source),
    }

    def ports(end: str) -> tuple[Port, ...]:
        return tuple(
            Port(f"{n}{end}", f"{n}{end}", TOKENS, FEATURES, kind) for n, kind in kinds.items()
        )

    settings = HlsSettings(backend, io_type)
    return Project("net", settings, "net", files, ports(""), ports("_out"), ports("_mid"))
