// Compiled once for every instruction set, with KPAC_ISA = generic, avx2, avx512.
#include "engine.h"

#include "adapting_kernel.h"
#include "windowed_sum.h"

namespace kpac {
namespace KPAC_ISA {

template <typename T>
constexpr Engine kEngine = {adapting_kernel<T>, adapting_kernel_gradient<T>, windowed_sum<T>,
                            windowed_sum_gradient<T>};

const Engine& engine(int32_t type) {
  static const Engine engines[] = {kEngine<_Float16>, kEngine<BFloat16>, kEngine<float>,
                                   kEngine<double>};
  return engines[type];
}

}  // namespace KPAC_ISA
}  // namespace kpac
