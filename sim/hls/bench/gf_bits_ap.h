// The bits of ap_fixed and ap_int elements as 64-bit words, least significant word first;
// the last word of a signed element is sign-extended.
#ifndef GF_BITS_H_
#define GF_BITS_H_

#include <algorithm>
#include <cstdint>

#include "ap_fixed.h"
#include "ap_int.h"

namespace gf_bench {

template <class T, int W, int F, bool S> struct ApBits {
  static const int width = W;
  static const int frac = F;
  static const bool is_signed = S;

  static void put(T& x, const std::uint64_t* words) {
    for (int low = 0; low < W; low += 64)
      x.range(std::min(low + 63, W - 1), low) = ap_uint<64>(words[low / 64]);
  }

  static void get(const T& x, std::uint64_t* words) {
    for (int low = 0; low < W; low += 64)
      words[low / 64] = ap_uint<64>(x.range(std::min(low + 63, W - 1), low)).to_uint64();
    const int top = W % 64;
    std::uint64_t& last = words[(W - 1) / 64];
    if (S && top && (last >> (top - 1) & 1)) last |= ~std::uint64_t(0) << top;
  }
};

template <class T> struct Bits;

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
struct Bits<ap_fixed<W, I, Q, O, N>> : ApBits<ap_fixed<W, I, Q, O, N>, W, W - I, true> {};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
struct Bits<ap_ufixed<W, I, Q, O, N>> : ApBits<ap_ufixed<W, I, Q, O, N>, W, W - I, false> {};

template <int W> struct Bits<ap_int<W>> : ApBits<ap_int<W>, W, 0, true> {};

template <int W> struct Bits<ap_uint<W>> : ApBits<ap_uint<W>, W, 0, false> {};

}  // namespace gf_bench

#endif
