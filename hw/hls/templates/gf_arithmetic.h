#ifndef GF_ARITHMETIC_H_
#define GF_ARITHMETIC_H_

// Element by element: sums, products, casts. All but casts are exact.

#include "gf_cast.h"

namespace gf {

// Which element of an operand meets element i of the result.
struct each {
    static unsigned at(unsigned i) {
        #pragma HLS INLINE
        return i;
    }
};
struct only { // a single element for all
    static unsigned at(unsigned) {
        #pragma HLS INLINE
        return 0;
    }
};
template <unsigned N> struct per { // one element for each run of N, such as a head's
    static unsigned at(unsigned i) {
        #pragma HLS INLINE
        return i / N;
    }
};
template <unsigned N> struct modulo { // N elements, repeated
    static unsigned at(unsigned i) {
        #pragma HLS INLINE
        return i % N;
    }
};

// y = a + b
template <class AtA, class AtB, class A, class B, class Y, unsigned NA, unsigned NB, unsigned N>
inline void add(const A (&a)[NA], const B (&b)[NB], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = a[AtA::at(i)] + b[AtB::at(i)];
    }
}

// y = a - b
template <class AtA, class AtB, class A, class B, class Y, unsigned NA, unsigned NB, unsigned N>
inline void subtract(const A (&a)[NA], const B (&b)[NB], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = a[AtA::at(i)] - b[AtB::at(i)];
    }
}

// y = a b
template <class AtA, class AtB, class A, class B, class Y, unsigned NA, unsigned NB, unsigned N>
inline void multiply(const A (&a)[NA], const B (&b)[NB], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = a[AtA::at(i)] * b[AtB::at(i)];
    }
}

// y = x, rounded by Q and brought into range by O
template <rounding Q, overflow O, class X, class Y, unsigned N> inline void cast(const X (&x)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = convert<Y, Q, O>(x[i]);
    }
}

// y = x 2^k: the same raw integer read at another scale
template <class X, class Y, unsigned N> inline void rescale(const X (&x)[N], Y (&y)[N]) {
    #pragma HLS INLINE
    GF_UNROLL for (unsigned i = 0; i < N; i++) {
        #pragma HLS UNROLL
        y[i] = from_raw<Y>(to_raw(x[i]));
    }
}

} // namespace gf

#endif
