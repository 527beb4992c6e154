"""``import-config``: hls4ml's configuration as a design, and files that mean harm."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import h5py
import pytest
from flows.tiny import Answer, Call, write_model

from gateformer.cli import main
from gateformer.config.hls4ml_keys import MAPPED, WHY
from gateformer.config.hls4ml_types import read_precision
from gateformer.config.read import load
from gateformer.quant.errors import ConfigError

# What hls4ml 1.3.0 writes beside a project for x -> up (relu) -> down, granularity "name".
NAMES = """\
Backend: Vitis
ClockPeriod: 4
ClockUncertainty: 27%
HLSConfig:
  LayerName:
    down:
      Precision:
        accum: auto
        bias: auto
        result: fixed<14,6,RND,SAT,0>
        weight: auto
      ReuseFactor: 1
      Trace: false
    up:
      Precision:
        accum: auto
        bias: auto
        result: auto
        weight: fixed<9,2>
      ReuseFactor: 3
      Trace: false
    up_relu:
      Precision:
        result: ufixed<8,3,TRN,WRAP,0>
        table: fixed<18,8,TRN,WRAP,0>
      ReuseFactor: 1
      TableSize: 1024
      Trace: false
    x:
      Precision:
        result: auto
      Trace: false
  Model:
    BitExact: null
    BramFactor: 1000000000
    Precision:
      default: fixed<16,6>
    ReuseFactor: 1
    Strategy: Latency
    TraceOutput: false
IOType: io_stream
InputData: null
InputShapes:
  x:
  - 4
  - 2
KerasModel: !keras_model 'prj/net.h5'
OutputDir: prj
OutputPredictions: null
OutputShapes:
  layer4_out:
  - 4
  - 2
Part: xcvu13p-flga2577-2-e
ProjectName: myproject
Stamp: 43f28f67
Version: 1.0.0
WriterConfig:
  Namespace: null
  TBOutputStream: both
  WriteEmulationConstants: false
  WriteTar: false
  WriteWeightsTxt: true
"""

OLD = """\
KerasH5: net.h5
OutputDir: my-hls-test
ProjectName: my-project
XilinxPart: xc7z020clg400-1
ClockPeriod: 10
Backend: Vivado
IOType: io_parallel
HLSConfig:
  Model:
    Precision: ap_fixed<12,4>
    ReuseFactor: 2
  LayerType:
    Dense:
      ReuseFactor: 4
