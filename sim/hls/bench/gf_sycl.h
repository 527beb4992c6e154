// The part of SYCL that an hls4ml oneAPI kernel uses, for a plain C++ compiler.
//
// It is not SYCL: there is no device. A pipe is a queue without bound, and a task sequence calls its
// function at once. That gives a kernel's integers, since its tasks read what earlier ones wrote.
#ifndef GF_SYCL_H_
#define GF_SYCL_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <exception>
#include <iostream>

#include "ac_fixed.h"
#include "ac_int.h"

#define SYCL_EXTERNAL

namespace sycl {

struct queue {}; // named by hls4ml's helpers

namespace ext::oneapi::experimental {
struct properties_tag {};
template <class... P> struct properties {
    constexpr properties(P...) {}
};
} // namespace ext::oneapi::experimental

namespace ext::intel::experimental {

template <int> struct ready_latency_value {};
template <int N> inline constexpr ready_latency_value<N> ready_latency{};
struct streaming_value {};
template <class...> inline constexpr streaming_value streaming_interface{};
template <class...> inline constexpr streaming_value pipelined{};

template <class Name, class T, int32_t Capacity = 0, class Properties = void, class...> struct pipe {
    static std::deque<T> &tokens() {
        static std::deque<T> held;
        return held;
    }
    static T read() {
        if (tokens().empty()) {
            std::cerr << "a pipe is read before it is written\n";
            std::abort();
        }
        T token = tokens().front();
        tokens().pop_front();
        return token;
    }
    static void write(const T &token) { tokens().push_back(token); }
    static T read(queue &) { return read(); }
    static void write(queue &, const T &token) { write(token); }
};

template <auto &Function> struct task_sequence {
    template <class... A> void async(A... arguments) { Function(arguments...); }
    void get() {}
};

} // namespace ext::intel::experimental
} // namespace sycl

#endif
