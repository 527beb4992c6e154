// The bits of ac_fixed and ac_int elements as 64-bit words, least significant word first;
// the last word of a signed element is sign-extended.
#ifndef GF_BITS_H_
#define GF_BITS_H_

#include <cstdint>

#include "ac_fixed.h"
#include "ac_int.h"

namespace gf_bench {

// Words from bit LOW on; slices of ac types have constant widths, hence the recursion.
template <class T, int W, bool S, int LOW = 0, bool MORE = (LOW < W)> struct AcWords {
  static const int width = W - LOW < 64 ? W - LOW : 64;
  static const bool last = LOW + 64 >= W;

  static void put(T& x, const std::uint64_t* words) {
    x.set_slc(LOW, ac_int<width, false>(words[LOW / 64]));
    AcWords<T, W, S, LOW + 64>::put(x, words);
  }

  static void get(const T& x, std::uint64_t* words) {
    const ac_int<width, false> part = x.template slc<width>(LOW);
    words[LOW / 64] = part.to_uint64();
    const std::uint64_t sign = words[LOW / 64] >> (width - 1) & 1;
    if (S && last && width < 64 && sign) words[LOW / 64] |= ~std::uint64_t(0) << (width % 64);
    AcWords<T, W, S, LOW + 64>::get(x, words);
  }
};

template <class T, int W, bool S, int LOW> struct AcWords<T, W, S, LOW, false> {
  static void put(T&, const std::uint64_t*) {}
  static void get(const T&, std::uint64_t*) {}
};

template <class T, int W, int F, bool S> struct AcBits : AcWords<T, W, S> {
  static const int width = W;
  static const int frac = F;
  static const bool is_signed = S;
};

template <class T> struct Bits;

template <int W, int I, bool S, ac_q_mode Q, ac_o_mode O>
struct Bits<ac_fixed<W, I, S, Q, O>> : AcBits<ac_fixed<W, I, S, Q, O>, W, W - I, S> {};

template <int W, bool S> struct Bits<ac_int<W, S>> : AcBits<ac_int<W, S>, W, 0, S> {};

}  // namespace gf_bench

#endif
