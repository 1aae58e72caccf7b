// The C interface on the CPU: checks, then the code for this processor.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "engine.h"

namespace {

struct Instructions {
  const char* name;
  kpac_engine* engine;
  bool supported;
};

// The best that the processor has; KPAC_INSTRUCTIONS can lower the choice.
const Instructions& instructions() {
  static const Instructions chosen = [] {
    const Instructions generic = {"generic", kpac_engine_generic, true};
    const Instructions all[] = {
#if defined(__x86_64__)
        {"avx512", kpac_engine_avx512,
         __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")},
        {"avx2", kpac_engine_avx2,
         __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c")},
#endif
        generic,
    };
    const char* wanted = std::getenv("KPAC_INSTRUCTIONS");
    for (const Instructions& candidate : all) {
      if (!candidate.supported) continue;
      if (wanted == nullptr || std::strcmp(wanted, candidate.name) == 0) return candidate;
    }
    return generic;
  }();
  return chosen;
}

}  // namespace

const char* kpac_cpu_instructions(void) { return instructions().name; }

// Nothing may be thrown through a C interface. The code allocates nothing but the plan of a call: an
// exception means that there is no memory for it.

int64_t kpac_cpu_workspace(const kpac_call* call, int32_t workers) {
  try {
    return instructions().engine(*call, nullptr, {nullptr, workers, nullptr});
  } catch (const std::exception&) {
    return -1;
  }
}

kpac_status kpac_cpu_run(const kpac_call* call, void* workspace,
                         const kpac_parallel_for* parallel_for, char* error, size_t error_size) {
  kpac_status status = kpac_check(call, error, error_size);
  if (status == KPAC_OK) status = kpac_check_outputs(call, error, error_size);
  if (status != KPAC_OK) return status;
  try {
    instructions().engine(*call, workspace, *parallel_for);
    return KPAC_OK;
  } catch (const std::exception& exception) {
    if (error != nullptr) {
      std::snprintf(error, error_size, "there is no memory to plan this with: %s",
                    exception.what());
    }
    return KPAC_NO_MEMORY;
  }
}
