"""Malformed and hostile model files: each is one clear error, with a code, and no traceback."""

from __future__ import annotations

import io
import json
import os
import pickle
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from gateformer.quant.errors import GateformerError, Problems
from gateformer.quant.frontends import load

Layer = dict[str, Any]
KERNEL = np.ones((4, 3), np.float32)
BIAS = np.zeros(3, np.float32)


def entry(kind: str, name: str, *reads: str, **config: object) -> Layer:
    """One layer of Keras 2's configuration."""
    inbound = [[[r, 0, 0, {}] for r in reads]] if reads else []
    given = {"name": name, **config}
    return {"class_name": kind, "name": name, "config": given, "inbound_nodes": inbound}


def source(*shape: int | None, name: str = "x") -> Layer:
    return entry("InputLayer", name, batch_input_shape=[None, *shape])


def dense(name: str = "d", reads: str = "x", **config: object) -> Layer:
    return entry("Dense", name, reads, **{"units": 3, "activation": "linear", **config})


def model(*layers: Layer, output: str | None = None) -> dict[str, Any]:
    """Configuration of a functional model."""
    return {
        "class_name": "Functional",
        "config": {
            "name": "m",
            "layers": list(layers),
            "input_layers": [["x", 0, 0]],
            "output_layers": [[output or layers[-1]["name"], 0, 0]],
        },
    }


def write_h5(path: Path, config: object, weights: Mapping[str, np.ndarray] | None = None) -> Path:
    """Write a model file of Keras 2; weights are ``<layer>/<name>``."""
    if weights is None:
        weights = {"d/kernel": KERNEL, "d/bias": BIAS}
    with h5py.File(path, "w") as file:
        text = config if isinstance(config, (str, bytes)) else json.dumps(config)
        file.attrs["model_config"] = text
        file.attrs["keras_version"] = "2.9.0"
        root = file.create_group("model_weights")
        for key, value in weights.items():
            layer = key.split("/")[0]
            group = root.require_group(layer)
            group.create_dataset(key, data=value)
            names = [*group.attrs.get("weight_names", []), key]
            group.attrs["weight_names"] = np.array(names, dtype="S")
    return path


def write_keras(
    path: Path,
    config: object,
    members: Mapping[str, bytes] | None = None,
    without: str = "",
) -> Path:
    """Write a ``.keras`` archive with one dense layer's weights and further members."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset("layers/dense/vars/0", data=KERNEL)
        file.create_dataset("layers/dense/vars/1", data=BIAS)
    parts = {
        "metadata.json": b'{"keras_version": "3.15.1"}',
        "config.json": json.dumps(config).encode(),
        "model.weights.h5": stream.getvalue(),
        **(members or {}),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            if name != without:
                archive.writestr(name, data)
    return path


def truncated(path: Path, maker: Callable[..., Path]) -> Path:
    whole = maker(path, model(source(4), dense())).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def raw(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def linked(path: Path, link: object) -> Path:
    """Write a file whose kernel is a link."""
    write_h5(path, model(source(4), dense()))
    with h5py.File(path, "a") as file:
        del file["model_weights/d/d/kernel"]
        file["model_weights/d/d/kernel"] = link
    return path


def outside(path: Path) -> Path:
    """Write a file whose kernel lies in another file, as raw bytes."""
    write_h5(path, model(source(4), dense()))
    secret = path.with_suffix(".bin")
    secret.write_bytes(bytes(48))
    with h5py.File(path, "a") as file:
        del file["model_weights/d/d/kernel"]
        group = file["model_weights/d/d"]
        group.create_dataset("kernel", (4, 3), "f4", external=[(str(secret), 0, 48)])
    return path


def huge(path: Path) -> Path:
    """Write a file that claims a kernel of 10^12 numbers and holds none."""
    write_h5(path, model(source(4), dense()))
    with h5py.File(path, "a") as file:
        del file["model_weights/d/d/kernel"]
        file["model_weights/d/d"].create_dataset(
            "kernel", (10**6, 10**6), "f4", chunks=(1000, 1000)
        )
    return path


def lying_size(path: Path) -> Path:
    """Write an archive whose directory understates a member's size."""
    write_keras(path, model(source(4), dense()), {"config.json": b" " * 100_000 + b"{}"})
    data = bytearray(path.read_bytes())
    real = (100_002).to_bytes(4, "little")
    at = data.rfind(real)
    data[at : at + 4] = (10).to_bytes(4, "little")
    return raw(path, bytes(data))


