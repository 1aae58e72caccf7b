// The kernels of the four ops: read the arguments, have the core check them, allocate, call it.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "arguments.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/lib/core/threadpool.h"
#ifdef KERAS_PAC_CUDA
#include "xla/stream_executor/stream.h"
#endif

namespace keras_pac {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::thread::ThreadPool;

enum Device { kCpu, kCuda };

constexpr size_t kErrorSize = 512;

absl::Status ToStatus(kpac_status status, const char* error) {
  switch (status) {
    case KPAC_OK: return absl::OkStatus();
    case KPAC_INVALID: return absl::InvalidArgumentError(error);
    default: return absl::InternalError(error);
  }
}

// What a call writes; `gradients` for the gradient functions, else `outputs`.
struct Results {
  void* outputs[2] = {};
  kpac_gradients gradients = {};
};

// TensorFlow's threads as the core's parallel-for.
class Threads {
 public:
  explicit Threads(OpKernelContext* context)
      : pool_(context->device()->tensorflow_cpu_worker_threads()->workers) {
    // The calling thread works too, and may be none of the pool's.
    parallel_for_ = {this, pool_->NumThreads() + 1, &Threads::Run};
  }

  const kpac_parallel_for* get() const { return &parallel_for_; }

 private:
  static void Run(void* context, int64_t count,
                  void (*part)(void* job, int64_t begin, int64_t end, int32_t worker), void* job) {
    ThreadPool* pool = static_cast<Threads*>(context)->pool_;
    // A few blocks a thread, so that none waits long for the last one.
    const int64_t block = std::max<int64_t>(1, count / (8 * (pool->NumThreads() + 1)));
    pool->ParallelForWithWorkerId(
        count, ThreadPool::SchedulingParams::Fixed(block),
        [part, job](int64_t begin, int64_t end, int worker) { part(job, begin, end, worker); });
  }

  ThreadPool* pool_;
  kpac_parallel_for parallel_for_;
};

kpac_status RunCpu(OpKernelContext* context, kpac_function function, const Arguments& arguments,
                   const Results& results, void* workspace, char* error) {
  Threads threads(context);
  const kpac_sizes* sizes = &arguments.sizes;
  const kpac_inputs* inputs = &arguments.inputs;
  switch (function) {
    case KPAC_ADAPTING_KERNEL:
      return kpac_cpu_adapting_kernel(sizes, inputs, results.outputs[0], results.outputs[1],
                                      workspace, threads.get(), error, kErrorSize);
    case KPAC_ADAPTING_KERNEL_GRADIENT:
      return kpac_cpu_adapting_kernel_gradient(sizes, inputs, arguments.upstream,
                                               &results.gradients, workspace, threads.get(), error,
                                               kErrorSize);
    case KPAC_WINDOWED_SUM:
      return kpac_cpu_windowed_sum(sizes, inputs, results.outputs[0], workspace, threads.get(),
                                   error, kErrorSize);
    default:
      return kpac_cpu_windowed_sum_gradient(sizes, inputs, arguments.upstream, &results.gradients,
                                            workspace, threads.get(), error, kErrorSize);
  }
}

#ifdef KERAS_PAC_CUDA
kpac_status RunCuda(OpKernelContext* context, kpac_function function, const Arguments& arguments,
                    const Results& results, void* workspace, char* error) {
  void* stream = context->op_device_context()->stream()->platform_specific_handle().stream;
  const kpac_sizes* sizes = &arguments.sizes;
  const kpac_inputs* inputs = &arguments.inputs;
  switch (function) {
    case KPAC_ADAPTING_KERNEL:
      return kpac_cuda_adapting_kernel(sizes, inputs, results.outputs[0], results.outputs[1],
                                       workspace, stream, error, kErrorSize);
    case KPAC_ADAPTING_KERNEL_GRADIENT:
      return kpac_cuda_adapting_kernel_gradient(sizes, inputs, arguments.upstream,
                                                &results.gradients, workspace, stream, error,
                                                kErrorSize);
    case KPAC_WINDOWED_SUM:
      return kpac_cuda_windowed_sum(sizes, inputs, results.outputs[0], workspace, stream, error,
                                    kErrorSize);
    default:
      return kpac_cuda_windowed_sum_gradient(sizes, inputs, arguments.upstream, &results.gradients,
                                             workspace, stream, error, kErrorSize);
  }
}
#endif

absl::Status Allocate(OpKernelContext* context, const char* name, const TensorShape& shape,
                      void** data) {
  Tensor* tensor;
  TF_RETURN_IF_ERROR(context->allocate_output(name, shape, &tensor));
  // The core takes NULL for what isn't wanted, and TensorFlow gives no memory to no elements.
  static double empty;
  *data = tensor->NumElements() > 0 ? tensor->data() : Absent(shape) ? nullptr : &empty;
  return absl::OkStatus();
}

// Outputs of their own shape, or the gradients, each of the shape of its input.
absl::Status AllocateResults(OpKernelContext* context, kpac_function function,
                             const Arguments& arguments, Results* results) {
  const kpac_sizes& sizes = arguments.sizes;
  if (function == KPAC_WINDOWED_SUM) {
    return Allocate(context, "y", arguments.output, &results->outputs[0]);
  }
  if (function == KPAC_ADAPTING_KERNEL) {
    TF_RETURN_IF_ERROR(
        Allocate(context, "adapting_kernel", arguments.adapting_kernel, &results->outputs[0]));
    TensorShape mask({0});
    if (arguments.inputs.valid_mask != nullptr) {
      TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape(
          {sizes.batch, sizes.output_size[0], sizes.output_size[1], 1}, &mask));
    }
    return Allocate(context, "output_mask", mask, &results->outputs[1]);
  }
  kpac_gradients& gradients = results->gradients;
  std::vector<std::pair<const char*, void**>> wanted = {{"guide", &gradients.guide},
                                                        {"center", &gradients.center},
                                                        {"alpha", &gradients.alpha},
                                                        {"exponent", &gradients.exponent}};
  if (function == KPAC_WINDOWED_SUM_GRADIENT) {
    wanted.insert(wanted.end(), {{"x", &gradients.x},
                                 {"adapting_kernel", &gradients.adapting_kernel},
                                 {"kernel", &gradients.kernel},
                                 {"bias", &gradients.bias}});
  }
  for (const auto& [name, data] : wanted) {
    const Tensor* input;
    TF_RETURN_IF_ERROR(context->input(name, &input));
    TF_RETURN_IF_ERROR(
        Allocate(context, absl::StrCat(name, "_gradient").c_str(), input->shape(), data));
  }
  return absl::OkStatus();
}

