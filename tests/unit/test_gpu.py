"""What runs on a GPU, on the processor: the same code with a CUDA that records and replays."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from equiv import networks

from gateformer.baselines.gpu import hardware
from gateformer.baselines.gpu.candidates import DECODERS, NETWORKS
from gateformer.baselines.gpu.hardware import gpu
from gateformer.baselines.gpu.probe import GpuFound, bandwidths, probe, told
from gateformer.baselines.gpu.running import Device, nvml_device, nvml_name
from gateformer.baselines.measure import measure
from gateformer.baselines.record import Record
from gateformer.baselines.registry import PLACES, candidates
from gateformer.baselines.runtime import Candidate
from gateformer.baselines.work import DecoderWork, NetworkWork
from gateformer.energy.meters.windows import choose, metered
from gateformer.errors import BaselineError
from gateformer.quant.decoder import Decoder
from gateformer.quant.graph import Builder
from gateformer.quant.serialize import save

torch = pytest.importorskip("torch")
from unit.fake_cuda import FakeCuda, int_mm  # noqa: E402 - it needs torch

GPT = Decoder("tiny", 3, 64, 4, 4, 16, 256, 101, 32)
LLAMA = Decoder(
    "tiny-llama", 2, 64, 4, 2, 16, 96, 102, 32, norm="rms", activation="silu", gated=True,
    positions="rotary", bias_qkv=False, bias_projection=False, bias_ffn=False, tied=False,
)  # fmt: skip
QUICK = [one for one in DECODERS if not one.runtime.startswith("torch-compile")]


@pytest.fixture(autouse=True)
def products_as_a_gpu_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "_int_mm", int_mm)


def named(one: Candidate) -> str:
    return one.key


def held_to_the_reference(candidate: Candidate, work: Any, device: Device) -> float:
    session = candidate.open(work, 1, device=device)  # type: ignore[call-arg] # a partial
    session.step()
    reference = work.reference()
    share = np.abs(session.outputs() - reference).max() / np.abs(reference).max()
    session.close()
    return float(share)


@pytest.mark.parametrize("candidate", QUICK, ids=named)
@pytest.mark.parametrize("shape", [GPT, LLAMA], ids=lambda one: one.name)
def test_decoders_give_the_references_logits(candidate: Candidate, shape: Decoder) -> None:
    cuda = FakeCuda()
    share = held_to_the_reference(candidate, DecoderWork(shape, 9, batch=2), Device("cpu", cuda))
    assert share <= candidate.tolerance
    assert len(cuda.graphs) == (candidate.runtime != "torch-eager")
    # A rounding that is not there would make the tolerance an empty promise.
    assert share > {"fp32": 0, "tf32": 0, "bf16": 1e-3, "w8a8": 2e-3}[candidate.precision]


NETS = [networks.NETWORKS[name] for name in (
    "folded", "masked_causal", "layer_norm", "gelu", "embedded", "two_outputs"
)]  # fmt: skip


@pytest.fixture(params=NETS, ids=lambda one: one.__name__)
def network(request: pytest.FixtureRequest, tmp_path: Path) -> NetworkWork:
    builder = Builder(request.param.__name__)
    request.param(networks.Maker(builder, np.random.default_rng(3)))
    graph = builder.build()
    save(graph, tmp_path / "graph.json")
    random = np.random.default_rng(4)
    inputs = {
        name: random.integers(0, 2, (4, *graph.values[name].shape))
        if name in graph.masks or request.param is networks.NETWORKS["embedded"]
        else random.normal(size=(4, *graph.values[name].shape))
        for name in graph.inputs
    }
    np.savez(tmp_path / "inputs.npz", **inputs)
    return NetworkWork(graph.name, tmp_path / "graph.json", tmp_path / "inputs.npz", batch=4)


@pytest.mark.parametrize("how", ["eager", "graphs"])
def test_networks_give_the_references_outputs(how: str, network: NetworkWork) -> None:
    for candidate in NETWORKS:
        if candidate.runtime.startswith(f"torch-{how}"):
            cuda = FakeCuda()
            share = held_to_the_reference(candidate, network, Device("cpu", cuda))
            # These networks have no quantizers: nothing falls a step away.
            assert share <= (0.05 if candidate.precision == "bf16" else 1e-5)
            assert len(cuda.graphs) == (how == "graphs")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
def test_compiled_networks_give_the_references_outputs(network: NetworkWork) -> None:
    candidate = next(one for one in NETWORKS if one.key == "torch-compile+host:fp32")
    assert held_to_the_reference(candidate, network, Device("cpu", Deaf())) <= 1e-5


def test_a_replayed_step_reads_the_hosts_new_token() -> None:
    work, cuda = DecoderWork(GPT, 5, batch=3), FakeCuda()
    from gateformer.baselines.gpu.candidates import open_decoder

    session = open_decoder(
        work, 1, how="graphs", precision="fp32", transfer=True, device=Device("cpu", cuda)
    )
    session.step()
    before = session.outputs()
    np.testing.assert_allclose(before, work.reference(), rtol=1e-4, atol=1e-4)
    assert session.answer.tolist() == before.argmax(axis=1).tolist()
    session.host[0][:] = torch.tensor([7, 7, 7])
    session.step()
    after = session.outputs()
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_array_equal(after[0], after[1])
    assert session.answer.tolist() == after.argmax(axis=1).tolist()
    assert cuda.graphs[0].replays == 3  # once as it was opened
    session.close()


def test_every_step_waits_for_the_device() -> None:
    from gateformer.baselines.gpu.session import GpuSession

    class Elsewhere(Device):
        """The processor, but one that has to be waited for."""

        def wait(self) -> None:
            self.library.synchronize()

    cuda = FakeCuda()
    session = GpuSession(
        lambda x: (x * 2, x), (torch.ones(2, 3),), Elsewhere("cpu", cuda), "eager",
        transfer=False, bytes=48, options={}, matmul="high",
    )  # fmt: skip
    assert torch.get_float32_matmul_precision() == "high"
    waits = cuda.waits
    for _ in range(5):
        session.step()
    assert cuda.waits == waits + 5
    assert session.options["float32 products"] == "high"
    assert session.outputs().tolist() == [[2.0] * 3] * 2
    session.close()
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("sides", [(16, 64), (101, 60), (3, 5)])
def test_matrices_in_eight_bits(sides: tuple[int, int]) -> None:
    from gateformer.baselines.gpu.int8 import both, rows, weight_only

    torch.manual_seed(1)
    weight, x, bias = torch.randn(sides), torch.randn(2, sides[1]), torch.randn(sides[0])
    whole, scale = rows(weight)
    assert whole.dtype == torch.int8
    assert all(side % 8 == 0 for side in whole.shape)
    kept = whole[: sides[0], : sides[1]] * scale[:, None]
    assert (kept - weight).abs().max() <= scale.max() / 2 * 1.001
    torch.testing.assert_close(weight_only(x, whole, scale, bias), x @ kept.T + bias)
    # Activations in eight bits: off by half a step of each at most.
    step = x.abs().amax(1, keepdim=True) / 127
    off = (both(x, whole, scale, bias) - (x @ kept.T + bias)).abs()
    assert (off <= step / 2 * kept.abs().sum(1) * 1.01 + 1e-5).all()
    assert off.max() > 0


def test_int8_reads_half_of_what_bfloat16_reads() -> None:
    from gateformer.baselines.gpu.candidates import open_decoder

    bytes_of = {}
    for precision in ("bf16", "int8"):
        session = open_decoder(
            DecoderWork(GPT, 0), 1, how="eager", precision=precision, transfer=False,
            device=Device("cpu"),
        )  # fmt: skip
        bytes_of[precision] = session.bytes
        session.close()
    assert 0.5 < bytes_of["int8"] / bytes_of["bf16"] < 0.56


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@pytest.mark.parametrize(
    "candidate", [one for one in DECODERS if one not in QUICK and not one.transfer], ids=named
)
def test_compiled_decoders_give_the_references_logits(candidate: Candidate) -> None:
    share = held_to_the_reference(candidate, DecoderWork(GPT, 9, batch=2), Device("cpu", Deaf()))
    assert share <= candidate.tolerance


class Deaf(FakeCuda):
    """Compiled kernels are not seen by the recorder: what was made while capturing stays."""

    def graph(self, one: Any) -> Any:
        return self.stream(one)


def test_keys_are_unique_and_found_by_the_worker() -> None:
    for kind, known in (("network", NETWORKS), ("decode", DECODERS)):
        assert candidates(PLACES[kind, "cuda"]) == known  # type: ignore[index] # of its two words
        assert len({one.key for one in known}) == len(known)
        assert all(one.device == "cuda" and not one.exact for one in known)
        assert {one.transfer for one in known} == {True, False}


def test_without_a_gpu_each_candidate_says_so() -> None:
    for candidate in (*NETWORKS, *DECODERS):
        with pytest.raises(BaselineError, match="E853 no GPU"):
            candidate.open(None, 1, device=Device("cuda", FakeCuda(available=False)))  # type: ignore[call-arg]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_this_machine_has_no_gpu_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # Here the driver is asked for first, which a processor's torch would not need.
    monkeypatch.setattr(hardware, "driver", lambda: True)
    with pytest.raises(BaselineError) as caught:
        gpu()
    assert caught.value.code == "E853"
    assert caught.value.cause.startswith("torch sees no CUDA device")
    assert ("built without CUDA" in caught.value.cause) == (torch.version.cuda is None)
    assert nvml_device() == 0
    assert "recorded and modelled rows need none" in str(caught.value)


def test_the_probe_measures_reads_and_copies() -> None:
    found = probe(Device("cpu"), size=1 << 22, repeats=3)
    assert found.bandwidths["read"] >= found.bandwidths["read, median"] > 0
    assert GpuFound.model_validate_json(found.model_dump_json()) == found
    stated = found.hardware()
    assert stated.kind == "gpu"
    assert stated.bandwidth_gbs == found.bandwidths["read"]
    assert stated.details["bandwidth, copy"].endswith("GB/s")


def test_bandwidths_lie_between_the_devices_events(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateformer.baselines.gpu import probe as probing

    device = Device("cpu", FakeCuda())
    elsewhere = Device("cuda", device.cuda)
    seconds = probing._seconds
    monkeypatch.setattr(probing, "_seconds", lambda _, kernel: seconds(elsewhere, kernel))
    found = bandwidths(device, size=1 << 20, repeats=2)
    assert found["read"] == pytest.approx((1 << 20) / 2.5e-3 / 1e9)
    assert found["copy"] == pytest.approx(2 * found["read"])


def test_without_a_driver_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "DRIVER", "libno-such-driver.so.1")
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(BaselineError, match=r"E853 no GPU\. no NVIDIA driver: libno-such-driver"):
        gpu()


def test_a_probe_that_dies_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def died(*args: Any, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(args, -11, "half of {", "Traceback\nCUDA error: gone\n")

    monkeypatch.setattr(subprocess, "run", died)
    monkeypatch.setattr(hardware, "driver", lambda: True)
    with pytest.raises(BaselineError, match="CUDA error: gone"):
        gpu()


def test_what_the_driver_tells() -> None:
    class Nvml:
        NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

        class NVMLError(Exception):
            pass

        def __init__(self, **answers: Any) -> None:
            self.answers = answers

        def __getattr__(self, name: str) -> Any:
            def asked(*_: Any) -> Any:
                if name not in self.answers:
                    raise self.NVMLError(name)
                return self.answers[name]

            return asked

    nvml = Nvml(
        nvmlInit=None,
        nvmlDeviceGetHandleByUUID="gpu",
        nvmlSystemGetDriverVersion=b"570.86",
        nvmlDeviceGetEnforcedPowerLimit=700_000,
        nvmlDeviceGetMaxClockInfo=1980,
        nvmlDeviceGetEccMode=[1, 1],
    )
    assert told(nvml_name("12-34"), nvml) == {
        "driver": "570.86",
        "power limit": "700 W",
        "largest clock of the multiprocessors": "1980 MHz",
        "largest clock of the memory": "1980 MHz",
        "error correction": "on",
    }
    assert told("GPU-12", Nvml()) == told("GPU-12", None) == {}
    assert nvml_name("GPU-12") == nvml_name("12") == "GPU-12"


def test_a_gpus_record_has_the_joules_that_nvml_counted() -> None:
    """The whole way of ``baseline gpu``, workers and all, with a fake CUDA and a fake NVML."""
    from unit.gpu_on_cpu import CANDIDATES, PLACE

    board = GpuFound(
        name="Fake H100",
        uuid="GPU-1",
        multiprocessors=132,
        memory_gb=80.0,
        bandwidths={"read": 3000.0},
        details={},
    )
    (row,) = measure(
        DecoderWork(GPT, 5, batch=2),
        CANDIDATES,
        hardware=board.hardware(),
        threads=1,
        seconds=0.05,
        command="a test",
        place=PLACE,
    )
    assert isinstance(row, Record), row
    assert (row.hardware.kind, row.hardware.id[:9]) == ("gpu", "fake-h100")
    assert row.energy is not None
    assert (row.energy.kind, row.energy.boundary) == ("measured", "board")
    assert row.energy.source == "NVML total energy counter of Fake H100"
    # 0.1 J a step, which two sequences share, and 0.1 W at rest over its time.
    assert row.energy.value == pytest.approx(0.1 / 2, rel=0.2)
    assert not row.transfer
    assert row.share == pytest.approx(row.workload.bytes / row.times.median / 3e12)


def test_the_fake_has_no_more_than_torch_and_the_driver_have() -> None:
    names = ("is_available", "synchronize", "current_stream", "stream", "graph")
    for name in (*names, "Stream", "CUDAGraph", "Event"):
        assert callable(getattr(torch.cuda, name))
        assert callable(getattr(FakeCuda(), name))
    for method in ("replay",):
        assert hasattr(torch.cuda.CUDAGraph, method)
    for method in ("record", "elapsed_time"):
        assert hasattr(torch.cuda.Event, method)
    assert hasattr(torch.cuda.Stream, "wait_stream")


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")


@needs_gpu
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@pytest.mark.parametrize("candidate", DECODERS, ids=named)
def test_a_gpu_gives_the_references_logits(candidate: Candidate) -> None:
    work = DecoderWork(GPT, 9, batch=2)
    assert held_to_the_reference(candidate, work, Device("cuda")) <= candidate.tolerance


@needs_gpu
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@pytest.mark.parametrize("candidate", NETWORKS, ids=named)
def test_a_gpu_gives_the_references_outputs(candidate: Candidate, network: NetworkWork) -> None:
    share = held_to_the_reference(candidate, network, Device("cuda"))
    assert share <= {"fp32": 1e-5, "tf32": 0.02, "bf16": 0.05}[candidate.precision]


@needs_gpu
@pytest.mark.slow
def test_a_gpu_has_a_bandwidth_and_a_meter() -> None:
    found = gpu()
    assert found.bandwidth_gbs is not None
    assert 20 < found.bandwidth_gbs < 20_000
    energy, note = metered(torch.cuda.synchronize, 1, choose("gpu", device=nvml_device()))
    assert energy is None or energy.kind == "measured", note
