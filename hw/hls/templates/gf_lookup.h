#ifndef GF_LOOKUP_H_
#define GF_LOOKUP_H_

// Tables of raw results, indexed by the raw operand modulo 2^width.

#include "gf_types.h"

namespace gf {

// y = table[x]
template <class X, class Word, class Y, unsigned Entries, unsigned N>
inline void lookup(const X (&x)[N], const Word (&table)[Entries], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = from_raw<Y>(table[index(x[i])]); }
}

// y[i] = table[x, i]: an embedding
template <class X, class Word, class Y, unsigned Entries, unsigned N>
inline void embed(const X (&x)[1], const Word (&table)[Entries][N], Y (&y)[N]) {
    #pragma HLS INLINE
    const unsigned row = index(x[0]);
    GF_UNROLL for (unsigned i = 0; i < N; i++) { y[i] = from_raw<Y>(table[row][i]); }
}

} // namespace gf

#endif
