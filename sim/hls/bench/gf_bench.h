// Frames of raw integers in files: an element is as many 64-bit words as its type needs.
#ifndef GF_BENCH_H_
#define GF_BENCH_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include <pthread.h>
#include <sys/resource.h>

#include "gf_bits.h"

namespace gf_bench {

// The type of the I-th argument of the top function, without reference or pointer.
template <class F> struct Arguments;
template <class R, class... A> struct Arguments<R (*)(A...)> {
  template <std::size_t I>
  using at = typename std::remove_pointer<
      typename std::remove_reference<typename std::tuple_element<I, std::tuple<A...>>::type>::type>::type;
};

// The beat of a stream.
template <template <class> class S, class T> T beat_of(S<T>&);

// An element has exactly the type of the graph's value.
template <class T, int W, int F, bool S> struct Same {
  static_assert(Bits<T>::width == W, "the width differs from the graph's");
  static_assert(Bits<T>::frac == F, "the fraction bits differ from the graph's");
  static_assert(Bits<T>::is_signed == S, "the sign differs from the graph's");
  static const bool value = true;
};

// One port's file: a row of words a frame.
class Rows {
 public:
  Rows(const std::string& path, const char* mode, std::size_t words)
      : words_(words), path_(path), file_(std::fopen(path.c_str(), mode)) {
    if (!file_) fail("cannot open");
  }

  void skip(std::size_t frames) {
    if (std::fseek(file_, static_cast<long>(frames * words_.size() * 8), SEEK_SET)) fail("cannot seek in");
  }

  void read() {
    if (std::fread(words_.data(), 8, words_.size(), file_) != words_.size()) fail("cannot read");
  }

  void write() {
    if (std::fwrite(words_.data(), 8, words_.size(), file_) != words_.size()) fail("cannot write");
  }

  void flush() {
    if (std::fflush(file_)) fail("cannot write");
  }

  template <class T> void put(T& x, std::size_t index) const {
    Bits<T>::put(x, &words_[index * words_of<T>()]);
  }

  template <class T> void get(const T& x, std::size_t index) {
    Bits<T>::get(x, &words_[index * words_of<T>()]);
  }

 private:
  template <class T> static constexpr std::size_t words_of() { return (Bits<T>::width + 63) / 64; }

  void fail(const char* what) {
    std::fprintf(stderr, "%s %s\n", what, path_.c_str());
    std::exit(2);
  }

  std::vector<std::uint64_t> words_;
  std::string path_;
  std::FILE* file_;
};

// What the command line says: first frame, count of frames. Files are in the working folder.
struct Request {
  std::size_t first;
  std::size_t count;
};

void frames(const Request& request);

inline void* serve(void* request) {
  frames(*static_cast<const Request*>(request));
  return nullptr;
}

// Whole tensors live on the stack as they would in hardware: one gigabyte is reserved, and
// memory is bounded, so that a stream written without end stops.
inline int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s FIRST COUNT\n", argv[0]);
    return 2;
  }
  Request request = {std::strtoull(argv[1], nullptr, 10), std::strtoull(argv[2], nullptr, 10)};
  struct rlimit memory;
  getrlimit(RLIMIT_AS, &memory);
  const rlim_t most = rlim_t(6) << 30;
  if (memory.rlim_cur == RLIM_INFINITY || memory.rlim_cur > most) memory.rlim_cur = most;
  setrlimit(RLIMIT_AS, &memory);
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::size_t(1) << 30);
  if (pthread_create(&thread, &attributes, serve, &request)) {
    std::fprintf(stderr, "cannot reserve a stack of 1 GiB\n");
    return 2;
  }
  pthread_join(thread, nullptr);
  return 0;
}

}  // namespace gf_bench

#endif
