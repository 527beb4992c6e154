#ifndef GF_IO_H_
#define GF_IO_H_

// Rows in and out of a layer: one beat of a pipe, or one token of an array.

#include "gf_types.h"

namespace gf {

// A pipe as an object: it has no state.
template <class Pipe> struct pipe {
    typedef typename nnet::ExtractPipeType<Pipe>::value_type beat;
    beat read() const { return Pipe::read(); }
    void write(const beat &given) const { Pipe::write(given); }
};

// The next beat of a pipe.
template <class Pipe, class Y, unsigned N> inline void read(pipe<Pipe> in, Y (&y)[N]) {
    const typename pipe<Pipe>::beat beat = in.read();
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = beat[i]; }
}

template <class X, class Pipe, unsigned N> inline void write(const X (&x)[N], pipe<Pipe> out) {
    typename pipe<Pipe>::beat beat;
    GF_UNROLL for (unsigned i = 0; i < N; i++) { beat[i] = x[i]; }
    out.write(beat);
}

// Token t of an array whose elements count on from token to token.
template <class X, class Y, unsigned N> inline void read(const X &in, unsigned t, Y (&y)[N]) {
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = in[t * N + i]; }
}

template <class X, class Y, unsigned N> inline void write(const X (&x)[N], unsigned t, Y &out) {
    GF_UNROLL for (unsigned i = 0; i < N; i++) { out[t * N + i] = x[i]; }
}

// Every beat of a frame to each reader.
template <unsigned T, class In, class... Out> void fork_task() {
tokens:
    [[intel::initiation_interval(1)]] for (unsigned t = 0; t < T; t++) {
        const typename pipe<In>::beat beat = In::read();
        (Out::write(beat), ...);
    }
}

// A whole array to a port: what is read inside is no port.
template <unsigned N, class Beat> inline void fork(const Beat &in, Beat &out) {
    GF_UNROLL for (unsigned i = 0; i < N; i++) { out[i] = in[i]; }
}

} // namespace gf

#endif
