// Sends FP32 numbers through gf_pim_unary, one a clock: unary_rtl NUMBERS RESULTS
//
// RESULTS gets, for each clock and 80 clocks more, a row of one FP32 number a unit.

#include <cstdint>
#include <cstdio>

#include "Vgf_pim_unary.h"

int main(int, char **names) {
  Vgf_pim_unary top;
  FILE *numbers = std::fopen(names[1], "rb");
  FILE *results = std::fopen(names[2], "wb");
  uint32_t number;
  for (int behind = 80; behind > 0;) {
    if (std::fread(&number, 4, 1, numbers) != 1) {
      number = 0;
      --behind;
    }
    top.clk = 0;
    top.x = number;
    top.eval();
    const uint32_t row[] = {top.exp, top.reciprocal, top.rsqrt, top.gelu, top.silu};
    std::fwrite(row, 4, 5, results);
    top.clk = 1;
    top.eval();
  }
  std::fclose(numbers);
  return std::fclose(results);
}