def doubling(levels: int) -> dict[str, Any]:
    """A model that uses a model twice, that uses a model twice..."""
    inner: Layer = model(source(4), dense())
    for level in range(levels):
        nested = {**inner, "name": f"n{level}", "config": {**inner["config"], "name": f"n{level}"}}
        first = [[["x", 0, 0, {}]]]
        nested["inbound_nodes"] = [*first, [[f"n{level}", 1, 0, {}]]]
        inner = model(source(4), nested)
        inner["config"]["output_layers"] = [[f"n{level}", 2, 0]]
    return inner


def bad(tmp: Path, config: object, **weights: np.ndarray) -> Path:
    return write_h5(tmp / "m.h5", config, weights or None)


WEIGHTS = {"d/kernel": KERNEL, "d/bias": BIAS}
PO2 = "quantized_bits(4,0,alpha='auto')"
LAMBDA = entry("Lambda", "evil", "x", function=["4wEAAAA=", None, None])
MHA = {"num_heads": 1, "key_dim": 2}

FILES: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "empty": (lambda t: raw(t / "m.h5", b""), "E101", "the file is empty"),
    "absent": (lambda t: t / "none.h5", "E101", "no such file"),
    "folder": (lambda t: t, "E101", "a folder"),
    "pickle": (lambda t: raw(t / "m.h5", pickle.dumps({"a": 1})), "E101", "pickle"),
    "text": (lambda t: raw(t / "m.keras", b"hello world"), "E101", "neither HDF5's nor zip's"),
    "truncated h5": (lambda t: truncated(t / "m.h5", write_h5), "E101", "truncated"),
    "truncated keras": (lambda t: truncated(t / "m.keras", write_keras), "E101", "truncated"),
    "hdf5 signature alone": (
        lambda t: raw(t / "m.h5", b"\x89HDF\r\n\x1a\n" + bytes(900)),
        "E101",
        "damaged",
    ),
    "weights alone": (lambda t: _weights_alone(t / "m.h5"), "E101", "without a configuration"),
    "config is no text": (lambda t: _numeric_config(t / "m.h5"), "E101", "not text"),
    "config is no JSON": (lambda t: bad(t, "{nonsense"), "E101", "not JSON"),
    "config is a list": (lambda t: bad(t, "[1, 2]"), "E101", "not a JSON object"),
    "not UTF-8": (
        lambda t: write_keras(t / "m.keras", {}, {"config.json": b'{"a": "\xff\xfe"}'}),
        "E101",
        "not UTF-8",
    ),
    "deep JSON": (
        lambda t: bad(t, '{"a":' + "[" * 20_000 + "]" * 20_000 + "}"),
        "E107",
        "nested too deeply",
    ),
    "huge JSON": (
        lambda t: write_keras(
            t / "m.keras", {}, {"config.json": b'{"a":"' + os.urandom(1 << 20).hex().encode() * 34}
        ),
        "E107",
        "config.json",
    ),
    "zip bomb": (
        lambda t: write_keras(t / "m.keras", {}, {"model.weights.h5": bytes(200 << 20)}),
        "E107",
        "swells",
    ),
    "understated size": (lambda t: lying_size(t / "m.keras"), "E101", "damaged"),
    "path out of the archive": (
        lambda t: write_keras(t / "m.keras", {}, {"../../etc/cron.d/x": b"x"}),
        "E108",
        "outside the archive",
    ),
    "absolute path": (
        lambda t: write_keras(t / "m.keras", {}, {"/etc/passwd": b"x"}),
        "E108",
        "outside the archive",
    ),
    "windows path": (
        lambda t: write_keras(t / "m.keras", {}, {"..\\evil": b"x"}),
        "E108",
        "outside the archive",
    ),
    "archive without config": (
        lambda t: write_keras(t / "m.keras", {}, without="config.json"),
        "E101",
        "does not hold",
    ),
    "archive without weights": (
        lambda t: write_keras(t / "m.keras", {}, without="model.weights.h5"),
        "E101",
        "does not hold",
    ),
    "weights are no HDF5": (
        lambda t: write_keras(t / "m.keras", {}, {"model.weights.h5": b"abc"}),
        "E101",
        "damaged",
    ),
    "external link": (
        lambda t: linked(t / "m.h5", h5py.ExternalLink("/etc/passwd", "/")),
        "E108",
        "another file",
    ),
    "soft link": (
        lambda t: linked(t / "m.h5", h5py.SoftLink("/model_weights/d/d/bias")),
        "E108",
        "leads elsewhere",
    ),
    "external storage": (lambda t: outside(t / "m.h5"), "E108", "another file"),
    "claimed terabytes": (lambda t: huge(t / "m.h5"), "E107", "claims 1000000000000 numbers"),
    "text weights": (
        lambda t: write_h5(
            t / "m.h5", model(source(4), dense()), {"d/kernel": np.array([b"ab"]), "d/bias": BIAS}
        ),
        "E104",
        "not floating point",
    ),
    "complex weights": (
        lambda t: write_h5(
            t / "m.h5", model(source(4), dense()), {**WEIGHTS, "d/kernel": KERNEL * 1j}
        ),
        "E104",
        "not floating point",
    ),
    "NaN weights": (
        lambda t: write_h5(
            t / "m.h5", model(source(4), dense()), {**WEIGHTS, "d/kernel": KERNEL * np.nan}
        ),
        "E105",
        "'kernel' is nan at (0, 0)",
    ),
    "infinite bias": (
        lambda t: write_h5(
            t / "m.h5", model(source(4), dense()), {**WEIGHTS, "d/bias": BIAS + np.inf}
        ),
        "E105",
        "'bias' is inf",
    ),
    "misshapen kernel": (
        lambda t: write_h5(t / "m.h5", model(source(4), dense(units=5))),
        "E104",
        "(4, 3), the configuration says (any, 5)",
    ),
    "kernel for another input": (
        lambda t: write_h5(t / "m.h5", model(source(7), dense())),
        "E110",
        "the kernel takes 4 features",
    ),
    "missing bias": (
        lambda t: write_h5(t / "m.h5", model(source(4), dense()), {"d/kernel": KERNEL}),
        "E104",
        "does not hold its 'bias'",
    ),
    "absurd units": (lambda t: bad(t, model(source(4), dense(units=10**9))), "E104", "1000000000"),
    "negative units": (lambda t: bad(t, model(source(4), dense(units=-3))), "E103", "'units'"),
    "units as text": (lambda t: bad(t, model(source(4), dense(units="3"))), "E103", "'units'"),
    "absurd input": (lambda t: bad(t, model(source(10**9, 10**9), dense())), "E112", "too large"),
    "absurd output": (
        lambda t: bad(t, model(source(1 << 12, 1 << 12), _wide(300), output="c299")),
        "E112",
        "elements",
    ),
    "open token count": (lambda t: bad(t, model(source(None, 4), dense())), "E112", "not fixed"),
    "Lambda": (lambda t: bad(t, model(source(4), LAMBDA)), "E106", "bytecode"),
    "lambda activation": (
        lambda t: bad(
            t, model(source(4), dense(activation={"class_name": "__lambda__", "config": {}}))
        ),
        "E106",
        "bytecode",
    ),
    "unknown layer": (
        lambda t: bad(t, model(source(4), entry("GRU", "gru_1", "x"))),
        "E102",
        "'gru_1' (GRU)",
    ),
    "subclassed model": (lambda t: bad(t, {"class_name": "MyNet", "config": {}}), "E102", "code"),
    "no class": (lambda t: bad(t, {"config": {}}), "E102", "no class"),
    "config of the wrong kind": (
        lambda t: bad(t, {"class_name": "Functional", "config": 3}),
        "E103",
        "no JSON object",
    ),
    "layers of the wrong kind": (
        lambda t: bad(t, {"class_name": "Functional", "config": {"layers": [1, 2]}}),
        "E103",
        "no list of layers",
    ),
    "no output": (
        lambda t: bad(t, {"class_name": "Functional", "config": {"layers": [source(4)]}}),
        "E103",
        "no inputs or no outputs",
    ),
    "cycle": (
        lambda t: bad(t, model(source(4), dense("a", "b"), dense("b", "a"))),
        "E103",
        "a cycle leads through a, b",
    ),
    "reads nothing": (
        lambda t: bad(t, model(source(4), dense(reads="ghost"))),
        "E103",
        "call 0 of 'ghost', which is not there",
    ),
    "malformed inbound node": (
        lambda t: bad(t, model(source(4), {**dense(), "inbound_nodes": [[["x"]]]})),
        "E103",
        "an inbound node is malformed",
    ),
    "two layers of one name": (
        lambda t: bad(t, model(source(4), dense("d"), dense("d"))),
        "E113",
        "two layers have one name: 'd'",
    ),
    "name out of its folder": (
        lambda t: bad(t, model(source(4), dense("../../evil"))),
        "E108",
        "path out of its folder",
    ),
    "control characters": (
        lambda t: bad(t, model(source(4), dense("a\x1b[2Jb"))),
        "E108",
        "control characters",
    ),
    "endless name": (
        lambda t: bad(t, model(source(4), dense("n" * 500))),
        "E108",
        "500 characters",
    ),
    "a model's name out of its folder": (
        lambda t: bad(
            t,
            {
                "class_name": "Functional",
                "config": {**model(source(4), dense())["config"], "name": "../../evil"},
            },
        ),
        "E108",
        "rename the model",
    ),
    "models in models": (lambda t: bad(t, doubling(24)), "E107", "more than 20000 calls"),
    "quantizer with code": (
        lambda t: bad(
            t,
            model(
                source(4), entry("QActivation", "q", "x", activation="quantized_bits(open('x'))")
            ),
        ),
        "E103",
        "literal arguments",
    ),
    "quantizer that is random": (
        lambda t: bad(t, model(source(4), entry("QActivation", "q", "x", activation="bernoulli"))),
        "E109",
        "random",
    ),
    "unknown activation": (
        lambda t: bad(t, model(source(4), dense(activation="__import__('os').system('x')"))),
        "E102",
        "its activation is",
    ),
    "absurd bits": (
        lambda t: bad(
            t, model(source(4), entry("QActivation", "q", "x", activation="quantized_bits(10**9)"))
        ),
        "E103",
        "literal arguments",
    ),
    "absurd width": (
        lambda t: bad(
            t, model(source(4), entry("QActivation", "q", "x", activation="quantized_bits(999)"))
        ),
        "E109",
        "bits is 999",
    ),
    "scale off the powers of two": (
        lambda t: write_h5(
            t / "m.h5",
            model(source(4), {**dense(kernel_quantizer=PO2), "class_name": "QDense"}),
            {**WEIGHTS, "d/kernel": KERNEL * 0.3},
        ),
        "E208",
        "alpha='auto_po2'",
    ),
    "attention without a value": (
        lambda t: write_h5(
            t / "m.h5",
            model(source(4, 2), entry("MultiHeadAttention", "a", "x", **MHA)),
            {
                **{f"a/{n}/kernel": np.ones((2, 1, 2)) for n in ("query", "key", "value")},
                **{f"a/{n}/bias": np.ones((1, 2)) for n in ("query", "key", "value")},
                "a/attention_output/kernel": np.ones((1, 2, 2)),
                "a/attention_output/bias": np.ones(2),
            },
        ),
        "E114",
        "query and value",
    ),
    "reshape that does not fit": (
        lambda t: bad(t, model(source(4), entry("Reshape", "r", "x", target_shape=[3, 5]))),
        "E110",
        "do not fill",
    ),
    "padding of tokens that are computed": (
        lambda t: bad(t, model(source(3, 4), dense(), entry("Masking", "k", "d"))),
        "E114",
        "mask a model input",
    ),
}


