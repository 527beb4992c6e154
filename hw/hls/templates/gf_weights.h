#ifndef GF_WEIGHTS_H_
#define GF_WEIGHTS_H_

// Constant arrays. A synthesizer takes their decimals as they stand; a compiler would write code
// for each of them, so a simulation converts them all in one loop as it starts.

#if defined(__SYNTHESIS__) || defined(__INTELFPGA_COMPILER__) || defined(__SYCL_DEVICE_ONLY__)
#define GF_SYNTHESIS
#else

namespace gf {

// The values as an array of T that lasts as long as the program.
template <class T, unsigned N> T (&weights(const double (&values)[N]))[N] {
    struct Array {
        T data[N];
    };
    Array *array = new Array;
    for (unsigned i = 0; i < N; i++) { array->data[i] = T(values[i]); }
    return array->data;
}

} // namespace gf

#endif

#endif
