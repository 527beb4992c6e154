"""Data files, test vectors and the parts of single steps."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gateformer.config.schema import Config, Data
from gateformer.errors import DataError, GateformerError, MismatchError, RunError
from gateformer.flow import data as data_module
from gateformer.flow.cache import cache_folder
from gateformer.flow.data import read_samples
from gateformer.flow.fit import Found, Setting, fastest, settings_of
from gateformer.flow.layers import layer_rows
from gateformer.flow.publish import publish, refuse_strangers
from gateformer.flow.steps.accuracy import Outputs, unusable
from gateformer.flow.steps.calibrating import given
from gateformer.flow.steps.events import clocks_error
from gateformer.flow.steps.vectors import plain, whole
from gateformer.flow.vectors import drawn, join, quantized
from gateformer.quant.expand.linear import Linear
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.types import Fixed


def network(kind: Fixed | None = None, *, masked: bool = False) -> Graph:
    builder = Builder("toy")
    x = builder.input("x", (4, 3), kind)
    if masked:
        builder.input("keep", (4, 1), kind and Fixed(False, 1, 0), masks="x")
    if kind is None:
        x = builder.add(Linear(np.full((3, 2), 0.5), None, (2,)), x, name="dense", layer="dense")
    builder.output(x)
    return builder.build()


def save(path: Path, **arrays: object) -> Data:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return Data(file=str(path))


def test_data_with_labels_and_calibration(tmp_path: Path) -> None:
    x = np.arange(24.0).reshape(2, 4, 3)
    table = save(tmp_path / "d.npz", x_test=x, y_test=np.eye(2), x_calib=-x, y_calib=[[1], [0]])
    samples = read_samples(table, network(), "test")
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1]
    calibration = read_samples(table, network(), "calibration")
    assert (calibration.inputs["x"] == -x).all()
    assert calibration.labels is not None
    assert calibration.labels.tolist() == [1, 0]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e300, -1.0, 0.5])
def test_labels_that_are_no_classes(tmp_path: Path, wrong: float) -> None:
    x = np.zeros((2, 4, 3))
    table = save(tmp_path / "d.npz", x_test=x, y_test=np.array([0.0, wrong]))
    with pytest.raises(DataError, match=r"E602.*class indices"):
        read_samples(table, network(), "test")


def test_what_numpy_takes_for_bytes_is_no_array(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as packed:
        packed.writestr("x_test.npy", b"no header")
    with pytest.raises(DataError, match=r"E602.*'x_test' is no array"):
        read_samples(Data(file=str(tmp_path / "d.npz")), network(), "test")


def test_test_inputs_serve_where_calibration_has_none(tmp_path: Path) -> None:
    table = save(tmp_path / "d.npz", x_test=np.zeros((2, 4, 3)))
    samples = read_samples(table, network(), "calibration")
    assert len(samples) == 2
    assert samples.labels is None
    assert "y_test" in samples.reason


def test_masks_have_arrays_of_their_own(tmp_path: Path) -> None:
    x, keep = np.zeros((2, 4, 3)), np.ones((2, 4), bool)
    graph = network(masked=True)
    table = save(tmp_path / "d.npz", x_test=x, x_test_keep=keep, m=keep)
    assert read_samples(table, graph, "test").inputs["keep"].shape == (2, 4, 1)
    named = table.model_copy(update={"test": {"x": "x_test", "keep": "m"}})
    assert read_samples(named, graph, "test").inputs["keep"].sum() == 8
    wrong = table.model_copy(update={"test": {"x": "x_test", "kept": "m"}})
    with pytest.raises(DataError, match=r"E604.*kept"):
        read_samples(wrong, graph, "test")


def test_npy_file_is_the_test_inputs(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 4, 3), np.float16))
    table = Data(file=str(tmp_path / "x.npy"))
    assert len(read_samples(table, network(), "test")) == 3
    assert len(read_samples(table, network(), "calibration")) == 3


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("code in a data file ran",)


GOOD = np.zeros((2, 4, 3))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x_tset": GOOD}, "Did you mean 'x_tset'"),
        ({}, "holds nothing"),
        ({"x_test": np.zeros((2, 3, 4))}, "E611"),
        ({"x_test": np.float64(1)}, "E611"),
        ({"x_test": np.zeros((0, 4, 3))}, "is empty"),
        ({"x_test": np.full((2, 4, 3), np.nan)}, "E603"),
        ({"x_test": np.full((2, 4, 3), np.inf)}, "E603"),
        ({"x_test": np.full((2, 4, 3), "a")}, "not numbers"),
        ({"x_test": np.zeros((2, 4, 3), complex)}, "not numbers"),
        ({"x_test": np.array([[Bomb()] * 2], dtype=object)}, "E601"),
        ({"x_test": GOOD, "y_test": np.zeros(3)}, "for 2 samples"),
        ({"x_test": GOOD, "y_test": np.array([0.5, 1])}, "class indices"),
        ({"x_test": GOOD, "y_test": np.array([-1, 1])}, "class indices"),
    ],
)
def test_hostile_arrays(tmp_path: Path, arrays: dict[str, object], words: str) -> None:
    table = save(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError, match=words):
        read_samples(table, network(), "test")


def header_of(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 no zip",
        b"\x93NUMPY\x01\x00",
        header_of("(1000000000, 4, 3)"),
        header_of("(2, -4, 3)"),
        zipped("x_test.npy", header_of("(99999999999, 4, 3)")),
        zipped("x_test.npy", b"\x93NUMPY junk"),
        zipped("x_test.npy", b"")[:-30],
        pickle.dumps(Bomb()),
        b"x,y\n1,2\n",
    ],
    # Names of their own: bytes of a zip file change with the clock.
    ids=[
        "empty",
        "no zip",
        "no header",
        "too large",
        "negative",
        "zip with one too large",
        "zip with junk",
        "zip cut short",
        "pickle",
        "text",
    ],
)
def test_hostile_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="E601"):
        read_samples(Data(file=str(path)), network(), "test")


def test_absent_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="E605"):
        read_samples(Data(file=str(tmp_path / "none.npz")), network(), "test")
    with pytest.raises(DataError, match="It is a folder"):
        read_samples(Data(file=str(tmp_path)), network(), "test")


def test_zip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "LARGEST", 1 << 20)
    path = tmp_path / "d.npz"
    path.write_bytes(zipped("x_test.npy", b"\0" * (1 << 21)))
    with pytest.raises(DataError, match=r"E601.*unpacks"):
        read_samples(Data(file=str(path)), network(), "test")


@pytest.mark.parametrize("kind", [Fixed(True, 8, 3), Fixed(False, 5, 5), Fixed(True, 80, 10)])
def test_drawn_vectors(kind: Fixed) -> None:
    graph = network(kind, masked=True)
    frames = drawn(graph, 40, 7)
    x, keep = frames["x"], frames["keep"]
    assert x.shape == (40, 4, 3)
    assert kind.min <= x.min() < x.max() <= kind.max
    assert set(x[0].reshape(-1).tolist()) <= {kind.min, kind.max}
    assert np.count_nonzero(x[4]) <= 1
    assert len(set(x[8].reshape(-1).tolist())) == 1
    assert len(set(x[1].reshape(-1).tolist())) > 2
    assert keep[0].all()
    assert not keep[1].any()
    assert set(keep.reshape(-1).tolist()) == {0, 1}
    again = drawn(graph, 40, 7)
    assert all((again[name] == frames[name]).all() for name in frames)
    assert len(join(frames, again)["x"]) == 80


def test_quantized_data_saturates() -> None:
    graph = network(Fixed(True, 4, 0))
    x = np.full((3, 4, 3), 100.0)
    assert (quantized(graph, {"x": x}, 2)["x"] == 7).all()


def test_wide_integers_need_no_pickle() -> None:
    wide = np.array([[1 << 80, -3]], dtype=object)
    buffer = io.BytesIO()
    np.savez(buffer, a=plain(wide))
    buffer.seek(0)
    assert (whole(np.load(buffer, allow_pickle=False)["a"]) == wide).all()


def test_layer_rows() -> None:
    rows = layer_rows(network())
    assert [row.kind for row in rows] == ["Input", "Linear"]
    assert rows[1].parameters == 6
    assert rows[1].quantizers == "weights of 2 bits, step 2^-1"


def test_unknown_point_names_its_neighbour() -> None:
    config = Config.model_validate({"model": "m.h5", "types": {"dens": "fixed<8,3>"}})
    with pytest.raises(GateformerError, match=r"types\.dens.*Did you mean 'dense'"):
        given(config, network())
    inner = {"dense/kernel": "fixed<8,3>", "default": "fixed<9,3>"}
    types = given(Config.model_validate({"model": "m.h5", "types": inner}), network())
    assert types.default == Fixed(True, 9, 6)
    assert types.given == {"dense/kernel": Fixed(True, 8, 5)}


@pytest.mark.parametrize(
    ("labels", "words"),
    [(None, "no array"), ([0, 0], "equal"), ([0, 5], "labels up to 5"), ([0, 1], None)],
)
def test_accuracy_says_why_not(labels: list[int] | None, words: str | None) -> None:
    known = None if labels is None else np.array(labels)
    reason = unusable(Outputs(np.eye(2), np.eye(2), known, "no array 'y_test'"))
    assert reason == words or (words is not None and words in str(reason))


def test_clocks_must_be_the_schedules() -> None:
    assert clocks_error("Icarus", (140, None), (140, 15)) is None
    error = clocks_error("Icarus", (141, 15), (140, 15))
    assert isinstance(error, MismatchError)
    assert "latency 141 in place of 140" in str(error)


def test_fastest_setting_that_fits() -> None:
    def evaluate(setting: Setting) -> Found | None:
        if (setting.token_parallelism, setting.reuse_factor) == (3, 3):
            return None
        tried.append(setting)
        load = setting.token_parallelism * 10 / setting.reuse_factor
        return Found(50 + setting.interval, setting.interval, load <= 25)

    tried: list[Setting] = []
    best = fastest(settings_of(15), evaluate)
    assert best is not None
    assert best[0].interval == min(
        s.interval for s in settings_of(15) if s.token_parallelism * 10 / s.reuse_factor <= 25
    )
    assert len(tried) < len(settings_of(15))
    assert fastest(settings_of(2), lambda s: Found(9, 9, False)) is None


def test_publish_is_whole_and_keeps_strangers(tmp_path: Path) -> None:
    folder = tmp_path / "rtl"
    publish({"a.v": "1", "b.v": "2"}, folder, "generate rtl")
    publish({"a.v": "3"}, folder, "generate rtl")
    assert {p.name for p in folder.iterdir()} == {"a.v", "sources.json"}
    (folder / "tb.vvp").write_text("compiled by the user")
    publish({"a.v": "3"}, folder, "generate rtl")
    assert {p.name for p in folder.iterdir()} == {"a.v", "sources.json"}
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"E703.*notes\.txt"):
        publish({"a.v": "4"}, folder, "generate rtl")
    assert (folder / "a.v").read_text() == "3"
    with pytest.raises(RunError, match="is no folder"):
        publish({"a.v": "4"}, folder / "a.v", "generate rtl")
    assert {p.name for p in tmp_path.iterdir()} == {"rtl"}


def test_publish_takes_nobody_s_files_for_its_own(tmp_path: Path) -> None:
    thesis = tmp_path / "o"
    thesis.mkdir()
    (thesis / "thesis.tex").write_text("mine")
    for claim in ('["thesis.tex"]', '{"files": ["thesis.tex"]}', "{", "7"):
        (thesis / "sources.json").write_text(claim)
        with pytest.raises(RunError, match="E703"):
            publish({"a.v": "1"}, thesis, "generate rtl")
    for neighbour in (".rtl.partial", ".rtl.old"):
        (tmp_path / neighbour).mkdir()
        (tmp_path / neighbour / "data").write_text("mine")
    publish({"a.v": "1"}, tmp_path / "rtl", "generate rtl")
    publish({"a.v": "2"}, tmp_path / "rtl", "generate rtl")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"o", "rtl", ".rtl.partial", ".rtl.old"}
    assert (tmp_path / ".rtl.old/data").read_text() == "mine"
    assert (thesis / "thesis.tex").read_text() == "mine"


COMMANDS = ("generate rtl", "generate hls", "generate pim", "quantize", "compare", "pim simulate")


@pytest.mark.parametrize("other", COMMANDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_publish_leaves_another_command_s_files(tmp_path: Path, command: str, other: str) -> None:
    publish({"a/b.v": "1"}, tmp_path / "out", command)
    if other == command:
        publish({"c.v": "2"}, tmp_path / "out", other)
        assert not (tmp_path / "out/a").exists()
        return
    said = f"sources.json says gateformer {command} wrote it; gateformer {other} would"
    with pytest.raises(RunError, match=rf"E703.*{said}"):
        publish({"c.v": "2"}, tmp_path / "out", other)
    with pytest.raises(RunError, match="E703"):
        refuse_strangers(tmp_path / "out", other)
    assert (tmp_path / "out/a/b.v").read_text() == "1"
    assert not (tmp_path / "out/c.v").exists()


def test_publish_leaves_files_of_nobody_knows_which_command(tmp_path: Path) -> None:
    publish({"a.v": "1"}, tmp_path / "out", "generate rtl")
    for more in ({}, {"command": None}, {"command": ["generate rtl"]}):
        claim = {"written by gateformer": ["a.v"], **more}
        (tmp_path / "out/sources.json").write_text(json.dumps(claim))
        with pytest.raises(RunError, match=r"E703.*does not say who wrote it.*delete this one"):
            publish({"a.v": "2"}, tmp_path / "out", "generate rtl")
    assert (tmp_path / "out/a.v").read_text() == "1"


@pytest.mark.parametrize("folder", ["pipe", "link"])
def test_publish_leaves_what_is_no_folder(tmp_path: Path, folder: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(RunError, match="E703"):
        publish({"a.v": "1"}, tmp_path / folder, "generate rtl")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


def test_publish_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish({"a.v": "1"}, tmp_path / "rtl", "generate rtl")

    def refuse(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("gateformer.flow.publish.write_whole", refuse)
    with pytest.raises(RunError, match="E701"):
        publish({"a.v": "2"}, tmp_path / "rtl", "generate rtl")
    assert (tmp_path / "rtl/a.v").read_text() == "1"
    assert {p.name for p in tmp_path.iterdir()} == {"rtl"}


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(model="m.h5", cache=str(tmp_path))
    assert cache_folder(config, "adders") == tmp_path / "adders"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(Config(model="m.h5"), "synth") == tmp_path / "xdg/gateformer/synth"
