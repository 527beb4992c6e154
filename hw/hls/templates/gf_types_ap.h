#ifndef GF_TYPES_H_
#define GF_TYPES_H_

// Number types of Vitis and Vivado HLS under the names that the gf_*.h templates use.

#include "ap_fixed.h"
#include "ap_int.h"
#include "gf_weights.h"

// What stands in front of a loop of one row; for Xilinx a pragma inside it says the same.
#define GF_UNROLL

namespace gf {

// value = raw integer x 2^(I - W)
template <int W, int I, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP> using fixed = ap_fixed<W, I, Q, O>;
template <int W, int I, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP> using ufixed = ap_ufixed<W, I, Q, O>;

typedef ap_q_mode rounding;
typedef ap_o_mode overflow;
static const rounding TRN = AP_TRN;           // towards minus infinity
static const rounding RND = AP_RND;           // half up
static const rounding RND_CONV = AP_RND_CONV; // half to even
static const overflow WRAP = AP_WRAP;
static const overflow SAT = AP_SAT;
static const overflow SAT_SYM = AP_SAT_SYM;

// The same type with other modes, or with N more integer bits.
template <class T> struct traits;

template <int W, int I, ap_q_mode Q, ap_o_mode O> struct traits<ap_fixed<W, I, Q, O>> {
    static const int width = W;
    static const int frac = W - I;
    static const bool is_signed = true;
    typedef ap_int<W> integer;
    template <rounding R, overflow V> struct with { typedef ap_fixed<W, I, R, V> type; };
    template <int N> struct wider { typedef ap_fixed<W + N, I + N> type; };
    template <int V, int J> struct sized { typedef ap_fixed<V, J> type; };
};

template <int W, int I, ap_q_mode Q, ap_o_mode O> struct traits<ap_ufixed<W, I, Q, O>> {
    static const int width = W;
    static const int frac = W - I;
    static const bool is_signed = false;
    typedef ap_uint<W> integer;
    template <rounding R, overflow V> struct with { typedef ap_ufixed<W, I, R, V> type; };
    template <int N> struct wider { typedef ap_ufixed<W + N, I + N> type; };
    template <int V, int J> struct sized { typedef ap_ufixed<V, J> type; };
};

// The raw integer modulo 2^width, as an index.
template <class T> inline unsigned index(const T &x) {
    #pragma HLS INLINE
    const ap_uint<traits<T>::width> raw = x.range(traits<T>::width - 1, 0);
    return raw.to_uint();
}

// The value whose raw integer is `raw`, kept modulo 2^width.
template <class T, class Raw> inline T from_raw(const Raw &raw) {
    #pragma HLS INLINE
    const typename traits<T>::integer bits = raw;
    T y;
    y.range(traits<T>::width - 1, 0) = bits.range(traits<T>::width - 1, 0);
    return y;
}

// The raw integer of a value.
template <class T> inline typename traits<T>::integer to_raw(const T &x) {
    #pragma HLS INLINE
    typename traits<T>::integer raw;
    raw.range(traits<T>::width - 1, 0) = x.range(traits<T>::width - 1, 0);
    return raw;
}

// Words of a read-only table: exact in hardware, plain integers where a compiler simulates.
#ifdef GF_SYNTHESIS
template <int W> using rom = ap_int<W>;
template <int W> using urom = ap_uint<W>;
#else
template <int W> using rom = long long;
template <int W> using urom = unsigned long long;
#endif

} // namespace gf

#endif
