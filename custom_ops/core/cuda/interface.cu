// kpac_cuda_workspace and kpac_cuda_run.
#include <cstdio>

#include "functions.cuh"

namespace kpac::cuda {

#ifdef KPAC_EMULATE
bool emulate_descending = false;
#endif

namespace {

template <typename T>
void windowed_sum_gradient(Launcher& launcher, const kpac_call& call) {
  using W = Wide<T>;
  const kpac_sizes& s = call.sizes;
  const kpac_outputs& out = call.outputs;
  Sum<T> sum = sum_of<T>(call);
  bool guided = call.inputs.adapting_kernel == nullptr;
  bool to_guide = guided && (out.guide || out.center || out.alpha || out.exponent);
  int64_t pairs = output_pixels(s) * taps(s);
  W* similarity = nullptr;
  if (guided && (out.x || out.filter || to_guide)) {
    similarity = launcher.take<W>(pairs);
    store_similarity<T>(launcher, call, similarity);
    sum.adapting.stored = similarity;
  }
  if (out.x) sum_input_gradient<T>(launcher, sum, static_cast<T*>(out.x));
  if (out.filter) sum_filter_gradient<T>(launcher, sum, static_cast<T*>(out.filter));
  if (out.bias) {
    sum_rows(launcher, sum.upstream, output_pixels(s), s.output_channels,
             static_cast<T*>(out.bias));
  }
  if (to_guide) {
    W* dk = launcher.take<W>(pairs);
    sum_adapting_gradient<T>(launcher, sum, nullptr, dk);
    // The mask and normalize belong to K that is given, so K = k here.
    adapting_kernel_gradient<T>(launcher, call, {nullptr, dk}, dk, similarity);
  } else if (out.adapting_kernel) {
    sum_adapting_gradient<T>(launcher, sum, static_cast<T*>(out.adapting_kernel), nullptr);
  }
}

template <typename T>
void run_type(Launcher& launcher, const kpac_call& call) {
  switch (call.function) {
    case KPAC_ADAPTING_KERNEL: return adapting_kernel<T>(launcher, call);
    case KPAC_ADAPTING_KERNEL_GRADIENT: {
      Values<T> upstream = {static_cast<const T*>(call.inputs.upstream), nullptr};
      int64_t values = call.sizes.channel_wise ? call.sizes.guide_channels : 1;
      int64_t count = output_pixels(call.sizes) * taps(call.sizes) * values;
      auto* distance = launcher.take<Wide<T>>(count);
      return adapting_kernel_gradient<T>(launcher, call, upstream, distance, nullptr);
    }
    case KPAC_WINDOWED_SUM:
      return sum_forward<T>(launcher, sum_of<T>(call), static_cast<T*>(call.outputs.y));
    default: return windowed_sum_gradient<T>(launcher, call);
  }
}

void run(Launcher& launcher, const kpac_call& call) {
  switch (call.sizes.type) {
    case KPAC_FLOAT16: return run_type<__half>(launcher, call);
    case KPAC_BFLOAT16: return run_type<__nv_bfloat16>(launcher, call);
    case KPAC_FLOAT32: return run_type<float>(launcher, call);
    default: return run_type<double>(launcher, call);
  }
}

}  // namespace
}  // namespace kpac::cuda

using namespace kpac::cuda;

int64_t kpac_cuda_workspace(const kpac_call* call) {
  Launcher launcher = {nullptr, nullptr, true, 0};
  run(launcher, *call);
  return launcher.bytes;
}

kpac_status kpac_cuda_run(const kpac_call* call, void* workspace, void* stream, char* error,
                          size_t error_size) {
  kpac_status status = kpac_check(call, error, error_size);
  if (status == KPAC_OK) status = kpac_check_outputs(call, error, error_size);
  if (status != KPAC_OK) return status;
  Launcher launcher = {static_cast<Stream>(stream), static_cast<char*>(workspace), false, 0};
  run(launcher, *call);
#ifndef KPAC_EMULATE
  cudaError_t launched = cudaGetLastError();
  if (launched != cudaSuccess) {
    if (error != nullptr) {
      std::snprintf(error, error_size, "CUDA: %s", cudaGetErrorString(launched));
    }
    return KPAC_CUDA_ERROR;
  }
#endif
  return KPAC_OK;
}

#ifdef KPAC_EMULATE
// The order that the emulation runs threads and blocks in.
extern "C" __attribute__((visibility("default"))) void kpac_emulate_descending(int descending) {
  emulate_descending = descending != 0;
}
#endif
