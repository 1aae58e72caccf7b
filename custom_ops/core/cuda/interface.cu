// The kpac_cuda_* functions of keras_pac.h.
#include <cstdio>

#include "functions.cuh"

#ifdef KPAC_EMULATE
namespace kpac {
namespace cuda {
bool emulate_descending = false;
}
}  // namespace kpac
#endif

#define KPAC_EXPORT extern "C" __attribute__((visibility("default")))

namespace kpac {
namespace cuda {
namespace {

template <typename T>
Sum<T> sum_of(const kpac_sizes& s, const kpac_inputs& in, const void* upstream) {
  return {s,
          static_cast<const T*>(in.x),
          static_cast<const T*>(upstream),
          static_cast<const T*>(in.kernel),
          static_cast<const T*>(in.bias),
          {static_cast<const T*>(in.adapting_kernel), nullptr},
          features_of<T>(s, in)};
}

template <typename T>
void windowed_sum_gradient(Stream stream, const kpac_sizes& s, const kpac_inputs& in,
                           const void* upstream, const kpac_gradients& g, Workspace& workspace) {
  using W = Wide<T>;
  Sum<T> sum = sum_of<T>(s, in, upstream);
  bool from_guide = in.adapting_kernel == nullptr;
  bool to_guide = from_guide && (g.guide || g.center || g.alpha || g.exponent);
  int64_t pairs = output_pixels(s) * taps(s);
  W* kernel = nullptr;
  if (from_guide && (g.x || g.kernel || to_guide)) {
    kernel = workspace.take<W>(pairs);
    if (!workspace.measuring) store_kernel<T>(stream, s, in, kernel);
    sum.k.stored = kernel;
  }
  if (g.x && !workspace.measuring) sum_input_gradient<T>(stream, sum, static_cast<T*>(g.x));
  if (g.kernel) sum_filter_gradient<T>(stream, sum, static_cast<T*>(g.kernel), workspace);
  if (g.bias) {
    sum_rows(stream, workspace, static_cast<const T*>(upstream), output_pixels(s),
             s.output_channels, static_cast<T*>(g.bias));
  }
  if (to_guide) {
    W* dk = workspace.take<W>(pairs);
    sum_kernel_gradient<T>(stream, sum, nullptr, dk, workspace);
    // The mask and normalize belong to K that is given, so plain K goes on here.
    adapting_kernel_gradient<T>(stream, s, in, {nullptr, dk}, true, kernel, g, workspace);
  } else if (g.adapting_kernel) {
    sum_kernel_gradient<T>(stream, sum, static_cast<T*>(g.adapting_kernel), nullptr, workspace);
  }
}

// f(T()) with the storage type of `s`.
template <typename F>
void with_type(const kpac_sizes& s, F f) {
  switch (s.type) {
    case KPAC_FLOAT16: return f(__half());
    case KPAC_BFLOAT16: return f(__nv_bfloat16());
    case KPAC_FLOAT32: return f(float());
    default: return f(double());
  }
}

// One gradient function; `workspace` says whether to launch or to measure.
void gradient(kpac_function function, Stream stream, const kpac_sizes& s, const kpac_inputs& in,
              const void* upstream, const kpac_gradients& g, Workspace& workspace) {
  with_type(s, [&](auto zero) {
    using T = decltype(zero);
    if (function == KPAC_WINDOWED_SUM_GRADIENT) {
      windowed_sum_gradient<T>(stream, s, in, upstream, g, workspace);
    } else {
      adapting_kernel_gradient<T>(stream, s, in, {static_cast<const T*>(upstream), nullptr}, false,
                                  nullptr, g, workspace);
    }
  });
}

kpac_status launched(char* error, size_t error_size) {
#ifndef KPAC_EMULATE
  cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) {
    if (error != nullptr && error_size > 0) {
      std::snprintf(error, error_size, "CUDA: %s", cudaGetErrorString(status));
    }
    return KPAC_DEVICE_ERROR;
  }
#else
  (void)error, (void)error_size;
#endif
  return KPAC_OK;
}

}  // namespace
}  // namespace cuda
}  // namespace kpac

using namespace kpac::cuda;

KPAC_EXPORT int64_t kpac_cuda_workspace(kpac_function function, const kpac_sizes* sizes,
                                        const kpac_inputs* inputs,
                                        const kpac_gradients* gradients) {
  if (gradients == nullptr) return 0;
  Workspace workspace = {nullptr, true, 0};
  gradient(function, nullptr, *sizes, *inputs, nullptr, *gradients, workspace);
  return workspace.bytes;
}

KPAC_EXPORT kpac_status kpac_cuda_adapting_kernel(const kpac_sizes* sizes,
                                                  const kpac_inputs* inputs, void* kernel,
                                                  void* output_mask, void*, void* stream,
                                                  char* error, size_t error_size) {
  kpac_status status = kpac_check(KPAC_ADAPTING_KERNEL, sizes, inputs, error, error_size);
  if (status != KPAC_OK) return status;
  with_type(*sizes, [&](auto zero) {
    using T = decltype(zero);
    adapting_kernel<T>(static_cast<Stream>(stream), *sizes, *inputs, static_cast<T*>(kernel),
                       static_cast<T*>(output_mask));
  });
  return launched(error, error_size);
}

KPAC_EXPORT kpac_status kpac_cuda_windowed_sum(const kpac_sizes* sizes, const kpac_inputs* inputs,
                                               void* y, void*, void* stream, char* error,
                                               size_t error_size) {
  kpac_status status = kpac_check(KPAC_WINDOWED_SUM, sizes, inputs, error, error_size);
  if (status != KPAC_OK) return status;
  with_type(*sizes, [&](auto zero) {
    using T = decltype(zero);
    sum_forward<T>(static_cast<Stream>(stream), sum_of<T>(*sizes, *inputs, nullptr),
                   static_cast<T*>(y));
  });
  return launched(error, error_size);
}

KPAC_EXPORT kpac_status kpac_cuda_adapting_kernel_gradient(
    const kpac_sizes* sizes, const kpac_inputs* inputs, const void* upstream,
    const kpac_gradients* gradients, void* memory, void* stream, char* error, size_t error_size) {
  kpac_status status = kpac_check(KPAC_ADAPTING_KERNEL_GRADIENT, sizes, inputs, error, error_size);
  if (status != KPAC_OK) return status;
  Workspace workspace = {static_cast<char*>(memory), false, 0};
  gradient(KPAC_ADAPTING_KERNEL_GRADIENT, static_cast<Stream>(stream), *sizes, *inputs, upstream,
           *gradients, workspace);
  return launched(error, error_size);
}

KPAC_EXPORT kpac_status kpac_cuda_windowed_sum_gradient(
    const kpac_sizes* sizes, const kpac_inputs* inputs, const void* upstream,
    const kpac_gradients* gradients, void* memory, void* stream, char* error, size_t error_size) {
  kpac_status status = kpac_check(KPAC_WINDOWED_SUM_GRADIENT, sizes, inputs, error, error_size);
  if (status != KPAC_OK) return status;
  Workspace workspace = {static_cast<char*>(memory), false, 0};
  gradient(KPAC_WINDOWED_SUM_GRADIENT, static_cast<Stream>(stream), *sizes, *inputs, upstream,
           *gradients, workspace);
  return launched(error, error_size);
}

#ifdef KPAC_EMULATE
// The order that the emulation runs threads and blocks in.
KPAC_EXPORT void kpac_emulate_descending(int descending) { emulate_descending = descending != 0; }
#endif