"""


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Write a file, import it in an empty folder; gives exit code, JSON and what was said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_model(tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        for layer in ("up", "down"):
            file[f"model_weights/{layer}/{layer}/kernel:0"][...] += 0.0123

    def do(text: str | bytes, *arguments: object) -> Answer:
        raw = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "hls4ml_config.yml").write_bytes(raw)
        capsys.readouterr()
        code = main(["import-config", "hls4ml_config.yml", *map(str, arguments), "--json"])
        out, said = capsys.readouterr()
        assert "Traceback" not in said
        assert code != 70, said
        return code, json.loads(out) if out else {}, said

    return do


def by_key(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["key"].removeprefix("HLSConfig."): row for row in answer["lines"]}


def test_what_hls4ml_writes_becomes_a_design_that_runs(call: Call, tmp_path: Path) -> None:
    code, answer, _ = call(NAMES, "--out", "design")
    assert code == 0
    assert answer["design"] == "design/design.toml"
    config = load(tmp_path / "design")
    assert config.name == "myproject"
    assert config.model == str(tmp_path / "design/../net.h5")
    assert config.types == {
        "default": "fixed<16,6>",
        "down": "fixed<14,6>",
        "down/kernel": "fixed<16,6>",
        "up": "ufixed<8,3>",
        "up/kernel": "fixed<9,2>",
    }
    assert config.schedule.layers == {"up": 3}
    assert (config.schedule.clock_ns, config.schedule.logic_ns) == (4.0, 2.8)
    assert (config.hls.backend, config.hls.io_type) == ("vitis", "io_stream")
    assert config.hls.part == config.build.part == "xcvu13p-flga2577-2-e"
    assert main(["estimate", "design"]) == 0


def test_every_line_is_told_with_its_number(call: Call) -> None:
    _, answer, _ = call(NAMES, "--out", "design")
    rows = by_key(answer)
    text = NAMES.splitlines()
    for row in answer["lines"]:
        assert row["key"].rsplit(".", 1)[-1] in text[row["line"] - 1]
        assert row["to"] or row["why"]
    assert "exact" in rows["LayerName.up.Precision.accum"]["why"]
    assert "logic_ns" in rows["ClockUncertainty"]["why"]
    assert rows["LayerName.up_relu.Precision.result"]["to"] == "types.up = ufixed<8,3>"
    assert "TRN, WRAP" in rows["LayerName.up_relu.Precision.result"]["why"]
    assert not rows["LayerName.down.Precision.result"]["why"]
    assert rows["LayerName.up.ReuseFactor"]["to"] == "schedule.layers.up = 3"


def test_the_same_file_gives_the_same_bytes(call: Call, tmp_path: Path) -> None:
    call(NAMES, "--out", "a")
    call(NAMES, "--out", "b")
    text = (tmp_path / "a/design.toml").read_bytes()
    assert text == (tmp_path / "b/design.toml").read_bytes()
    assert str(tmp_path).encode() not in text


def test_an_old_layout(call: Call, tmp_path: Path) -> None:
    code, answer, _ = call(OLD, "--out", "design")
    assert code == 0
    config = load(tmp_path / "design")
    assert config.name == "my_project"
    assert config.schedule.device == "xc7z020"
    assert config.types["up/kernel"] == "fixed<12,4>"
    assert config.schedule.reuse_factor == 2
    assert config.schedule.layers == {"up": 4, "down": 4}
    assert "letters" in by_key(answer)["ProjectName"]["why"]
    assert main(["estimate", "design"]) == 0


@pytest.mark.parametrize(
    ("part", "device", "build"),
    [
        ("xcvu9p-flga2104-2L-e", "xcvu9p", "xcvu9p-flga2104-2L-e"),
        ("xcu250-figd2104-2L-e", "xcvu13p", "xcu250-figd2104-2L-e"),
        ("10AX115S2F45I1SG", "10ax115", "10AX115S2F45I1SG"),
        ("Arria10", "xcvu13p", None),
    ],
)
def test_parts(call: Call, tmp_path: Path, part: str, device: str, build: str | None) -> None:
    code, answer, _ = call(OLD.replace("xc7z020clg400-1", part), "--out", "design")
    assert code == 0
    config = load(tmp_path / "design")
    assert (config.schedule.device, config.hls.part, config.build.part) == (device, part, build)
    assert ("resources are not known" in by_key(answer)["XilinxPart"]["why"]) is (
        not part.lower().startswith(device)
    )


def test_a_type_so_coarse_that_all_is_zero(call: Call) -> None:
    more = "  LayerName: {up_relu: {Precision: {result: 'ufixed<1,99>'}}}\n"
    code, _, _ = call(OLD + more, "--out", "design")
    assert code == 0
    assert main(["estimate", "design"]) == 0


def test_types_by_class_of_layer(call: Call, tmp_path: Path) -> None:
    text = OLD.replace(
        "      ReuseFactor: 4\n",
        "      Precision: ap_fixed<11,4>\n"
        "    Activation:\n      Precision: {result: 'ap_ufixed<6,2>'}\n"
        "    InputLayer:\n      Precision: ap_fixed<7,3>\n"
        "  LayerName: {DOWN: {Precision: {result: 'ap_fixed<13,5>'}}}\n",
    )
    assert call(text, "--out", "design")[0] == 0
    assert load(tmp_path / "design").types == {
        "default": "fixed<12,4>",
        "down": "fixed<13,5>",
        "down/kernel": "fixed<11,4>",
        "up": "ufixed<6,2>",
        "up/kernel": "fixed<11,4>",
        "up/linear": "fixed<11,4>",
        "x": "fixed<7,3>",
    }


def test_without_json_two_tables(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    call(OLD, "--out", "a")
    assert main(["import-config", "hls4ml_config.yml", "--out", "b"]) == 0
    out = capsys.readouterr().out
    assert "Carried over" in out
    assert "Nothing to carry over" in out
    assert "Next: gateformer estimate b/design.toml" in out


def test_data_come_along_where_they_are_the_models_inputs(call: Call, tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "good.npy", np.ones((5, 4, 2)))
    np.save(tmp_path / "flat.npy", np.ones((5, 8)))
    _, answer, _ = call(f"{OLD}InputData: good.npy\n", "--out", "good")
    assert load(tmp_path / "good").data.file == str(tmp_path / "good/../good.npy")
    _, answer, _ = call(f"{OLD}InputData: flat.npy\n", "--out", "flat")
    assert load(tmp_path / "flat").data.file is None
    assert "(n, 4, 2)" in by_key(answer)["InputData"]["why"]
    _, answer, _ = call(f"{OLD}InputData: none.dat\n", "--out", "none")
    assert "no file" in by_key(answer)["InputData"]["why"]


def test_settings_that_would_change_nothing_are_left_out(call: Call, tmp_path: Path) -> None:
    more = "  LayerName: {gru: {Precision: 'ap_fixed<8,2>', ReuseFactor: 2}, up: {Strategy: x}}\n"
    code, answer, _ = call(f"{OLD}{more}OutputDri: x\n", "--out", "design")
    assert code == 0
    rows = by_key(answer)
    assert "no layer 'gru'" in rows["LayerName.gru.Precision"]["why"]
    assert "no layer 'gru'" in rows["LayerName.gru.ReuseFactor"]["why"]
    assert "did you mean OutputDir" in rows["OutputDri"]["why"]
    assert main(["estimate", "design"]) == 0


def test_types_of_a_quantized_model_are_the_models_own(call: Call, tmp_path: Path) -> None:
    model = Path(__file__).parents[2] / "fpga_projects/btag/model.h5"
    text = OLD.replace("KerasH5: net.h5", "KerasH5: other.h5") + (
        "  LayerName: {tracks_cast: {Precision: 'ap_fixed<9,2>'},"
        " block1_ffn_up: {Precision: {weight: 'ap_fixed<8,2>'}}}\n"
    )
    code, answer, _ = call(text, "--out", "design", "--model", model)
    assert code == 0
    rows = by_key(answer)
    assert "quantizer gives fixed<8,3>" in rows["LayerName.tracks_cast.Precision"]["why"]
    assert "own weights fit" in rows["LayerName.block1_ffn_up.Precision.weight"]["why"]
    assert set(load(tmp_path / "design").types) == {"default"}


def test_aliases_and_merges_are_read(call: Call, tmp_path: Path) -> None:
    text = OLD + "  LayerName: {up: &a {ReuseFactor: 8}, down: {<<: *a, Trace: true}}\n"
    assert call(text, "--out", "design")[0] == 0
    assert load(tmp_path / "design").schedule.layers == {"up": 8, "down": 8}


def test_all_wrong_values_at_once_with_their_lines(call: Call, tmp_path: Path) -> None:
    text = (
        "KerasH5: none.h5\nClockPeriod: fast\nIOType: io_serial\nPart: '/etc/passwd'\n"
        "HLSConfig:\n  Model: {Precision: ap_fixed, ReuseFactor: 0}\n"
        "  LayerName: {up: {ReuseFactor: yes, Precision: 'ap_fixed<999,3>'}, down: 3}\n"
    )
    code, answer, _ = call(text, "--out", "design")
    assert code == 2
    faults = answer["error"]["errors"]
    found = {(fault["layer"], fault["kind"], fault["code"]) for fault in faults}
    assert found == {
        ("hls4ml_config.yml:1", "KerasH5", "E003"),
        ("hls4ml_config.yml:2", "ClockPeriod", "E002"),
        ("hls4ml_config.yml:3", "IOType", "E002"),
        ("hls4ml_config.yml:4", "Part", "E002"),
        ("hls4ml_config.yml:6", "HLSConfig.Model.Precision", "E020"),
        ("hls4ml_config.yml:6", "HLSConfig.Model.ReuseFactor", "E002"),
        ("hls4ml_config.yml:7", "HLSConfig.LayerName.up.ReuseFactor", "E002"),
        ("hls4ml_config.yml:7", "HLSConfig.LayerName.up.Precision", "E021"),
        ("hls4ml_config.yml:7", "HLSConfig.LayerName.down", "E002"),
    }
    assert all(fault["fix"] for fault in faults)
    assert not (tmp_path / "design").exists()


def test_the_models_faults_come_with_the_others(call: Call, tmp_path: Path) -> None:
    write_model(tmp_path / "net.h5", last="GRU")
    code, answer, said = call(OLD.replace("ReuseFactor: 2", "ReuseFactor: two"))
    assert code == 3
    assert {fault["code"] for fault in answer["error"]["errors"]} == {"E102", "E002"}
    assert "gru" in said.lower()
    assert not (tmp_path / "design.toml").exists()


@pytest.mark.parametrize("key", ["OnnxModel", "PytorchModel", "TensorFlowModel", "KerasJson"])
def test_other_models_need_model(call: Call, key: str) -> None:
    text = OLD.replace("KerasH5: net.h5", f"{key}: net.onnx")
    code, answer, _ = call(text)
    assert (code, answer["error"]["kind"]) == (2, key)
    assert "--model" in answer["error"]["fix"]
    code, answer, _ = call(text, "--model", "net.h5")
    assert code == 0
    assert "--model" in by_key(answer)[key]["why"]


def test_a_file_without_any_model(call: Call) -> None:
    code, answer, _ = call("Backend: Vitis\n")
    assert (code, answer["error"]["what"]) == (2, "no model")


def test_nothing_is_overwritten(call: Call, tmp_path: Path) -> None:
    (tmp_path / "design.toml").write_text("mine")
    code, answer, _ = call(OLD)
    assert (code, answer["error"]["code"]) == (9, "E708")
    assert (tmp_path / "design.toml").read_text() == "mine"
    code, _, _ = call(OLD, "--out", "net.h5")
    assert code == 9


@pytest.mark.parametrize("path", ["design.toml", "folder"])
def test_links_and_pipes_are_left(call: Call, tmp_path: Path, path: str) -> None:
    if path == "folder":
        os.mkfifo(tmp_path / path)
    else:
        (tmp_path / path).symlink_to("gone.toml")
    code, answer, _ = call(OLD, *(["--out", path] if path == "folder" else []))
    assert (code, answer["error"]["code"], answer["error"]["layer"]) == (9, "E708", path)
    assert not (tmp_path / "gone.toml").exists()


def test_an_empty_name_says_nothing(call: Call, tmp_path: Path) -> None:
    code, answer, _ = call(OLD.replace("my-project", "''"))
    assert code == 0
    assert by_key(answer)["ProjectName"]["why"] == "says nothing"
    assert "\nname" not in (tmp_path / "design.toml").read_text()


@pytest.mark.parametrize("precision", ["ap_fixed<256,128>", "ap_fixed<16,4000>"])
def test_widths_that_grow_too_far_have_their_line(call: Call, precision: str) -> None:
    code, answer, _ = call(OLD.replace("ap_fixed<12,4>", precision))
    fault = answer["error"]
    assert (code, fault["code"], fault["layer"]) == (2, "E021", "hls4ml_config.yml:10")
    assert fault["kind"] == "HLSConfig.Model.Precision"


LAUGHS = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "billion laughs": (LAUGHS, "E007"),
    "a table in itself": ("a: &a {b: *a}\n", "E007"),
    "deep lists": ("a: " + "[" * 100_000, "E007"),
    "deep tables": ("".join(f"{' ' * n}k:\n" for n in range(400)), "E007"),
    "a long number": (f"ClockPeriod: {'9' * 300_000}\n", "E007"),
    "a number in sixties": (f"ClockPeriod: {':'.join(['1'] * 100_000)}\n", "E007"),
    "too large": ("# " + "x" * 600_000, "E007"),
    "two documents": ("a: 1\n---\nb: 2\n", "E007"),
    "no table": ("[1, 2]\n", "E007"),
    "empty": ("", "E007"),
    "not UTF-8": (b"a: \xff\xfe", "E007"),
    "NUL": (b"a: \x00", "E007"),
    "escape sequences": ('a: "\\e[2J"\n', "E007"),
    "half a surrogate pair": ('a: "\\ud800"\n', "E007"),
    "a key twice": ("Backend: Vitis\nBackend: Vivado\n", "E007"),
    "a list as key": ("? [1, 2]\n: 3\n", "E007"),
    "an impossible tag": ("a: !!int many\n", "E007"),
    "os.system": ("a: !!python/object/apply:os.system ['touch pwned']\n", "E008"),
    "eval": ('a: !!python/object/new:eval [\'open("pwned", "w")\']\n', "E008"),
    "a name": ("a: !!python/name:os.system\n", "E008"),
    "a module": ("a: !!python/module:os\n", "E008"),
    "a tuple": ("InputShape: !!python/tuple [4, 2]\n", "E008"),
    "a pickle": ("a: !!python/object:torch.nn.Linear {training: true}\n", "E008"),
    "a key that is an object": ("!!python/name:os.system : 1\n", "E008"),
    "an unknown tag": ("a: !ruby/object {}\n", "E008"),
    "a model that is a table": ("KerasModel: !keras_model {a: 1}\n", "E008"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_and_do_nothing(call: Call, tmp_path: Path, name: str) -> None:
    text, expected = HOSTILE[name]
    before = time.process_time()
    code, answer, said = call(text)
    assert time.process_time() - before < 30
    assert code == 2
    assert answer["error"]["code"] == expected
    assert answer["error"]["fix"]
    assert said.isprintable() or "\n" in said
    held = {path.name for path in tmp_path.iterdir()} - {"cache"}
    assert held == {"net.h5", "hls4ml_config.yml"}


def test_every_python_tag_is_named_at_once(call: Call) -> None:
    text = "a: !!python/name:os.system\nb: 1\nc: {d: !!python/object:x.Y {e: !!python/none }}\n"
    _, answer, _ = call(text)
    faults = answer["error"]["errors"]
    assert [fault["layer"] for fault in faults] == ["hls4ml_config.yml:1", "hls4ml_config.yml:3"]


@pytest.mark.parametrize(
    "path", ["/dev/zero", "../../../etc/passwd", "net.h5/x", "x" * 5000, "", "."]
)
def test_paths_that_are_no_model(call: Call, path: str) -> None:
    code, _, _ = call(OLD.replace("net.h5", json.dumps(path)))
    assert code in (2, 3)


def test_a_missing_file_and_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["import-config", "none.yml"]) == 2
    assert main(["import-config", str(tmp_path)]) == 2
    os.mkfifo(tmp_path / "pipe")
    assert main(["import-config", "pipe"]) == 2


@pytest.mark.parametrize(
    ("text", "kind", "modes"),
    [
        ("ap_fixed<16,6>", "fixed<16,6>", ""),
        ("fixed<16,6>", "fixed<16,6>", ""),
        ("ap_ufixed<8, 0, AP_RND_CONV, AP_SAT>", "ufixed<8,0>", ""),
        ("ap_fixed<16,6,AP_TRN,AP_WRAP,0>", "fixed<16,6>", "TRN, WRAP"),
        ("fixed<18,-2,RND,SAT_SYM>", "fixed<18,-2>", "SAT_SYM"),
        ("ap_int<8>", "fixed<8,8>", ""),
        ("uint<4>", "ufixed<4,4>", ""),
        ("ac_fixed<16,6>", "fixed<16,6>", ""),
        ("ac_fixed<16,6,true>", "fixed<16,6>", ""),
        ("ac_fixed<16,6,false,AC_TRN,AC_SAT>", "ufixed<16,6>", "TRN"),
        ("ac_int<8,0>", "ufixed<8,8>", ""),
    ],
)
def test_precisions(text: str, kind: str, modes: str) -> None:
    found = read_precision(text)
    assert str(found.type) == kind
    assert found.modes == modes


@pytest.mark.parametrize("text", ["", "fixed", "fixed<>", "fixed<16>", "fixed<a,b>", "int<1,2,3>x"])
def test_no_precisions(text: str) -> None:
    with pytest.raises(ConfigError):
        read_precision(text)


def test_auto_and_floats_have_no_type() -> None:
    assert read_precision("auto").auto
    assert read_precision("float").type is None


def test_every_key_that_hls4ml_reads_is_known() -> None:
    pytest.importorskip("hls4ml", reason="needs hls4ml")
    import hls4ml
    from hls4ml.model.attributes import TypeAttribute
    from hls4ml.model.layers import layer_map

    keys: set[str] = set()
    types: set[str] = set()
    for name in ("vivado", "vitis", "quartus", "oneapi", "catapult"):
        backend = hls4ml.backends.get_backend(name)
        assert set(backend.create_initial_config()) <= {*WHY["file"], *MAPPED["file"]}
        for layer in layer_map.values():
            for one in backend.create_layer_class(layer).expected_attributes:
                if one.configurable and isinstance(one, TypeAttribute):
                    types.add(one.name.removesuffix("_t"))
                elif one.configurable:
                    keys.add(one.config_name)
    assert keys <= {*WHY["layer"], *MAPPED["layer"]}
    assert types <= {*WHY["precision"], *MAPPED["precision"]}
