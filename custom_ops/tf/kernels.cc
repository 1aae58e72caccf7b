// The kernels of the four ops: read a call, have the core check it, allocate, run it.
#include <algorithm>
#include <optional>

#include "call.h"
#include "tensorflow/core/lib/core/threadpool.h"
#ifdef KERAS_PAC_CUDA
#include "xla/stream_executor/stream.h"
#endif

namespace keras_pac {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::thread::ThreadPool;

constexpr size_t kErrorSize = 512;

// TensorFlow's threads as the core's parallel-for. The calling thread works too, and may be none of
// the pool's.
struct Cpu {
  static constexpr const char* kName = "CPU";

  explicit Cpu(OpKernelContext* context)
      : pool(context->device()->tensorflow_cpu_worker_threads()->workers),
        parallel_for{pool, pool->NumThreads() + 1, RunParallel} {}

  static void RunParallel(void* context, int64_t count,
                          void (*part)(void* job, int64_t begin, int64_t end, int32_t worker),
                          void* job) {
    ThreadPool* pool = static_cast<ThreadPool*>(context);
    // A few blocks a thread, so that none waits long for the last one.
    const int64_t block = std::max<int64_t>(1, count / (8 * (pool->NumThreads() + 1)));
    // The constructor is deprecated, but what replaces it is newer than TensorFlow 2.18.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    const ThreadPool::SchedulingParams fixed(ThreadPool::SchedulingStrategy::kFixedBlockSize,
                                             std::nullopt, block);
#pragma GCC diagnostic pop
    pool->ParallelForWithWorkerId(
        count, fixed,
        [part, job](int64_t begin, int64_t end, int worker) { part(job, begin, end, worker); });
  }

  int64_t Workspace(const kpac_call& call) const {
    return kpac_cpu_workspace(&call, parallel_for.workers);
  }
  kpac_status Run(const kpac_call& call, void* workspace, char* error) const {
    return kpac_cpu_run(&call, workspace, &parallel_for, error, kErrorSize);
  }

  ThreadPool* pool;
  kpac_parallel_for parallel_for;
};

#ifdef KERAS_PAC_CUDA
struct Gpu {
  static constexpr const char* kName = "GPU";

  explicit Gpu(OpKernelContext* context)
      : stream(context->op_device_context()->stream()->platform_specific_handle().stream) {}

  int64_t Workspace(const kpac_call& call) const { return kpac_cuda_workspace(&call); }
  kpac_status Run(const kpac_call& call, void* workspace, char* error) const {
    return kpac_cuda_run(&call, workspace, stream, error, kErrorSize);
  }

  void* stream;
};
#endif

absl::Status ToStatus(kpac_status status, const char* error) {
  switch (status) {
    case KPAC_OK: return absl::OkStatus();
    case KPAC_INVALID: return absl::InvalidArgumentError(error);
    case KPAC_NO_MEMORY: return absl::ResourceExhaustedError(error);
    default: return absl::InternalError(error);
  }
}

template <kpac_function function, typename Device>
class PacOp : public PacOpBase {
 public:
  explicit PacOp(OpKernelConstruction* construction) : PacOpBase(construction, function) {}

  void Compute(OpKernelContext* context) override { OP_REQUIRES_OK(context, Run(context)); }

 private:
  absl::Status Run(OpKernelContext* context) const {
    kpac_call call;
    char error[kErrorSize] = "";
    TF_RETURN_IF_ERROR(ReadInputs(context, &call));
    TF_RETURN_IF_ERROR(ToStatus(kpac_check(&call, error, kErrorSize), error));
    TF_RETURN_IF_ERROR(AllocateOutputs(context, &call));
    const Device device(context);
    const int64_t bytes = device.Workspace(call);
    if (bytes < 0) return absl::ResourceExhaustedError("there is no memory to plan this with");
    Tensor workspace;
    TF_RETURN_IF_ERROR(
        context->allocate_temp(tensorflow::DT_INT8, TensorShape({bytes}), &workspace));
    return ToStatus(device.Run(call, workspace.data(), error), error);
  }
};

// Sizes are read on the host, also where the images are on a GPU.
#define REGISTER_PAC(name, function, device, T, more_sizes)      \
  REGISTER_KERNEL_BUILDER(Name("KerasPac>" name)                 \
                              .Device(device::kName)             \
                              .TypeConstraint<T>("T")            \
                              .HostMemory("output_size")         \
                              .HostMemory("padding") more_sizes, \
                          PacOp<function, device>)
#define REGISTER_ALL(device, T)                                                               \
  REGISTER_PAC("WindowedSum", KPAC_WINDOWED_SUM, device, T, );                                \
  REGISTER_PAC("WindowedSumGrad", KPAC_WINDOWED_SUM_GRADIENT, device, T, );                   \
  REGISTER_PAC("AdaptingKernel", KPAC_ADAPTING_KERNEL, device, T, .HostMemory("input_size")); \
  REGISTER_PAC("AdaptingKernelGrad", KPAC_ADAPTING_KERNEL_GRADIENT, device, T,                \
               .HostMemory("input_size"))

REGISTER_ALL(Cpu, Eigen::half);
REGISTER_ALL(Cpu, Eigen::bfloat16);
REGISTER_ALL(Cpu, float);
REGISTER_ALL(Cpu, double);
#ifdef KERAS_PAC_CUDA
REGISTER_ALL(Gpu, Eigen::half);
REGISTER_ALL(Gpu, Eigen::bfloat16);
REGISTER_ALL(Gpu, float);
#endif

}  // namespace
}  // namespace keras_pac
