"""Reading designs: defaults, overrides, and every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateformer.config import load, to_toml
from gateformer.config.read import default_name, override, toml_value
from gateformer.errors import ConfigError, GateformerError


@pytest.fixture
def design(tmp_path: Path) -> Path:
    (tmp_path / "net.h5").write_bytes(b"\x89HDF")
    path = tmp_path / "design.toml"
    path.write_text('model = "net.h5"\n')
    return path


def lines(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(GateformerError) as caught:
        load(path, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def test_defaults_and_paths_beside_the_file(design: Path) -> None:
    config = load(design)
    assert config.model == str(design.parent / "net.h5")
    assert config.schedule.token_parallelism == 1
    assert config.simulate.verilator.vectors == 10_000
    assert config.simulate.icarus.vectors == 200


def test_bare_model_gets_defaults(design: Path) -> None:
    config = load(design.parent / "net.h5")
    assert config.name == "net"
    assert config.data.file is None


def test_folder_stands_for_its_design(design: Path) -> None:
    assert load(design.parent) == load(design)


def test_overrides_are_toml_values_or_bare_words(design: Path) -> None:
    config = load(
        design,
        [
            "types.default=fixed<17,7>",
            'types.block1/score="fixed<12,4>"',
            "schedule.layers.a.b=3",
            "synth.enabled=false",
            "schedule.clock_ns=4",
        ],
    )
    assert config.types == {"default": "fixed<17,7>", "block1/score": "fixed<12,4>"}
    assert config.schedule.layers == {"a.b": 3}
    assert config.synth.enabled is False
    assert config.schedule.clock_ns == 4.0


def test_resolved_copy_reads_back_equal(design: Path, tmp_path: Path) -> None:
    config = load(design, ['types.a b/"ü"=fixed<3,3>', "schedule.layers.x/y=2"])
    copy = tmp_path / "copy.toml"
    copy.write_text(to_toml(config), encoding="utf-8")
    assert load(copy) == config


def test_all_faults_at_once_with_nearest_key(design: Path) -> None:
    design.write_text(
        'model = "net.h5"\nname = "../out"\n'
        '[schedule]\ntoken_paralellism = 1\nreuse_factor = "3"\nclock_ns = -1\n'
        '[types]\ndefault = "fixed<1>"\n[simulate]\nicarus.enabled = "maybe"\n'
    )
    found = lines(design, "synth.enabled=perhaps")
    assert len(found) == 7
    text = "\n".join(found)
    assert "design.toml:schedule.token_paralellism" in text
    assert "Did you mean 'token_parallelism'?" in text
    assert "'-o synth.enabled'" in text
    assert "'maybe' should be 'auto', or should be a valid boolean" in text


def test_a_table_left_out_is_named_and_blamed_on_who_wrote_it(design: Path) -> None:
    (said,) = lines(design, "verilator.enabled=false")
    assert said.startswith("E001")
    assert "'-o verilator'" in said
    assert "Did you mean 'simulate.verilator'?" in said
    design.write_text(design.read_text() + "[verilator]\nenabled = false\n")
    (said,) = lines(design, "verilator.vectors=3")
    assert "'design.toml:verilator'" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model = ", "E004"),
        ("model = 3", "should be a valid string"),
        ("", "missing"),
        ('model = "net.h5"\nschedule = 3', "valid dictionary"),
        ('model = "absent.h5"', "E003"),
        ('model = "."', "E003"),
        ('model = "net.h5"\nname = "é"', "ASCII"),
        ('model = "net.h5"\nname = 7', "should be a valid string"),
        ('model = "net.h5"\n[types]\ndefault = "fixed<100000,3>"', "E002"),
        ('model = "net.h5"\n[types]\ndefault = "fixed<999,3>"', "width 999"),
        ('model = "net.h5"\n[types]\ndefault = 17', "should be a valid string"),
        ('model = "net.h5"\n[schedule]\ntoken_parallelism = 0', "greater than or equal to 1"),
        ('model = "net.h5"\n[schedule]\ntoken_parallelism = 1e9', "valid integer"),
        ('model = "net.h5"\n[schedule]\nreuse_factor = 99999999999999999999', "less than"),
        ('model = "net.h5"\n[schedule]\nclock_ns = nan', "finite"),
        ('model = "net.h5"\n[schedule]\nclock_ns = inf', "finite"),
        ('model = "net.h5"\n[schedule.layers]\na = 0', "greater than or equal to 1"),
        ('model = "net.h5"\n[simulate.icarus]\nvectors = true', "valid integer"),
        ('model = "net.h5"\n[simulate]\nseed = -1', "greater than or equal to 0"),
        ('model = "net.h5"\n[data]\nfile = ""', "at least 1 character"),
        ('model = "net.h5"\n[generate]\nadders = "magic"', "'csd'"),
        ('model = "net.h5"\nmodel = "net.h5"', "E004"),
        ("a = " + "[" * 5000, "E004"),
        ("a = " + "1" * 5000, "more digits than are read"),
    ],
)
def test_hostile_files_are_named_errors(design: Path, text: str, words: str) -> None:
    design.write_text(text)
    assert words in "\n".join(lines(design))


def test_files_that_are_no_text(design: Path) -> None:
    design.write_bytes(b"\xff\xfe\x00")
    assert "E004" in lines(design)[0]
    design.write_bytes(b"#" * (1 << 20) + b"\n")
    assert "over 1 MiB" in lines(design)[0]


def test_absent_file_suggests_its_neighbour(design: Path) -> None:
    found = lines(design.with_name("desing.toml"))
    assert "design.toml" in found[0]
    assert "Did you mean" in found[0]


@pytest.mark.parametrize("text", ["nothing", "=3", "a..b=3", "model.x=1", ""])
def test_malformed_overrides(text: str) -> None:
    with pytest.raises(ConfigError, match="E005"):
        override({"model": "net.h5"}, text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.5", 3.5),
        ("true", True),
        ("fixed<17,7>", "fixed<17,7>"),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ("1\nother = 2", "1\nother = 2"),
        pytest.param("1" * 5000, "1" * 5000, id="digits"),
        ("", ""),
    ],
)
def test_values(text: str, value: object) -> None:
    assert toml_value(text) == value


@pytest.mark.parametrize(
    ("source", "bare", "name"),
    [
        ("btag/design.toml", False, "btag"),
        ("btag/fast.toml", False, "fast"),
        ("my net-2.h5", True, "my_net_2"),
        ("module.h5", True, "module"),
        ("été.h5", True, "t"),
        ("日本.keras", True, "net"),
        ("3d.h5", True, "net_3d"),
    ],
)
def test_default_names_are_safe(source: str, bare: bool, name: str) -> None:
    assert default_name(Path(source), bare) == name


def test_a_dangling_link_is_not_suggested_for_itself(tmp_path: Path) -> None:
    (tmp_path / "net.h5").symlink_to("absent")
    with pytest.raises(ConfigError, match="E003") as caught:
        load(tmp_path / "net.h5")
    assert caught.value.fix == "Check the path"
