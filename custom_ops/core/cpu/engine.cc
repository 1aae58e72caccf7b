// Compiled once for every set of instructions, with KPAC_ISA = generic, avx2 or avx512, and with
// the name of its entry point as KPAC_ENGINE.
#include "engine.h"

#include "adapting_kernel.h"
#include "channel_wise.h"
#include "windowed_sum.h"
#include "windowed_sum_gradient.h"

namespace kpac::KPAC_ISA {
namespace {

template <typename Job>
int64_t count_or_run(const kpac_call& call, void* workspace,
                     const kpac_parallel_for& parallel_for) {
  Job job(call, workspace, parallel_for);
  if (parallel_for.run != nullptr) job.run();
  return job.arena.used();
}

template <typename T>
kpac_engine* job_of(const kpac_call& call) {
  const bool channel_wise = call.sizes.channel_wise != 0;
  switch (call.function) {
    case KPAC_ADAPTING_KERNEL:
      return channel_wise ? count_or_run<ChannelWiseAdaptingKernel<T>>
                          : count_or_run<AdaptingKernel<T>>;
    case KPAC_ADAPTING_KERNEL_GRADIENT:
      return channel_wise ? count_or_run<ChannelWiseAdaptingKernelGradient<T>>
                          : count_or_run<AdaptingKernelGradient<T>>;
    case KPAC_WINDOWED_SUM: return count_or_run<WindowedSum<T>>;
    default: return count_or_run<WindowedSumGradient<T>>;
  }
}

kpac_engine* job_of_type(const kpac_call& call) {
  switch (call.sizes.type) {
    case KPAC_FLOAT16: return job_of<_Float16>(call);
    case KPAC_BFLOAT16: return job_of<BFloat16>(call);
    case KPAC_FLOAT32: return job_of<float>(call);
    default: return job_of<double>(call);
  }
}

}  // namespace
}  // namespace kpac::KPAC_ISA

int64_t KPAC_ENGINE(const kpac_call& call, void* workspace, const kpac_parallel_for& parallel_for) {
  return kpac::KPAC_ISA::job_of_type(call)(call, workspace, parallel_for);
}
