#ifndef GF_REDUCE_H_
#define GF_REDUCE_H_

// Sums and maxima along a row's last axis, or over the tokens of a frame. Exact.

#include "gf_tree.h"

namespace gf {

// y[h] = sum_d x[h, d]
template <class X, class Y, unsigned N, unsigned H> inline void sum(const X (&x)[N], Y (&y)[H]) {
    #pragma HLS INLINE
    const unsigned D = N / H;
    GF_UNROLL for (unsigned h = 0; h < H; h++) {
        #pragma HLS UNROLL
        Y total = 0;
        GF_UNROLL for (unsigned d = 0; d < D; d++) {
            #pragma HLS UNROLL
            total += x[h * D + d];
        }
        y[h] = total;
    }
}

// y[h] = max_d x[h, d]
template <class X, class Y, unsigned N, unsigned H> inline void maximum(const X (&x)[N], Y (&y)[H]) {
    #pragma HLS INLINE
    const unsigned D = N / H;
    GF_UNROLL for (unsigned h = 0; h < H; h++) {
        #pragma HLS UNROLL
        X all[D];
        #pragma HLS ARRAY_PARTITION variable=all complete
        GF_UNROLL for (unsigned d = 0; d < D; d++) {
            #pragma HLS UNROLL
            all[d] = x[h * D + d];
        }
        y[h] = tree<larger>(all);
    }
}

// y[i] = sum_t x[t, start + i]
template <class X, class Y, unsigned T, unsigned F, unsigned N>
inline void sum_tokens(const X (&x)[T][F], unsigned start, Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        Y total = 0;
        GF_UNROLL for (unsigned t = 0; t < T; t++) {
            #pragma HLS UNROLL
            total += x[t][start + i];
        }
        y[i] = total;
    }
}

// y[i] = max_t x[t, start + i]
template <class X, class Y, unsigned T, unsigned F, unsigned N>
inline void maximum_tokens(const X (&x)[T][F], unsigned start, Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        X all[T];
        #pragma HLS ARRAY_PARTITION variable=all complete
        GF_UNROLL for (unsigned t = 0; t < T; t++) {
            #pragma HLS UNROLL
            all[t] = x[t][start + i];
        }
        y[i] = tree<larger>(all);
    }
}

// y = x at the first token, y + x at those after it
template <class X, class Y, unsigned N> inline void sum_next(bool first, const X (&x)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        const Y before = first ? Y(0) : y[i];
        y[i] = before + x[i];
    }
}

// y = x at the first token, max(x, y) at those after it
template <class X, unsigned N> inline void maximum_next(bool first, const X (&x)[N], X (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = first || x[i] > y[i] ? x[i] : y[i];
    }
}

} // namespace gf

#endif
