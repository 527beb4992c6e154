#ifndef GF_NORMALIZE_H_
#define GF_NORMALIZE_H_

// Floating a fixed-point number by its leading one.

#include "gf_cast.h"
#include "gf_tree.h"

namespace gf {

// y = zeros above the leading one of x, 0 counting as 1; rounded down to even where Even
template <bool Even, class X, class Y, unsigned N> inline void leading_zeros(const X (&x)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    const int W = traits<X>::width;
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        const typename traits<X>::integer raw = to_raw(x[i]);
        int ones[W];
        #pragma HLS ARRAY_PARTITION variable=ones complete
        GF_UNROLL for (int bit = 0; bit < W; bit++) {
            #pragma HLS UNROLL
            ones[bit] = raw[bit] ? bit : 0;
        }
        const int zeros = W - 1 - tree<later>(ones);
        y[i] = Even ? zeros & ~1 : zeros;
    }
}

// y = x 2^amount, rounded by Q and brought into range by O; the amount is at most Most
template <int Most, rounding Q, overflow O, class At, class X, class A, class Y, unsigned NA, unsigned N>
inline void shift(const X (&x)[N], const A (&amount)[NA], Y (&y)[N]) {
    #pragma HLS INLINE
    typedef typename traits<X>::template wider<Most>::type Wide;
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        Wide wide = x[i];
        wide <<= index(amount[At::at(i)]);
        y[i] = convert<Y, Q, O>(wide);
    }
}

} // namespace gf

#endif
