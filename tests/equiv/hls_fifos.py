"""An HLS project whose streams are as deep as its pragmas say, run as DATAFLOW runs it.

The generated top function is compiled with every call as a process of its own and every stream
bounded (``fifos/hls_stream.h``), so what runs is the project's C++ with the project's depths.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from gateformer.hw.hls.project import Project
from gateformer.quant.types import IntArray
from gateformer.sim.hls.build import write_tree

HEADER = Path(__file__).parent / "fifos/hls_stream.h"
DEADLOCK = 3
"""Exit code of a run in which no process can go on."""

MAIN = """
namespace {

template <class F> struct arguments;
template <class... A> struct arguments<void (*)(A...)> {
  template <std::size_t I> using stream =
      typename std::remove_reference<typename std::tuple_element<I, std::tuple<A...> >::type>::type;
};
template <std::size_t I> using port = arguments<decltype(&TOP)>::stream<I>;

// A file of raw integers: a port's frames, token after token.
struct Numbers {
  std::vector<unsigned long> all;
  std::size_t next;

  explicit Numbers(const char* path = nullptr) : next(0) {
    std::FILE* file = path ? std::fopen(path, "rb") : nullptr;
    for (unsigned long one; file && std::fread(&one, 8, 1, file) == 1;) all.push_back(one);
    if (file) std::fclose(file);
  }

  void save(const char* path) const {
    std::FILE* file = std::fopen(path, "wb");
    std::fwrite(all.data(), 8, all.size(), file);
    std::fclose(file);
  }
};

template <class Beat> Beat pack(Numbers& from) {
  Beat beat;
  for (std::size_t i = 0; i < Beat::size; ++i)
    gf_bench::Bits<typename Beat::value_type>::put(beat[i], &from.all[from.next++]);
  return beat;
}

template <class Beat> void unpack(const Beat& beat, Numbers& to) {
  for (std::size_t i = 0; i < Beat::size; ++i) {
    to.all.push_back(0);
    gf_bench::Bits<typename Beat::value_type>::get(beat[i], &to.all.back());
  }
}

}  // namespace

// Arguments: frames, most depth, lag, seed. A lag below 0 draws each layer's own, up to -lag.
int main(int, char** given) {
  gf_fifo::Network& n = gf_fifo::network();
  n.frames = std::atol(given[1]);
  n.most_depth = std::atol(given[2]);
  const long lag = std::atol(given[3]);
  std::mt19937 draw(std::atol(given[4]));
  PORTS
  n.lag = [] { return std::size_t(0); };
  ENDS
  n.lag = [&] { return std::size_t(lag < 0 ? draw() % (1 - lag) : lag); };
  TOP(NAMES);
  SAVES
  return gf_fifo::finished() ? 0 : 3;
}
"""


@dataclass(frozen=True)
class Run:
    """What a run came to.

    Attributes
    ----------
    stuck : tuple of str
        A line for each process that cannot go on; empty where all frames passed.
    outputs : mapping of str to ndarray of int
        Raw integers, (frames, elements).
    """

    stuck: tuple[str, ...]
    outputs: Mapping[str, IntArray]


@dataclass(frozen=True)
class Bounded:
    """A project compiled with bounded streams."""

    project: Project
    folder: Path

    def run(
        self, frames: Mapping[str, IntArray], *, most: int = 1 << 30, lag: int = 0, seed: int = 0
    ) -> Run:
        """Run frames; ``most`` bounds every stream further, ``lag`` is how long processes hold."""
        count = len(next(iter(frames.values())))
        for number, port in enumerate(self.project.inputs):
            frames[port.name].astype(np.int64).tofile(self.folder / f"in{number}.raw")
        command = ["./bounded", *map(str, (count, most, lag, seed))]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode in (0, DEADLOCK), (done.returncode, done.stdout, done.stderr)
        stuck = tuple(done.stdout.splitlines()) if done.returncode else ()
        made = {}
        for number, port in enumerate(self.project.outputs):
            raw = np.fromfile(self.folder / f"out{number}.raw", np.int64)
            made[port.name] = raw[: raw.size // port.size * port.size].reshape(-1, port.size)
        return Run(stuck, made)


def compiled(project: Project, folder: Path) -> Bounded:
    """Compile a project of streams for Vitis or Vivado."""
    write_tree(project.files, folder)
    bits = files("gateformer.sim.hls").joinpath("bench/gf_bits_ap.h").read_text("utf-8")
    extra = {
        "fifo/hls_stream.h": HEADER.read_text("utf-8"),
        "fifo/gf_bits.h": bits,
        "bounded.cpp": program(project),
    }
    write_tree(extra, folder)
    include = ["-Ififo", "-Ifirmware", "-Ifirmware/ap_types", "-I."]
    command = ["g++", "-std=c++11", "-O1", "-w", *include, "bounded.cpp", "-o", "bounded"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    return Bounded(project, folder)


def program(project: Project) -> str:
    """The top function with processes for calls, and a main that feeds and drains it."""
    text = project.files[f"firmware/{project.top}.cpp"]
    text, depths = re.subn(r"#pragma HLS STREAM variable=(\w+) depth=(\d+)", r"\1.bound(\2);", text)
    declared = len(re.findall(r'hls::stream<\w+> \w+\("', text))
    assert depths == declared, "every stream inside has a depth"
    text, calls = re.subn(
        r"^    (\w[\w:]*<.*\);) // (\w+)$",
        r'    gf_fifo::process("\2", [&] { \1 });',
        text,
        flags=re.MULTILINE,
    )
    assert calls, "the top function calls layers"
    head, brace, tail = text.rpartition("}")
    text = f"{head}    gf_fifo::run();\n{brace}{tail}"
    text = text.replace(f'#include "{project.top}.h"', f'#include "firmware/{project.top}.h"')
    text = text.replace('#include "parameters.h"', '#include "firmware/parameters.h"')
    return f'#include "gf_bits.h"\n#include <random>\n{text}{main(project)}'


def main(project: Project) -> str:
    """Streams for the ports; a source for each input, a sink for each output."""
    ports, ends, saves, names = [], [], [], []
    for number, port in enumerate((*project.inputs, *project.outputs)):
        inward = number < len(project.inputs)
        name = f"in{number}" if inward else f"out{number - len(project.inputs)}"
        file = f'"{name}.raw"' if inward else ""
        names.append(name)
        ports += [f'port<{number}> {name}("{name}");', f"Numbers {name}_raw{{{file}}};"]
        beat = f"port<{number}>::value_type"
        move = (
            f"{name}.write(pack<{beat}>({name}_raw))"
            if inward
            else f"unpack({name}.read(), {name}_raw)"
        )
        loop = f"for (int t = 0; t < {port.tokens}; ++t) {move};"
        ends.append(f'gf_fifo::process("{name}", [&] {{ {loop} }});')
        if not inward:
            saves.append(f'{name}_raw.save("{name}.raw");')
    parts = {
        "PORTS": "\n  ".join(ports),
        "ENDS": "\n  ".join(ends),
        "SAVES": "\n  ".join(saves),
        "NAMES": ", ".join(names),
        "TOP": project.top,
    }
    return re.sub(r"\b(PORTS|ENDS|SAVES|NAMES|TOP)\b", lambda found: parts[found[0]], MAIN)
