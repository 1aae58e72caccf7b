// A range of work that several threads take blocks of.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace keras_pac {

// The calling thread and its helpers call Work; the calling thread then calls Wait. A helper may
// come too late, when all is done: it must hold the object by a shared pointer.
class SharedWork {
 public:
  typedef void (*Part)(void* job, int64_t begin, int64_t end, int32_t worker);

  // For `threads` of them in all: a few blocks each, so that none waits long for the last one.
  SharedWork(int64_t count, int64_t threads, Part part, void* job)
      : count_(count),
        block_(std::max<int64_t>(1, count / (8 * threads))),
        part_(part),
        job_(job) {}

  int64_t blocks() const { return (count_ + block_ - 1) / block_; }

  // Runs blocks until none is left.
  void Work() {
    int64_t begin = next_.fetch_add(block_);
    if (begin >= count_) return;
    const int32_t worker = workers_.fetch_add(1);
    int64_t done = 0;
    for (; begin < count_; begin = next_.fetch_add(block_)) {
      const int64_t end = std::min(begin + block_, count_);
      part_(job_, begin, end, worker);
      done += end - begin;
    }
    if (done_.fetch_add(done) + done == count_) {
      std::lock_guard<std::mutex> lock(mutex_);
      all_done_.notify_all();
    }
  }

  // Returns when every block is done.
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    all_done_.wait(lock, [this] { return done_.load() >= count_; });
  }

 private:
  const int64_t count_, block_;
  const Part part_;
  void* const job_;
  std::atomic<int64_t> next_{0}, done_{0};
  std::atomic<int32_t> workers_{0};
  std::mutex mutex_;
  std::condition_variable all_done_;
};

}  // namespace keras_pac
