#ifndef GF_LAYOUT_H_
#define GF_LAYOUT_H_

// Elements change places; nothing is computed.

#include "gf_types.h"

namespace gf {

// y = x
template <class X, class Y, unsigned N> inline void copy(const X (&x)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = x[i];
    }
}

template <class X, unsigned T, unsigned F> inline void copy(const X (&x)[T][F], X (&y)[T][F]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned t = 0; t < T; t++) {
        #pragma HLS UNROLL
        copy(x[t], y[t]);
    }
}

// y[h, d] = x[h, Start + d], the last axis of x having Size elements
template <unsigned Start, unsigned Size, class X, class Y, unsigned NX, unsigned N>
inline void slice(const X (&x)[NX], Y (&y)[N]) {
    #pragma HLS INLINE
    const unsigned H = NX / Size, D = N / H;
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = x[i / D * Size + Start + i % D];
    }
}

// y[h, Start + d] = x[h, d], the last axis of y having Size elements
template <unsigned Start, unsigned Size, class X, class Y, unsigned NX, unsigned N>
inline void place(const X (&x)[NX], Y (&y)[N]) {
    #pragma HLS INLINE
    const unsigned H = N / Size, D = NX / H;
    GF_UNROLL for (unsigned i = 0; i < NX; i++) {
        #pragma HLS UNROLL
        y[i / D * Size + Start + i % D] = x[i];
    }
}

// y[b, a] = x[a, b]
template <unsigned A, class X, class Y, unsigned N> inline void transpose(const X (&x)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    const unsigned B = N / A;
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = x[i % A * B + i / A];
    }
}

// y[i] = x[from[i]]
template <class X, class Y, unsigned NX, unsigned N>
inline void gather(const X (&x)[NX], const unsigned (&from)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = x[from[i]];
    }
}

// y[i] = x[token[t, i], feature[t, i]]; all of a token's places are read at once
template <class X, class Place, class Y, unsigned T, unsigned F, unsigned M, unsigned N>
inline void gather_tokens(
    const X (&x)[T][F], const Place (&token)[M][N], const Place (&feature)[M][N], unsigned t, Y (&y)[N]
) {
    #pragma HLS INLINE
    #pragma HLS ARRAY_PARTITION variable=token complete dim=2
    #pragma HLS ARRAY_PARTITION variable=feature complete dim=2
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = x[token[t][i]][feature[t][i]];
    }
}

// y = the rows of x, one after the other
template <class X, class Y, unsigned T, unsigned F, unsigned N> inline void flatten(const X (&x)[T][F], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = x[i / F][i % F];
    }
}

// Row t of a flat array of constants, which is read at once.
template <class X, class Y, unsigned M, unsigned N> inline void row(const X (&x)[M], unsigned t, Y (&y)[N]) {
    #pragma HLS INLINE
    #pragma HLS ARRAY_PARTITION variable=x cyclic factor=N
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = x[t * N + i];
    }
}

// A flat array of constants as a frame.
template <class X, class Y, unsigned T, unsigned F> inline void frame(const X x[], Y (&y)[T][F]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned t = 0; t < T; t++) {
        #pragma HLS UNROLL
        GF_UNROLL for (unsigned i = 0; i < F; i++) {
            #pragma HLS UNROLL
            y[t][i] = x[t * F + i];
        }
    }
}

// A frame handed on while another phase works: no phase is bypassed.
template <class X, unsigned T, unsigned F> void carry(const X (&x)[T][F], X (&y)[T][F]) {
    #pragma HLS INLINE off
tokens:
    for (unsigned t = 0; t < T; t++) {
        #pragma HLS PIPELINE II=1
        copy(x[t], y[t]);
    }
}

template <class X, unsigned T, unsigned F> void carry_at_once(const X (&x)[T][F], X (&y)[T][F]) {
    #pragma HLS INLINE off
    #pragma HLS PIPELINE II=1
    copy(x, y);
}

} // namespace gf

#endif
