#ifndef GF_IO_H_
#define GF_IO_H_

// Rows in and out of a layer: one beat of a stream, or one token of an array. Streams differ in
// class by their depth, so any class with read() and write() will do.

#include <utility>

#include "gf_types.h"

namespace gf {

// What a stream carries.
template <class Stream> using beat_of = decltype(std::declval<Stream &>().read());

// The next beat of a stream.
template <class Stream, class Y, unsigned N> inline void read(Stream &in, Y (&y)[N]) {
    const beat_of<Stream> beat = in.read();
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = beat[i]; }
}

template <class X, class Stream, unsigned N> inline void write(const X (&x)[N], Stream &out) {
    beat_of<Stream> beat;
    GF_UNROLL for (unsigned i = 0; i < N; i++) { beat[i] = x[i]; }
    out.write(beat);
}

// Token t of an array whose elements count on from token to token.
template <class X, class Y, unsigned N> inline void read(const X in[], unsigned t, Y (&y)[N]) {
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = in[t * N + i]; }
}

template <class X, class Y, unsigned N> inline void write(const X (&x)[N], unsigned t, Y out[]) {
    GF_UNROLL for (unsigned i = 0; i < N; i++) { out[t * N + i] = x[i]; }
}

// Every beat of a frame to each reader.
template <unsigned T, class In, class A, class B> void fork(In &in, A &a, B &b) {
tokens:
    #pragma ii 1
    for (unsigned t = 0; t < T; t++) {
        const beat_of<In> beat = in.read();
        a.write(beat);
        b.write(beat);
    }
}

template <unsigned T, class In, class A, class B, class C> void fork(In &in, A &a, B &b, C &c) {
tokens:
    #pragma ii 1
    for (unsigned t = 0; t < T; t++) {
        const beat_of<In> beat = in.read();
        a.write(beat);
        b.write(beat);
        c.write(beat);
    }
}

// A whole array to a port: what is read inside is no port.
template <unsigned N, class Beat> inline void fork(const Beat in[], Beat out[]) {
    GF_UNROLL for (unsigned i = 0; i < N; i++) { out[i] = in[i]; }
}

} // namespace gf

#endif
