#ifndef GF_IO_H_
#define GF_IO_H_

// Rows in and out of a layer: one beat of a stream, or one token of an array.

#include "../nnet_utils/nnet_common.h"
#include "gf_types.h"
#include "hls_stream.h"

namespace gf {

// The next beat of a stream.
template <class Beat, class Y, unsigned N> inline void read(hls::stream<Beat> &in, Y (&y)[N]) {
    #pragma HLS INLINE
    const Beat beat = in.read();
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = beat[i];
    }
}

template <class X, class Beat, unsigned N> inline void write(const X (&x)[N], hls::stream<Beat> &out) {
    #pragma HLS INLINE
    Beat beat;
    PRAGMA_DATA_PACK(beat)
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        beat[i] = x[i];
    }
    out.write(beat);
}

// Token t of an array whose elements count on from token to token.
template <class X, class Y, unsigned N> inline void read(const X in[], unsigned t, Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = in[t * N + i];
    }
}

template <class X, class Y, unsigned N> inline void write(const X (&x)[N], unsigned t, Y out[]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        out[t * N + i] = x[i];
    }
}

// Every beat of a frame to each reader.
template <unsigned T, class Beat>
void fork(hls::stream<Beat> &in, hls::stream<Beat> &a, hls::stream<Beat> &b) {
    #pragma HLS INLINE off
tokens:
    for (unsigned t = 0; t < T; t++) {
        #pragma HLS PIPELINE II=1
        typename Beat::value_type row[Beat::size];
        read(in, row);
        write(row, a);
        write(row, b);
    }
}

template <unsigned T, class Beat>
void fork(hls::stream<Beat> &in, hls::stream<Beat> &a, hls::stream<Beat> &b, hls::stream<Beat> &c) {
    #pragma HLS INLINE off
tokens:
    for (unsigned t = 0; t < T; t++) {
        #pragma HLS PIPELINE II=1
        typename Beat::value_type row[Beat::size];
        read(in, row);
        write(row, a);
        write(row, b);
        write(row, c);
    }
}

// A whole array to a port: what is read inside is no port.
template <unsigned N, class Beat> inline void fork(const Beat in[], Beat out[]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        out[i] = in[i];
    }
}

} // namespace gf

#endif
