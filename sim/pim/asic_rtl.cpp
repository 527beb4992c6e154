// Runs operations on gf_pim_asic: asic_rtl MEMORY OPERATIONS CLOCKS
//
// MEMORY: WORDS x LANES numbers of 16 bits, written through the host's port first and read back
// at the end. OPERATIONS: 12 numbers of 32 bits each, in the order of the fields below. CLOCKS: gets
// a number of 32 bits for each, from start to done.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "Vgf_pim_asic.h"

static Vgf_pim_asic top;

template <typename Number>
static std::vector<Number> contents(const char *name) {
  std::vector<Number> found;
  Number one;
  FILE *file = std::fopen(name, "rb");
  while (file && std::fread(&one, sizeof one, 1, file) == 1) found.push_back(one);
  if (file) std::fclose(file);
  return found;
}

static void tick() {
  top.clk = 0;
  top.eval();
  top.clk = 1;
  top.eval();
  if (Verilated::gotFinish()) std::exit(3);
}

int main(int, char **names) {
  const uint32_t most = 100000000;
  auto memory = contents<uint16_t>(names[1]);
  const auto operations = contents<uint32_t>(names[2]);
  const size_t lanes = sizeof top.host_data / 2;
  std::vector<uint32_t> clocks;
  top.start = 0;
  top.host_write = 0;
  top.rst = 1;
  tick();
  tick();
  top.rst = 0;
  for (size_t at = 0; at < memory.size(); at += lanes) {
    top.host_write = 1;
    top.host_address = at / lanes;
    std::memcpy(&top.host_data, &memory[at], 2 * lanes);
    tick();
  }
  top.host_write = 0;
  for (size_t at = 0; at < operations.size(); at += 12) {
    const uint32_t *field = &operations[at];
    top.unit = field[0];
    top.source_a = field[1];
    top.source_b = field[2];
    top.source_c = field[3];
    top.destination = field[4];
    top.stride = field[5];
    top.count = field[6];
    top.length = field[7];
    top.vectors = field[8];
    top.inverse_width = field[9];
    top.epsilon = field[10];
    top.bias = field[11];
    top.start = 1;
    tick();
    top.start = 0;
    uint32_t clock = 0;
    do {
      top.clk = 0;
      top.eval();
      ++clock;
      if (top.done) break;
      top.clk = 1;
      top.eval();
    } while (clock < most);
    if (clock == most) {
      std::fprintf(stderr, "operation %zu never ends\n", at / 12);
      return 1;
    }
    clocks.push_back(clock);
    tick();
  }
  for (size_t at = 0; at < memory.size(); at += lanes) {
    top.host_address = at / lanes;
    tick();
    std::memcpy(&memory[at], &top.host_read_data, 2 * lanes);
  }
  FILE *file = std::fopen(names[1], "wb");
  std::fwrite(memory.data(), 2, memory.size(), file);
  std::fclose(file);
  file = std::fopen(names[3], "wb");
  std::fwrite(clocks.data(), 4, clocks.size(), file);
  return std::fclose(file);
}
