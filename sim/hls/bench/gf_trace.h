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

template <int W, int F, bool S, int N, class T, class X> void tap_row(int number, const X& x) {
  static_assert(Same<T, W, F, S>::value, "");
  Rows& rows = tap_file(number, N * ((W + 63) / 64));
  for (std::size_t i = 0; i < N; ++i) rows.get(x[i], i);
  rows.write();
  rows.flush();
}

// An array of elements.
template <int W, int F, bool S, int TOKENS, int FEATURES, class T, std::size_t N>
void tap(int number, T (&x)[N]) {
  static_assert(N == TOKENS * FEATURES, "the array is the whole tensor");
  tap_row<W, F, S, N, T>(number, x);
}

// An array as an object.
template <int W, int F, bool S, int TOKENS, int FEATURES, class X, class T = typename X::value_type>
void tap(int number, X& x) {
  tap_row<W, F, S, TOKENS * FEATURES, T>(number, x);
}

// Beats, each a token: they are read and written back.
template <int W, int F, bool S, int TOKENS, int FEATURES, class Beat, class Read, class Write>
void tap_beats(int number, Read read, Write write) {
  static_assert(Same<typename Beat::value_type, W, F, S>::value, "");
  Rows& rows = tap_file(number, TOKENS * FEATURES * ((W + 63) / 64));
  for (std::size_t token = 0; token < TOKENS; ++token) {
    const Beat beat = read();
    for (std::size_t i = 0; i < FEATURES; ++i) rows.get(beat[i], token * FEATURES + i);
    write(beat);
  }
  rows.write();
  rows.flush();
}

// A stream.
template <int W, int F, bool S, int TOKENS, int FEATURES, template <class> class Stream, class Beat>
void tap(int number, Stream<Beat>& x) {
  tap_beats<W, F, S, TOKENS, FEATURES, Beat>(
      number, [&x] { return x.read(); }, [&x](const Beat& beat) { x.write(beat); });
}

// A pipe of SYCL, which is a type.
template <int W, int F, bool S, int TOKENS, int FEATURES, class Pipe> void tap_pipe(int number) {
  using Beat = decltype(Pipe::read());
  tap_beats<W, F, S, TOKENS, FEATURES, Beat>(
      number, [] { return Pipe::read(); }, [](const Beat& beat) { Pipe::write(beat); });
}

}  // namespace gf_bench

#endif
