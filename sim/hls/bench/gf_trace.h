// Taps: the values that one layer hands to another, as rows of raw integers in tap<N>.raw.
#ifndef GF_TRACE_H_
#define GF_TRACE_H_

#include "gf_bench.h"

namespace gf_bench {

inline Rows& tap_file(int number, std::size_t words) {
  static std::vector<Rows*> files;
  if (files.size() <= std::size_t(number)) files.resize(number + 1, nullptr);
  if (!files[number]) files[number] = new Rows("tap" + std::to_string(number) + ".raw", "wb", words);
  return *files[number];
}

// An array of elements.
template <int W, int F, bool S, int TOKENS, int FEATURES, class T, std::size_t N>
void tap(int number, T (&x)[N]) {
  static_assert(Same<T, W, F, S>::value, "");
  static_assert(N == TOKENS * FEATURES, "the array is the whole tensor");
  Rows& rows = tap_file(number, N * ((W + 63) / 64));
  for (std::size_t i = 0; i < N; ++i) rows.get(x[i], i);
  rows.write();
  rows.flush();
}

// A stream of beats, each a token: they are read and written back.
template <int W, int F, bool S, int TOKENS, int FEATURES, template <class> class Stream, class Beat>
void tap(int number, Stream<Beat>& x) {
  static_assert(Same<typename Beat::value_type, W, F, S>::value, "");
  static_assert(Beat::size == FEATURES, "a beat is one token");
  Rows& rows = tap_file(number, TOKENS * FEATURES * ((W + 63) / 64));
  for (std::size_t token = 0; token < TOKENS; ++token) {
    const Beat beat = x.read();
    for (std::size_t i = 0; i < FEATURES; ++i) rows.get(beat[i], token * FEATURES + i);
    x.write(beat);
  }
  rows.write();
  rows.flush();
}

}  // namespace gf_bench

#endif
