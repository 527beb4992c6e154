// Memory bandwidth of all threads that this process may run: a read of one array, and STREAM's
// triad (McCalpin, "Memory Bandwidth and Machine Balance", 1995) on three.
//
//   bandwidth THREADS BYTES REPEATS HUGE
//
// BYTES is an array's size; HUGE 1 asks for transparent huge pages. Prints the best of REPEATS of
// each, in GB/s (1e9 bytes): "read <GB/s>" and "triad <GB/s>". Triad counts 24 bytes an element,
// as STREAM does: the line that a store reads first is left out.

#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double *allocate(std::size_t bytes, bool huge) {
  // Whole huge pages, begun on one.
  const std::size_t page = std::size_t{1} << 21;
  void *found = std::aligned_alloc(page, (bytes + page - 1) / page * page);
  if (found == nullptr) {
    std::fprintf(stderr, "no memory\n");
    std::exit(1);
  }
  madvise(found, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return static_cast<double *>(found);
}

// Sixteen vectors of eight: enough loads in flight, no chain of additions to wait for.
double sum(const double *from, std::size_t count) {
  constexpr std::size_t lanes = 128;
  double lane[lanes] = {};
  std::size_t at = 0;
  for (; at + lanes <= count; at += lanes)
    for (std::size_t one = 0; one < lanes; ++one) lane[one] += from[at + one];
  double total = 0;
  for (double one : lane) total += one;
  for (; at < count; ++at) total += from[at];
  return total;
}

void triad(double *to, const double *one, const double *two, std::size_t count) {
  for (std::size_t at = 0; at < count; ++at) to[at] = one[at] + 3.0 * two[at];
}

}  // namespace

int main(int count, char **words) {
  if (count != 5) {
    std::fprintf(stderr, "usage: bandwidth THREADS BYTES REPEATS HUGE\n");
    return 2;
  }
  const auto threads = std::strtoul(words[1], nullptr, 10);
  const std::size_t bytes = std::strtoull(words[2], nullptr, 10);
  const auto repeats = std::strtoul(words[3], nullptr, 10);
  const bool huge = std::atoi(words[4]) != 0;
  const std::size_t length = bytes / sizeof(double);
  double *a = allocate(bytes, huge), *b = allocate(bytes, huge), *c = allocate(bytes, huge);
  std::vector<double> sums(threads);
  double best[2] = {1e30, 1e30};
  Clock::time_point began;
  std::size_t which = 0, phase = 0;
  // The last thread to arrive takes the time; every other arrival begins a kernel.
  auto stamp = [&]() noexcept {
    if (phase++ % 2 == 0) {
      began = Clock::now();
      return;
    }
    const double took = std::chrono::duration<double>(Clock::now() - began).count();
    if (took < best[which % 2]) best[which % 2] = took;
    ++which;
  };
  std::barrier gate(static_cast<std::ptrdiff_t>(threads), stamp);
  auto work = [&](std::size_t number) {
    const std::size_t first = length * number / threads, last = length * (number + 1) / threads;
    // Whoever works on a page touches it first: it lies near.
    for (std::size_t at = first; at < last; ++at) a[at] = 0, b[at] = 1, c[at] = 2;
    for (std::size_t turn = 0; turn < repeats; ++turn) {
      gate.arrive_and_wait();
      sums[number] += sum(b + first, last - first);
      gate.arrive_and_wait();
      gate.arrive_and_wait();
      triad(a + first, b + first, c + first, last - first);
      gate.arrive_and_wait();
    }
  };
  std::vector<std::thread> running;
  for (std::size_t number = 1; number < threads; ++number) running.emplace_back(work, number);
  work(0);
  for (auto &one : running) one.join();
  // What was computed is looked at, so that it had to be.
  double total = 0;
  for (double one : sums) total += one;
  if (total != static_cast<double>(length) * static_cast<double>(repeats) || a[length / 2] != 7) {
    std::fprintf(stderr, "wrong sums\n");
    return 1;
  }
  std::printf("read %.6g\ntriad %.6g\n", 8e-9 * static_cast<double>(length) / best[0],
              24e-9 * static_cast<double>(length) / best[1]);
  return 0;
}
