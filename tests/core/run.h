// Calls the core on a problem, with buffers of exact sizes and a parallel-for of its own.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>

#include "random_problem.h"

namespace fuzz {

// Everything a problem reads: float64 for the reference, `buffers` for the core.
struct Data {
  std::vector<double> values[INPUTS], upstream;
  std::vector<Buffer> buffers;  // of the inputs; those it does not have are empty
  Buffer upstream_buffer{KPAC_FLOAT64, 0};
};

inline Data draw_data(Random& random, const Problem& p) {
  Data data;
  for (int input = 0; input < INPUTS; ++input) {
    if (p.has[input]) data.values[input] = draw_values(random, p, input);
    data.buffers.emplace_back(type_of(p, input), data.values[input]);
  }
  const double scale = random.chance(0.02) ? 0 : 1;
  Buffer upstream(p.sizes.type, result_elements(p));
  for (int64_t i = 0; i < upstream.count(); ++i) {
    upstream.set(i, scale * random.uniform(-1, 1));
    data.upstream.push_back(upstream.get(i));
  }
  data.upstream_buffer = std::move(upstream);
  return data;
}

inline reference::Inputs reference_inputs(const Problem& p, const Data& data) {
  const double* at[INPUTS];
  static const double none = 0;  // an empty tensor is not a missing one
  for (int input = 0; input < INPUTS; ++input) {
    const std::vector<double>& values = data.values[input];
    at[input] = !p.has[input] ? nullptr : values.empty() ? &none : values.data();
  }
  return {at[X],     at[ADAPTING_KERNEL], at[GUIDE],  at[CENTER], at[VALID_MASK],
          at[ALPHA], at[EXPONENT],        at[FILTER], at[BIAS]};
}

// A call of the function that reads all of that, and writes nothing yet.
inline kpac_call core_call(const Problem& p, const Data& data, kpac_function function) {
  const void* at[INPUTS];
  for (int input = 0; input < INPUTS; ++input)
    at[input] = p.has[input] ? data.buffers[input].data() : nullptr;
  kpac_call call{function,
                 p.sizes,
                 {at[X], at[ADAPTING_KERNEL], at[GUIDE], at[CENTER], at[VALID_MASK], at[ALPHA],
                  at[EXPONENT], at[FILTER], at[BIAS], data.upstream_buffer.data()},
                 {}};
  if (function == KPAC_WINDOWED_SUM_GRADIENT) {
    if (p.sizes.bias_image) call.inputs.bias = nullptr;
    call.sizes.bias_image = call.sizes.softmax = 0;
  }
  return call;
}

// How `run` of kpac_parallel_for hands out its ranges; each is allowed by the header.
enum class Order { kThreads, kOneRange, kBackwards };

struct Pool {
  Order order;
  int32_t workers;
  int64_t chunk;  // of one range, but for kOneRange
};

using Part = void (*)(void* job, int64_t begin, int64_t end, int32_t worker);

inline void run_parallel(void* context, int64_t count, Part part, void* job) {
  const Pool& pool = *static_cast<Pool*>(context);
  const int32_t last = pool.workers - 1;
  if (count <= 0) return;
  if (pool.order == Order::kOneRange) {
    part(job, 0, count, last);
  } else if (pool.order == Order::kBackwards) {
    const int64_t ranges = (count + pool.chunk - 1) / pool.chunk;
    for (int64_t range = ranges - 1; range >= 0; --range)
      part(job, range * pool.chunk, std::min(count, (range + 1) * pool.chunk),
           static_cast<int32_t>(range % pool.workers));
  } else {
    std::atomic<int64_t> next{0};
    const auto work = [&](int32_t worker) {
      for (int64_t begin; (begin = next.fetch_add(pool.chunk)) < count;)
        part(job, begin, std::min(count, begin + pool.chunk), worker);
    };
    std::vector<std::thread> threads;
    for (int32_t worker = 1; worker < pool.workers; ++worker) threads.emplace_back(work, worker);
    work(0);
    for (std::thread& thread : threads) thread.join();
  }
}

inline Pool draw_pool(Random& random) {
  const int64_t order = random.between(0, 9);
  return {order < 1   ? Order::kThreads
          : order < 6 ? Order::kOneRange
                      : Order::kBackwards,
          static_cast<int32_t>(random.pick({1, 2, 4})), random.pick({1, 1, 2, 3, 100})};
}

// The results of a problem by name, or the text of an error.
struct Results {
  std::map<std::string, Buffer> buffers;
  std::string error;
};

class Core {
 public:
  Core(const Problem& p, const Data& data, Pool pool) : p_(p), data_(data), pool_(pool) {}

  void forward(Results* results) {
    kpac_call call = core_call(p_, data_, p_.forward());
    void* result = add(results, "result", p_.sizes.type, result_elements(p_));
    (p_.sum ? call.outputs.y : call.outputs.adapting_kernel) = result;
    if (p_.has[VALID_MASK])
      call.outputs.output_mask = add(results, "output_mask", p_.sizes.type, outputs(p_));
    run(call, results);
  }

  void backward(Results* results) {
    kpac_call call = core_call(p_, data_, p_.backward());
    kpac_outputs& out = call.outputs;
    void** const at[INPUTS] = {&out.x,     &out.adapting_kernel, &out.guide,  &out.center, nullptr,
                               &out.alpha, &out.exponent,        &out.filter, &out.bias};
    for (int input = 0; input < INPUTS; ++input)
      if (p_.wanted[input])
        *at[input] = add(results, std::string("gradient of ") + kInputNames[input],
                         type_of(p_, input), elements(p_, input));
    run(call, results);
  }

 private:
  static void* add(Results* results, const std::string& name, int32_t type, int64_t count) {
    return results->buffers.emplace(name, Buffer(type, count)).first->second.data();
  }

  void run(const kpac_call& call, Results* results) {
    char error[512] = "";
    kpac_status status = kpac_check(&call, error, sizeof error);
    if (status == KPAC_OK) {
      const int64_t bytes = kpac_cpu_workspace(&call, pool_.workers);
      if (bytes < 0 || bytes > int64_t{1} << 30) {
        results->error = "workspace of " + std::to_string(bytes) + " bytes";
        return;
      }
      const Buffer workspace(KPAC_FLOAT16, (bytes + 1) / 2);
      const kpac_parallel_for parallel_for{&pool_, pool_.workers, run_parallel};
      status = kpac_cpu_run(&call, workspace.data(), &parallel_for, error, sizeof error);
    }
    if (status != KPAC_OK)
      results->error = "status " + std::to_string(status) + ": " + std::string(error);
  }

  const Problem& p_;
  const Data& data_;
  Pool pool_;
};

inline Results run_core(const Problem& p, const Data& data, Pool pool) {
  Results results;
  Core core(p, data, pool);
  core.forward(&results);
  if (results.error.empty()) core.backward(&results);
  return results;
}

}  // namespace fuzz