template <kpac_function function, Device device>
class PacOp : public OpKernel {
 public:
  explicit PacOp(OpKernelConstruction* construction) : OpKernel(construction) {
    OP_REQUIRES_OK(construction, ReadOptions(construction, function, &options_));
  }

  void Compute(OpKernelContext* context) override { OP_REQUIRES_OK(context, Call(context)); }

 private:
  absl::Status Call(OpKernelContext* context) const {
    constexpr bool gradient =
        function == KPAC_ADAPTING_KERNEL_GRADIENT || function == KPAC_WINDOWED_SUM_GRADIENT;
    Arguments arguments;
    TF_RETURN_IF_ERROR(ReadArguments(context, function, options_, &arguments));
    char error[kErrorSize] = "";
    TF_RETURN_IF_ERROR(ToStatus(
        kpac_check(function, &arguments.sizes, &arguments.inputs, error, kErrorSize), error));
    Results results;
    TF_RETURN_IF_ERROR(AllocateResults(context, function, arguments, &results));
    const kpac_gradients* gradients = gradient ? &results.gradients : nullptr;
    int64_t bytes = 0;
    if constexpr (device == kCpu) {
      const int workers =
          context->device()->tensorflow_cpu_worker_threads()->workers->NumThreads() + 1;
      bytes = kpac_cpu_workspace(function, &arguments.sizes, &arguments.inputs, gradients, workers);
    }
#ifdef KERAS_PAC_CUDA
    if constexpr (device == kCuda) {
      bytes = kpac_cuda_workspace(function, &arguments.sizes, &arguments.inputs, gradients);
    }
#endif
    if (bytes < 0) {
      return absl::ResourceExhaustedError("there is no memory to plan a windowed sum with");
    }
    Tensor workspace;
    if (bytes > 0) {
      TensorShape shape;
      TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape({bytes}, &shape));
      TF_RETURN_IF_ERROR(context->allocate_temp(tensorflow::DT_INT8, shape, &workspace));
    }
    void* memory = bytes > 0 ? workspace.data() : nullptr;
    if constexpr (device == kCpu) {
      return ToStatus(RunCpu(context, function, arguments, results, memory, error), error);
    }
#ifdef KERAS_PAC_CUDA
    if constexpr (device == kCuda) {
      return ToStatus(RunCuda(context, function, arguments, results, memory, error), error);
    }
#endif
  }

  Options options_;
};

// Sizes are read on the host, also where the images are on a GPU.
#define REGISTER_PAC(name, function, device_name, device, T) \
  REGISTER_KERNEL_BUILDER(Name("KerasPac>" name)             \
                              .Device(device_name)           \
                              .TypeConstraint<T>("T")        \
                              .HostMemory("output_size")     \
                              .HostMemory("padding"),        \
                          PacOp<function, device>)
#define REGISTER_PAC_WITH_INPUT_SIZE(name, function, device_name, device, T) \
  REGISTER_KERNEL_BUILDER(Name("KerasPac>" name)                             \
                              .Device(device_name)                           \
                              .TypeConstraint<T>("T")                        \
                              .HostMemory("input_size")                      \
                              .HostMemory("output_size")                     \
                              .HostMemory("padding"),                        \
                          PacOp<function, device>)
#define REGISTER_ALL(device_name, device, T)                                                     \
  REGISTER_PAC("WindowedSum", KPAC_WINDOWED_SUM, device_name, device, T);                        \
  REGISTER_PAC("WindowedSumGrad", KPAC_WINDOWED_SUM_GRADIENT, device_name, device, T);           \
  REGISTER_PAC_WITH_INPUT_SIZE("AdaptingKernel", KPAC_ADAPTING_KERNEL, device_name, device, T);  \
  REGISTER_PAC_WITH_INPUT_SIZE("AdaptingKernelGrad", KPAC_ADAPTING_KERNEL_GRADIENT, device_name, \
                               device, T)

REGISTER_ALL("CPU", kCpu, Eigen::half);
REGISTER_ALL("CPU", kCpu, Eigen::bfloat16);
REGISTER_ALL("CPU", kCpu, float);
REGISTER_ALL("CPU", kCpu, double);
#ifdef KERAS_PAC_CUDA
REGISTER_ALL("GPU", kCuda, Eigen::half);
REGISTER_ALL("GPU", kCuda, Eigen::bfloat16);
REGISTER_ALL("GPU", kCuda, float);
#endif

}  // namespace
}  // namespace keras_pac
