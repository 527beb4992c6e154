#ifndef GF_MATMUL_H_
#define GF_MATMUL_H_

// Sums of products: constant matrix x row, and row x gathered frame. Each accumulator has the
// width of its result, which holds the exact sum; bits lost on the way come back (modulo 2^W).

#include "gf_types.h"

namespace gf {

// y[o] = sum_i weight[i, o] x[i] + bias[o]
template <class X, class W, class B, class Y, unsigned I, unsigned N, unsigned O>
inline void dense(const X (&x)[I], const W (&weight)[N], const B (&bias)[O], Y (&y)[O]) {
    #pragma HLS INLINE
    static_assert(N == I * O, "the kernel is inputs x outputs");
    GF_UNROLL for (unsigned o = 0; o < O; o++) {
        #pragma HLS UNROLL
        Y sum = bias[o];
        GF_UNROLL for (unsigned i = 0; i < I; i++) {
            #pragma HLS UNROLL
            sum += x[i] * weight[i * O + o];
        }
        y[o] = sum;
    }
}

// A row's raw integers, `left` places up; down where it is negative, rounded down.
template <class T> inline T moved(T x, int left) {
    #pragma HLS INLINE
    if (left < 0) {
        x >>= -left;
    } else {
        x <<= left;
    }
    return x;
}

// terms = x, then each step's sum {a, b, left a, left b, subtract}; y[o] = +-term + bias[o] of its
// output {term, left, negate}, where term -1 is zero. All are raw integers.
template <unsigned Steps, class X, class Term, class B, class Y, unsigned I, unsigned N, unsigned S, unsigned O>
inline void shift_add(const X (&x)[I], const int (&steps)[S][5], const int (&outputs)[O][3], const B (&bias)[O],
                      Term (&terms)[N], Y (&y)[O]) {
    #pragma HLS INLINE
    static_assert(N == I + Steps, "a term for each feature and step");
    GF_UNROLL for (unsigned i = 0; i < I; i++) {
        #pragma HLS UNROLL
        terms[i] = to_raw(x[i]);
    }
    GF_UNROLL for (unsigned k = 0; k < Steps; k++) {
        #pragma HLS UNROLL
        const Term a = moved(terms[steps[k][0]], steps[k][2]), b = moved(terms[steps[k][1]], steps[k][3]);
        if (steps[k][4]) {
            terms[I + k] = a - b;
        } else {
            terms[I + k] = a + b;
        }
    }
    GF_UNROLL for (unsigned o = 0; o < O; o++) {
        #pragma HLS UNROLL
        Term sum = bias[o];
        if (outputs[o][0] >= 0) {
            const Term last = moved(terms[outputs[o][0]], outputs[o][1]);
            if (outputs[o][2]) {
                sum -= last;
            } else {
                sum += last;
            }
        }
        y[o] = from_raw<Y>(to_raw(sum));
    }
}

// y[h, s] = sum_d a[h, d] b[s, h, d]; a b of one head serves all heads of a
template <unsigned Heads, class A, class B, class Y, unsigned NA, unsigned NB, unsigned T, unsigned N>
inline void matmul_features(const A (&a)[NA], const B (&b)[T][NB], Y (&y)[N]) {
    #pragma HLS INLINE
    const unsigned D = NA / Heads, HeadsB = NB / D;
    static_assert(N == Heads * T, "a result for each head and token");
    GF_UNROLL for (unsigned h = 0; h < Heads; h++) {
        #pragma HLS UNROLL
        GF_UNROLL for (unsigned s = 0; s < T; s++) {
            #pragma HLS UNROLL
            Y sum = 0;
            GF_UNROLL for (unsigned d = 0; d < D; d++) {
                #pragma HLS UNROLL
                sum += a[h * D + d] * b[s][(HeadsB == 1 ? 0 : h * D) + d];
            }
            y[h * T + s] = sum;
        }
    }
}

// y[h, d] = sum_s a[h, s] b[s, h, d]; a b of one head serves all heads of a
template <unsigned Heads, class A, class B, class Y, unsigned NA, unsigned NB, unsigned T, unsigned N>
inline void matmul_tokens(const A (&a)[NA], const B (&b)[T][NB], Y (&y)[N]) {
    #pragma HLS INLINE
    const unsigned D = N / Heads, HeadsB = NB / D;
    static_assert(NA == Heads * T, "a factor for each head and token");
    GF_UNROLL for (unsigned h = 0; h < Heads; h++) {
        #pragma HLS UNROLL
        GF_UNROLL for (unsigned d = 0; d < D; d++) {
            #pragma HLS UNROLL
            Y sum = 0;
            GF_UNROLL for (unsigned s = 0; s < T; s++) {
                #pragma HLS UNROLL
                sum += a[h * T + s] * b[s][(HeadsB == 1 ? 0 : h * D) + d];
            }
            y[h * D + d] = sum;
        }
    }
}

// y[h, d] = sum_s w(a[h, s]) b[s, h, d], w(c) = 2^((c + 1) / 2 - 2^(Bits - 1)) of a code c, 0 where it
// is negative: values are shifted, and the even codes' sum is multiplied by Even 2^-Guard
template <unsigned Heads, unsigned Bits, unsigned Guard, unsigned Even, class A, class B, class Y, unsigned NA,
          unsigned NB, unsigned T, unsigned N>
inline void matmul_codes(const A (&a)[NA], const B (&b)[T][NB], Y (&y)[N]) {
    #pragma HLS INLINE
    const unsigned D = N / Heads, HeadsB = NB / D, Most = (1u << (Bits - 1)) - 1;
    static_assert(NA == Heads * T, "a code for each head and token");
    typedef typename traits<B>::template wider<Most>::type Moved;
    typedef typename traits<Y>::template sized<traits<Y>::width, traits<Y>::width - traits<B>::frac>::type Sum;
    GF_UNROLL for (unsigned h = 0; h < Heads; h++) {
        #pragma HLS UNROLL
        GF_UNROLL for (unsigned d = 0; d < D; d++) {
            #pragma HLS UNROLL
            Sum even = 0, odd = 0;
            GF_UNROLL for (unsigned s = 0; s < T; s++) {
                #pragma HLS UNROLL
                const unsigned code = index(a[h * T + s]);
                Moved moved = b[s][(HeadsB == 1 ? 0 : h * D) + d];
                moved <<= (code >> 1) & Most;
                if (!traits<A>::is_signed || code >> (traits<A>::width - 1) == 0) {
                    if (code & 1) {
                        odd += moved;
                    } else {
                        even += moved;
                    }
                }
            }
            const Sum sum = even * int(Even) + odd * int(1u << Guard);
            y[h * D + d] = from_raw<Y>(to_raw(sum));
        }
    }
}

} // namespace gf

#endif
