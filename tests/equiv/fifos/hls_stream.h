// Streams of a bounded depth, and processes that run side by side: what DATAFLOW makes of a
// function. Stands in for the hls_stream.h of the HLS tool, whose queues have no bound.
//
// A process is a coroutine. It stops where it reads an empty stream or writes a full one. Where no
// process can go on and frames are left, the network is in deadlock. That is a property of the
// network: the order in which processes take turns does not change it (Kahn).
//
// A process may hold its results back: with a lag of k, a beat leaves it only when it has read k
// more beats, or at the end of the frame. So do pipelined loops, which stall as a whole where an
// input is empty.
#ifndef GF_BOUNDED_HLS_STREAM_H_
#define GF_BOUNDED_HLS_STREAM_H_

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ucontext.h>

namespace gf_fifo {

struct Process {
  std::string name;
  std::function<void()> frame;  // one frame's work
  std::size_t lag;
  std::size_t frames_done;
  std::size_t beats_read;
  std::string stuck;  // what it waits for
  std::deque<std::pair<std::size_t, std::function<void()> > > held;  // beat count at write, write
  std::vector<char> stack;
  ucontext_t context;
};

struct Network {
  std::vector<std::unique_ptr<Process> > processes;
  Process* now;
  ucontext_t home;
  std::size_t frames;
  std::size_t moves;  // grows with every beat moved
  std::size_t most_depth;  // no stream holds more
  std::function<std::size_t()> lag;  // of the next process
};

inline Network& network() {
  static Network it = Network();
  return it;
}

inline void pause_here(const std::string& why) {
  Network& n = network();
  Process* self = n.now;
  self->stuck = why;
  swapcontext(&self->context, &n.home);
  self->stuck.clear();
}

inline void release(bool all) {
  Process& p = *network().now;
  while (!p.held.empty() && (all || p.held.front().first + p.lag <= p.beats_read)) {
    std::function<void()> write = p.held.front().second;
    p.held.pop_front();
    write();
  }
}

inline void work() {
  Network& n = network();
  Process& p = *n.now;
  for (p.frames_done = 0; p.frames_done < n.frames; ++p.frames_done) {
    p.frame();
    release(true);
  }
  p.stuck = "done";
  swapcontext(&p.context, &n.home);
}

// Add a process: its name and what it does with a frame.
inline void process(const char* name, const std::function<void()>& frame) {
  std::unique_ptr<Process> p(new Process());
  p->name = name;
  p->frame = frame;
  p->lag = network().lag();
  p->stack.resize(std::size_t(4) << 20);
  getcontext(&p->context);
  p->context.uc_stack.ss_sp = p->stack.data();
  p->context.uc_stack.ss_size = p->stack.size();
  p->context.uc_link = nullptr;
  makecontext(&p->context, work, 0);
  network().processes.push_back(std::move(p));
}

// Whether every process did all frames.
inline bool finished() {
  for (const std::unique_ptr<Process>& p : network().processes)
    if (p->stuck != "done") return false;
  return true;
}

// Run all processes in turn, until all have finished or none can go on; say which are stuck.
inline void run() {
  Network& n = network();
  for (;;) {
    const std::size_t before = n.moves;
    bool done = true;
    for (std::size_t i = 0; i < n.processes.size(); ++i) {
      n.now = n.processes[i].get();
      if (n.now->stuck == "done") continue;
      swapcontext(&n.home, &n.now->context);
      done = done && n.now->stuck == "done";
    }
    if (done) return;
    if (n.moves == before) break;
  }
  for (std::size_t i = 0; i < n.processes.size(); ++i) {
    const Process& p = *n.processes[i];
    if (p.stuck != "done")
      std::printf("%s stops in frame %zu: %s\n", p.name.c_str(), p.frames_done, p.stuck.c_str());
  }
}

}  // namespace gf_fifo

namespace hls {

template <class T> class stream {
 public:
  typedef T value_type;

  stream() : name_("?"), depth_(2) {}
  explicit stream(const char* name) : name_(name), depth_(2) {}

  void bound(std::size_t depth) { depth_ = std::min(depth, gf_fifo::network().most_depth); }
  bool empty() const { return held_.empty(); }
  std::size_t size() const { return held_.size(); }

  T read() {
    gf_fifo::Network& n = gf_fifo::network();
    gf_fifo::release(false);
    while (held_.empty()) gf_fifo::pause_here(name_ + " is empty");
    const T beat = held_.front();
    held_.pop_front();
    ++n.moves;
    ++n.now->beats_read;
    return beat;
  }

  void read(T& beat) { beat = read(); }

  void write(const T& beat) {
    gf_fifo::Process& p = *gf_fifo::network().now;
    if (!p.lag) return put(beat);
    p.held.push_back(std::make_pair(p.beats_read, std::function<void()>([this, beat] { put(beat); })));
  }

 private:
  void put(const T& beat) {
    while (held_.size() >= depth_) gf_fifo::pause_here(name_ + " is full");
    held_.push_back(beat);
    ++gf_fifo::network().moves;
  }

  std::string name_;
  std::size_t depth_;
  std::deque<T> held_;
};

}  // namespace hls

#endif
