#ifndef GF_TREE_H_
#define GF_TREE_H_

// Pairwise reduction: log2(N) steps deep, where a loop would be a chain of N.

#include "gf_types.h"

namespace gf {

// Which of two neighbours goes on.
struct larger {
    template <class X> static X of(const X &a, const X &b) {
        #pragma HLS INLINE
        return b > a ? b : a;
    }
};
struct later { // the second, unless it is 0
    template <class X> static X of(const X &a, const X &b) {
        #pragma HLS INLINE
        return b != 0 ? b : a;
    }
};

// x[0] .. x[N - 1] joined by an associative Join
template <class Join, class X> inline X tree(const X (&x)[1]) {
    #pragma HLS INLINE
    return x[0];
}

template <class Join, class X, unsigned N> inline X tree(const X (&x)[N]) {
    #pragma HLS INLINE
    X pairs[(N + 1) / 2];
    #pragma HLS ARRAY_PARTITION variable=pairs complete
    GF_UNROLL for (unsigned i = 0; i < N / 2; i++) {
        #pragma HLS UNROLL
        pairs[i] = Join::of(x[2 * i], x[2 * i + 1]);
    }
    if (N % 2 == 1) {
        pairs[(N - 1) / 2] = x[N - 1];
    }
    return tree<Join>(pairs);
}

} // namespace gf

#endif
