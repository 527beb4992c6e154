#ifndef GF_CAST_H_
#define GF_CAST_H_

// To another type: fraction bits dropped by a rounding, the range fitted by an overflow.

#include "gf_types.h"

namespace gf {

// The type between rounding and fitting: the fraction bits of Y, and room for X and a carry.
// X is read with `pad` more integer bits, so that all bits that are dropped lie inside it.
template <class X, class Y> struct between {
    static const int frac = traits<Y>::frac;
    static const int drop = traits<X>::frac - frac;
    static const int pad = drop < traits<X>::width ? 0 : drop - traits<X>::width + 1;
    static const int carried = traits<X>::width - traits<X>::frac + 1 + frac;
    static const int width = carried < 2 ? 2 : carried;
    typedef typename traits<X>::template wider<pad>::type Read;
    typedef typename traits<X>::template sized<width, width - frac>::type type;
};

// x rounded by Q, then brought into range by O. In two steps, and by `pad`, since the vendors'
// classes err: ac_fixed loses a carry out of the top bit where it rounds and saturates at once,
// and where more bits are dropped than X has, it forgets the sign and ap_fixed reads beyond it.
template <class Y, rounding Q, overflow O, class X> inline Y convert(const X &x) {
    #pragma HLS INLINE
    typedef between<X, Y> Between;
    typedef typename traits<typename Between::type>::template with<Q, WRAP>::type Rounded;
    typedef typename traits<Y>::template with<TRN, O>::type Fitted;
    if (O == SAT_SYM && traits<Y>::is_signed && traits<Y>::width == 1) {
        return Y(0); // the only value whose negative is there too
    }
    const typename Between::Read read = x;
    const Rounded rounded = read;
    return Fitted(rounded);
}

} // namespace gf

#endif