def _weights_alone(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("d/kernel", data=KERNEL)
    return path


def _numeric_config(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = 7
    return path


def _wide(count: int) -> Layer:
    """A nested model of layers that each double their input."""
    layers = [source(1 << 12, 1 << 12)]
    before = "x"
    for n in range(count):
        layers.append(entry("Concatenate", f"c{n}", before, before, axis=-1))
        before = f"c{n}"
    nested = model(*layers)
    nested["config"]["name"] = "c299"
    return {**nested, "name": "c299", "inbound_nodes": [[["x", 0, 0, {}]]]}


@pytest.mark.parametrize("case", FILES)
def test_hostile_file_is_one_clear_error(case: str, tmp_path: Path) -> None:
    make, code, words = FILES[case]
    path = make(tmp_path)
    started = time.process_time()
    with pytest.raises(GateformerError) as caught:
        load(path)
    message = str(caught.value)
    first = caught.value.errors[0] if isinstance(caught.value, Problems) else caught.value
    assert first.code == code, message
    assert words.lower() in message.lower(), message
    assert caught.value.exit_code in (3, 4)
    assert all(line.isprintable() for line in message.splitlines())
    assert time.process_time() - started < 30


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_unreadable_file(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "m.h5", model(source(4), dense()))
    path.chmod(0)
    with pytest.raises(GateformerError, match=r"E101 unreadable model file.*[Pp]ermission denied"):
        load(path)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    layers = [
        source(4),
        dense("d", units=5),
        LAMBDA,
        entry("GRU", "gru_1", "d"),
        dense("e", "gru_1", activation="nonsense"),
        entry("QActivation", "q", "e", activation="stochastic_ternary"),
    ]
    with pytest.raises(Problems) as caught:
        load(bad(tmp_path, model(*layers)))
    found = {(e.code, e.layer) for e in caught.value.errors}
    assert found == {
        ("E104", "d"),
        ("E106", "evil"),
        ("E102", "gru_1"),
        ("E102", "e"),
        ("E109", "q"),
    }


def test_every_shape_fault_is_told_at_once(tmp_path: Path) -> None:
    layers = [
        source(4),
        entry("Reshape", "r", "x", target_shape=[3, 5]),
        entry("Reshape", "s", "x", target_shape=[9]),
        entry("Activation", "after", "r", activation="relu"),
        entry("Add", "sum", "after", "s"),
    ]
    with pytest.raises(Problems) as caught:
        load(bad(tmp_path, model(*layers)))
    assert [e.layer for e in caught.value.errors] == ["r", "s"]


def test_odd_but_honest_names_stay(tmp_path: Path) -> None:
    names = ["module", "always", "größe", "a/b", "日本", "x y", "wire[3:0]"]
    layers = [source(4)]
    for before, name in zip(["x", *names], names, strict=False):
        layers.append(entry("Activation", name, before, activation="relu"))
    graph = load(bad(tmp_path, model(*layers)))
    assert [n.output for n in graph.nodes] == names


@pytest.mark.parametrize("writer", ["h5", "keras"])
def test_a_thousand_layers_load_in_time_linear_in_layers(tmp_path: Path, writer: str) -> None:
    def seconds(count: int) -> float:
        layers = [source(4)]
        for n in range(count):
            layers.append(
                entry("Activation", f"a{n}", f"a{n - 1}" if n else "x", activation="relu")
            )
        path = tmp_path / f"{count}.{writer}"
        write_keras(path, model(*layers)) if writer == "keras" else _big_h5(path, model(*layers))
        # Processor time: what else runs on the machine is no property of the reader.
        started = time.process_time()
        graph = load(path)
        assert len(graph.nodes) == count
        return time.process_time() - started

    seconds(10)
    small, large = (min(seconds(n) for _ in range(3)) for n in (250, 2000))
    assert large < 8 * small * 3 + 0.05
    assert large < 30


def _big_h5(path: Path, config: object) -> Path:
    """HDF5 holds attributes over 64 KiB only in its newer format, as Keras writes them."""
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.9.0"
        file.create_group("model_weights")
    return path
