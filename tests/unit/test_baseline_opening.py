"""Work from a design: the graphs that runtimes get, and a fingerprint that compare finds again."""

from pathlib import Path

import numpy as np
import pytest
from flows.tiny import TYPES, write_model

from gateformer.baselines.opening import decoder_work, fingerprint, network_work
from gateformer.config.read import load
from gateformer.quant.errors import ConfigError
from gateformer.quant.models import load as decoder


def test_a_design_s_work_has_the_fingerprint_that_is_looked_for(tmp_path: Path) -> None:
    config = load(write_model(tmp_path / "net.h5"), [TYPES.removeprefix("-o")])
    work = network_work(config, tmp_path, batch=3)
    found = fingerprint(config)
    assert work.fingerprint() == found
    write_model(tmp_path / "net.h5", seed=6)
    assert fingerprint(config) != found


def test_a_design_of_other_types_has_another_fingerprint(tmp_path: Path) -> None:
    """Its integers are others, and one of the runtimes computes them."""
    model = write_model(tmp_path / "net.h5")
    wide = TYPES.removeprefix("-o").replace("fixed<8,4>", "fixed<9,5>")
    first, other = (load(model, [one]) for one in (TYPES.removeprefix("-o"), wide))
    assert fingerprint(first) != fingerprint(other)
    assert fingerprint(first) == fingerprint(load(model, [TYPES.removeprefix("-o")]))


def test_a_design_without_data_gets_drawn_inputs_of_its_types(tmp_path: Path) -> None:
    config = load(write_model(tmp_path / "net.h5"), [TYPES.removeprefix("-o")])
    work = network_work(config, tmp_path, batch=3)
    (samples,) = work.samples().values()
    assert samples.shape == (3, 4, 2)
    (raw,), (frames,) = work.raw().values(), work.frames().values()
    assert (raw / 16 == frames).all()  # fixed<8,4>: four fraction bits
    assert (frames[:3] == samples).all()
    # Enough of them to compare outputs on, in whole batches.
    assert work.reference(exact=True).shape == work.reference().shape == (258, 8)


def test_a_design_s_own_data_comes_first(tmp_path: Path) -> None:
    real = np.arange(40.0).reshape(5, 4, 2) / 16
    np.savez(tmp_path / "data.npz", x_test=real)
    path = write_model(tmp_path / "net.h5")
    config = load(path, [TYPES.removeprefix("-o"), f"data.file={str(tmp_path / 'data.npz')!r}"])
    (samples,) = network_work(config, tmp_path, batch=2).samples().values()
    assert (samples == real[:2]).all()


def test_a_decoder_s_fingerprint_is_its_shape_and_seed() -> None:
    small = decoder("gpt2-small")
    assert fingerprint(small) == decoder_work(small, context=5, batch=7).fingerprint()
    assert fingerprint(small) != fingerprint(small, seed=1)
    with pytest.raises(ConfigError, match="Choose 0 to 1023"):
        decoder_work(small, context=1024)
