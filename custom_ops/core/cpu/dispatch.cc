// The C interface on the CPU: checks, then the code for this processor.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "engine.h"

#define KPAC_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using kpac::Engine;

struct Instructions {
  const char* name;
  const Engine& (*engine)(int32_t type);
  bool supported;
};

// The best that the processor has; KPAC_INSTRUCTIONS can lower the choice.
const Instructions& instructions() {
  static const Instructions chosen = [] {
    const Instructions all[] = {
#if defined(__x86_64__)
        {"avx512", kpac::avx512::engine,
         __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("fma")},
        {"avx2", kpac::avx2::engine,
         __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
#endif
        {"generic", kpac::generic::engine, true},
    };
    const char* wanted = std::getenv("KPAC_INSTRUCTIONS");
    for (const Instructions& candidate : all) {
      if (!candidate.supported) continue;
      if (wanted == nullptr || std::strcmp(wanted, candidate.name) == 0) return candidate;
    }
    return Instructions{"generic", kpac::generic::engine, true};
  }();
  return chosen;
}

// Runs one function after its check; nothing may be thrown through a C interface.
template <typename Run>
kpac_status checked(kpac_function function, const kpac_sizes* sizes, const kpac_inputs* inputs,
                    char* error, size_t error_size, const Run& run) {
  const kpac_status status = kpac_check(function, sizes, inputs, error, error_size);
  if (status != KPAC_OK) return status;
  try {
    run(instructions().engine(sizes->type));
    return KPAC_OK;
  } catch (const std::exception& exception) {
    if (error != nullptr) std::snprintf(error, error_size, "%s", exception.what());
    return KPAC_DEVICE_ERROR;
  }
}

}  // namespace

KPAC_EXPORT const char* kpac_cpu_instructions(void) { return instructions().name; }

KPAC_EXPORT int64_t kpac_cpu_workspace(kpac_function function, const kpac_sizes* sizes,
                                       const kpac_inputs* inputs, const kpac_gradients* gradients,
                                       int32_t workers) {
  const kpac_parallel_for none = {nullptr, workers, nullptr};
  try {
    const Engine& engine = instructions().engine(sizes->type);
    switch (function) {
      case KPAC_ADAPTING_KERNEL:
        return engine.adapting_kernel(*sizes, *inputs, nullptr, nullptr, nullptr, none, true);
      case KPAC_ADAPTING_KERNEL_GRADIENT:
        return engine.adapting_kernel_gradient(*sizes, *inputs, nullptr, *gradients, nullptr, none,
                                               true);
      case KPAC_WINDOWED_SUM:
        return engine.windowed_sum(*sizes, *inputs, nullptr, nullptr, none, true);
      case KPAC_WINDOWED_SUM_GRADIENT:
        return engine.windowed_sum_gradient(*sizes, *inputs, nullptr, *gradients, nullptr, none,
                                            true);
    }
  } catch (const std::exception&) {  // no memory for the tables that are counted
  }
  return -1;
}

KPAC_EXPORT kpac_status kpac_cpu_adapting_kernel(const kpac_sizes* sizes, const kpac_inputs* inputs,
                                                 void* adapting_kernel, void* output_mask,
                                                 void* workspace,
                                                 const kpac_parallel_for* parallel_for, char* error,
                                                 size_t error_size) {
  return checked(KPAC_ADAPTING_KERNEL, sizes, inputs, error, error_size, [&](const Engine& engine) {
    engine.adapting_kernel(*sizes, *inputs, adapting_kernel, output_mask, workspace, *parallel_for,
                           false);
  });
}

KPAC_EXPORT kpac_status kpac_cpu_adapting_kernel_gradient(
    const kpac_sizes* sizes, const kpac_inputs* inputs, const void* upstream,
    const kpac_gradients* gradients, void* workspace, const kpac_parallel_for* parallel_for,
    char* error, size_t error_size) {
  return checked(KPAC_ADAPTING_KERNEL_GRADIENT, sizes, inputs, error, error_size,
                 [&](const Engine& engine) {
                   engine.adapting_kernel_gradient(*sizes, *inputs, upstream, *gradients, workspace,
                                                   *parallel_for, false);
                 });
}

KPAC_EXPORT kpac_status kpac_cpu_windowed_sum(const kpac_sizes* sizes, const kpac_inputs* inputs,
                                              void* y, void* workspace,
                                              const kpac_parallel_for* parallel_for, char* error,
                                              size_t error_size) {
  return checked(KPAC_WINDOWED_SUM, sizes, inputs, error, error_size, [&](const Engine& engine) {
    engine.windowed_sum(*sizes, *inputs, y, workspace, *parallel_for, false);
  });
}

KPAC_EXPORT kpac_status kpac_cpu_windowed_sum_gradient(
    const kpac_sizes* sizes, const kpac_inputs* inputs, const void* upstream,
    const kpac_gradients* gradients, void* workspace, const kpac_parallel_for* parallel_for,
    char* error, size_t error_size) {
  return checked(KPAC_WINDOWED_SUM_GRADIENT, sizes, inputs, error, error_size,
                 [&](const Engine& engine) {
                   engine.windowed_sum_gradient(*sizes, *inputs, upstream, *gradients, workspace,
                                                *parallel_for, false);
                 });
}
