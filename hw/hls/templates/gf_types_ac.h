#ifndef GF_TYPES_H_
#define GF_TYPES_H_

// Number types of Intel HLS and oneAPI under the names that the gf_*.h templates use.
// defines.h brings ac_fixed, ac_int and the streams, from wherever the compiler keeps them.

#include "../defines.h"
#include "gf_weights.h"

// Stands in front of a loop of one row, which becomes as many copies of its body.
#define GF_UNROLL _Pragma("unroll")

namespace gf {

// One bit: 0 or 2^(I - 1), negative where signed. Intel's compilers take no ac_fixed of one bit, so
// two hold it, the upper a copy of the lower or 0.
template <int I, bool S> struct one_bit : ac_fixed<2, I + 1, S> {
    typedef ac_fixed<2, I + 1, S> Base;
    one_bit() {}
    template <class X> one_bit(const X &x) : Base(x) {}
};

// value = raw integer x 2^(I - W)
template <int W, int I, bool S, ac_q_mode Q, ac_o_mode O> struct number { typedef ac_fixed<W, I, S, Q, O> type; };
template <int I, bool S, ac_q_mode Q, ac_o_mode O> struct number<1, I, S, Q, O> { typedef one_bit<I, S> type; };
template <int W, int I, ac_q_mode Q = AC_TRN, ac_o_mode O = AC_WRAP>
using fixed = typename number<W, I, true, Q, O>::type;
template <int W, int I, ac_q_mode Q = AC_TRN, ac_o_mode O = AC_WRAP>
using ufixed = typename number<W, I, false, Q, O>::type;

typedef ac_q_mode rounding;
typedef ac_o_mode overflow;
static const rounding TRN = AC_TRN;           // towards minus infinity
static const rounding RND = AC_RND;           // half up
static const rounding RND_CONV = AC_RND_CONV; // half to even
static const overflow WRAP = AC_WRAP;
static const overflow SAT = AC_SAT;
static const overflow SAT_SYM = AC_SAT_SYM;

// The same type with other modes, or with N more integer bits.
template <class T> struct traits;

template <int W, int I, bool S, ac_q_mode Q, ac_o_mode O> struct traits<ac_fixed<W, I, S, Q, O>> {
    static const int width = W;
    static const int frac = W - I;
    static const bool is_signed = S;
    typedef ac_int<W, S> integer;
    template <rounding R, overflow V> struct with { typedef ac_fixed<W, I, S, R, V> type; };
    template <int N> struct wider { typedef ac_fixed<W + N, I + N, S> type; };
    template <int V, int J> struct sized { typedef ac_fixed<V, J, S, AC_TRN, AC_WRAP> type; };
};

// A number with the fraction bits of a bit, brought into the bit's range.
template <int I, bool S, ac_o_mode V> struct bit_of : one_bit<I, S> {
    bit_of() {}
    template <int W, int J, bool T, ac_q_mode Q, ac_o_mode O> bit_of(const ac_fixed<W, J, T, Q, O> &x) {
        const bool one = V == AC_WRAP ? bool(x[0]) : S ? x < 0 : x > 0;
        this->set_slc(0, ac_int<2, S>(one ? (S ? -1 : 1) : 0));
    }
};

template <int I, bool S> struct traits<one_bit<I, S>> {
    static const int width = 1;
    static const int frac = 1 - I;
    static const bool is_signed = S;
    typedef ac_int<2, S> integer;
    template <rounding R, overflow V> struct with { typedef bit_of<I, S, V> type; };
    template <int N> struct wider { typedef ac_fixed<N + 2, I + N + 1, S> type; };
    template <int V, int J> struct sized { typedef ac_fixed<V, J, S> type; };
};

// The value whose raw integer is `raw`, kept modulo 2^width.
template <class T, class Raw> inline T from_raw(const Raw &raw) {
    const typename traits<T>::integer bits(raw);
    T y;
    y.set_slc(0, bits);
    return y;
}

// The raw integer of a value.
template <class T> inline typename traits<T>::integer to_raw(const T &x) {
    return x.template slc<traits<T>::integer::width>(0);
}

// The raw integer modulo 2^width, as an index.
template <class T> inline unsigned index(const T &x) {
    const int W = traits<T>::width;
    const ac_int<W + 1, false> raw = to_raw(x);
    return raw.to_uint() & ((1u << W) - 1);
}

// Words of a read-only table: exact in hardware, plain integers where a compiler simulates, and in
// SYCL, whose kernels take no constants of a class but constexpr ones; unused bits are trimmed.
#if defined(GF_SYNTHESIS) && !defined(__SYCL_DEVICE_ONLY__)
template <int W> using rom = ac_int<W, true>;
template <int W> using urom = ac_int<W, false>;
#else
template <int W> using rom = long long;
template <int W> using urom = unsigned long long;
#endif

} // namespace gf

#endif
