#ifndef GF_LAYOUT_H_
#define GF_LAYOUT_H_

// Elements change places; nothing is computed.

#include "gf_types.h"

namespace gf {

// y = x
template <class X, class Y, unsigned N> inline void copy(const X (&x)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = x[i]; }
}

// y[h, d] = x[h, Start + d], the last axis of x having Size elements
template <unsigned Start, unsigned Size, class X, class Y, unsigned NX, unsigned N>
inline void slice(const X (&x)[NX], Y (&y)[N]) {
    #pragma HLS INLINE
    const unsigned H = NX / Size, D = N / H;
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = x[i / D * Size + Start + i % D]; }
}

// y[h, Start + d] = x[h, d], the last axis of y having Size elements
template <unsigned Start, unsigned Size, class X, class Y, unsigned NX, unsigned N>
inline void place(const X (&x)[NX], Y (&y)[N]) {
    #pragma HLS INLINE
    const unsigned H = N / Size, D = NX / H;
    GF_UNROLL for (unsigned i = 0; i < NX; i++) { y[i / D * Size + Start + i % D] = x[i]; }
}

// y[b, a] = x[a, b]
template <unsigned A, class X, class Y, unsigned N> inline void transpose(const X (&x)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    const unsigned B = N / A;
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = x[i % A * B + i / A]; }
}

// y[i] = x[from[i]]
template <class X, class Y, unsigned NX, unsigned N>
inline void gather(const X (&x)[NX], const unsigned (&from)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = x[from[i]]; }
}

// y[i] = x[from[i]], x a frame whose elements count on from token to token
template <class X, class Y, unsigned T, unsigned F, unsigned N>
inline void gather_tokens(const X (&x)[T][F], const unsigned (&from)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = x[from[i] / F][from[i] % F]; }
}

// y[i] = x[start + i], x a frame whose elements count on from token to token
template <class X, class Y, unsigned T, unsigned F, unsigned N>
inline void flatten(const X (&x)[T][F], unsigned start, Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = x[(start + i) / F][(start + i) % F]; }
}

// A flat array of constants as a frame.
template <class X, class Y, unsigned T, unsigned F> inline void frame(const X x[], Y (&y)[T][F]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned t = 0; t < T; t++) {
        GF_UNROLL for (unsigned i = 0; i < F; i++) { y[t][i] = x[t * F + i]; }
    }
}

// A frame handed on while another phase works: no phase is bypassed.
template <class X, unsigned T, unsigned F> void carry(const X (&x)[T][F], X (&y)[T][F]) {
tokens:
    for (unsigned t = 0; t < T; t++) {
        #pragma HLS PIPELINE II=1
        copy(x[t], y[t]);
    }
}

} // namespace gf

#endif
