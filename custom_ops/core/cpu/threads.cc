// Threads for callers that have none to lend.
#include <pthread.h>

#include <deque>
#include <exception>
#include <memory>
#include <thread>

#include "../keras_pac.h"
#include "../shared_work.h"

namespace {

using keras_pac::SharedWork;

// Threads that wait for work until the process ends.
class Threads {
 public:
  // Gives the work to so many of them.
  void Help(const std::shared_ptr<SharedWork>& work, int64_t helpers) {
    std::lock_guard<std::mutex> lock(mutex_);
    while (started_ < helpers) {
      std::thread([this] { Loop(); }).detach();
      ++started_;
    }
    for (int64_t i = 0; i < helpers; ++i) {
      waiting_.push_back(work);
      came_.notify_one();
    }
  }

 private:
  void Loop() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      came_.wait(lock, [this] { return !waiting_.empty(); });
      const std::shared_ptr<SharedWork> work = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      work->Work();
    }
  }

  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<std::shared_ptr<SharedWork>> waiting_;
  int64_t started_ = 0;
};

// Never destroyed, since its threads may still run when the process ends. A child process has none
// of its parent's threads: it gets others.
Threads* threads() {
  static Threads* current;
  static const int registered = [] {
    current = new Threads;
    return pthread_atfork(nullptr, nullptr, [] { current = new Threads; });
  }();
  (void)registered;
  return current;
}

void run_parallel(void* context, int64_t count, SharedWork::Part part, void* job) {
  const int64_t workers = reinterpret_cast<intptr_t>(context);
  const auto work = std::make_shared<SharedWork>(count, workers, part, job);
  const int64_t helpers = std::min(workers, work->blocks()) - 1;
  try {
    if (helpers > 0) threads()->Help(work, helpers);
  } catch (const std::exception&) {
    // No thread could be started: this one does what the others don't.
  }
  work->Work();
  work->Wait();
}

}  // namespace

kpac_parallel_for kpac_cpu_threads(int32_t workers) {
  return {reinterpret_cast<void*>(static_cast<intptr_t>(workers)), workers, run_parallel};
}
