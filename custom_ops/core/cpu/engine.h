// The functions of one instruction set. `only_count` computes nothing and returns the bytes of
// workspace.
#pragma once

#include "../keras_pac.h"

namespace kpac {

struct Engine {
  int64_t (*adapting_kernel)(const kpac_sizes&, const kpac_inputs&, void* out, void* out_mask,
                             void* workspace, const kpac_parallel_for&, bool only_count);
  int64_t (*adapting_kernel_gradient)(const kpac_sizes&, const kpac_inputs&, const void* upstream,
                                      const kpac_gradients&, void* workspace,
                                      const kpac_parallel_for&, bool only_count);
  int64_t (*windowed_sum)(const kpac_sizes&, const kpac_inputs&, void* out, void* workspace,
                          const kpac_parallel_for&, bool only_count);
  int64_t (*windowed_sum_gradient)(const kpac_sizes&, const kpac_inputs&, const void* upstream,
                                   const kpac_gradients&, void* workspace, const kpac_parallel_for&,
                                   bool only_count);
};

// For sizes.type.
namespace generic {
const Engine& engine(int32_t type);
}
#if defined(__x86_64__)
namespace avx2 {
const Engine& engine(int32_t type);
}
namespace avx512 {
const Engine& engine(int32_t type);
}
#endif

}  // namespace kpac
