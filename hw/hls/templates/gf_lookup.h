#ifndef GF_LOOKUP_H_
#define GF_LOOKUP_H_

// Tables of raw results, indexed by the raw operand modulo 2^width. A memory has two ports, so a
// table has a copy for every two look-ups of a clock.

#include "gf_types.h"

namespace gf {

// y = table[x]
template <class X, class Word, class Y, unsigned Entries, unsigned N>
inline void lookup(const X (&x)[N], const Word (&table)[Entries], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = from_raw<Y>(table[index(x[i])]);
    }
}

// y[i] = table[x, i]: an embedding; each column a memory of its own
template <class X, class Word, class Y, unsigned Entries, unsigned N>
inline void embed(const X (&x)[1], const Word (&table)[Entries][N], Y (&y)[N]) {
    #pragma HLS INLINE
    #pragma HLS ARRAY_PARTITION variable=table complete dim=2
    const unsigned row = index(x[0]);
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = from_raw<Y>(table[row][i]);
    }
}

} // namespace gf

#endif
