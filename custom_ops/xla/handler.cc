// The core as a handler of XLA's foreign function interface, for JAX and for TensorFlow's XLA.
//
// Its operands are the inputs that are there, and its results the outputs that are wanted, each in
// the order of kpac_inputs and kpac_outputs. Attributes:
//   function   kpac_function
//   sizes      the numbers of kpac_sizes, in their order; -1 for the batch of the first operand
//   inputs     which inputs are operands: bit k for the field k
//   outputs    which outputs are results, likewise
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "../core/keras_pac.h"
#include "../core/shared_work.h"
#include "xla/ffi/api/ffi.h"

namespace keras_pac {
namespace {

namespace ffi = xla::ffi;

constexpr size_t kErrorSize = 512;
constexpr int kFields = 10;  // of kpac_inputs, and of kpac_outputs
// The fields of alpha; those of exponent follow.
constexpr int kAlpha = 5, kAlphaGradient = 6;
static_assert(sizeof(kpac_inputs) == kFields * sizeof(void*));
static_assert(sizeof(kpac_outputs) == kFields * sizeof(void*));
static_assert(offsetof(kpac_inputs, alpha) == kAlpha * sizeof(void*));
static_assert(offsetof(kpac_outputs, alpha) == kAlphaGradient * sizeof(void*));

// A buffer without elements may have no address, and NULL tells the core that there is no tensor.
double no_elements;

ffi::Error Invalid(const std::string& text) {
  return ffi::Error(ffi::ErrorCode::kInvalidArgument, text);
}

ffi::Error ReadSizes(ffi::Span<const int64_t> numbers, kpac_sizes* s) {
  constexpr size_t kWide = offsetof(kpac_sizes, type) / sizeof(int64_t);
  constexpr size_t kAll = kWide + (sizeof(*s) - offsetof(kpac_sizes, type)) / sizeof(int32_t);
  if (numbers.size() != kAll) {
    return Invalid("sizes must have " + std::to_string(kAll) +
                   " numbers. Received: " + std::to_string(numbers.size()));
  }
  for (size_t i = kWide; i < kAll; ++i) {
    if (numbers[i] != static_cast<int32_t>(numbers[i])) {
      return Invalid("the last of sizes must be numbers of 32 bits. Received: " +
                     std::to_string(numbers[i]));
    }
  }
  std::copy(numbers.begin(), numbers.begin() + kWide, reinterpret_cast<int64_t*>(s));
  std::copy(numbers.begin() + kWide, numbers.end(), &s->type);
  return ffi::Error::Success();
}

ffi::DataType TypeOf(const kpac_sizes& s, bool scalar) {
  switch (s.type) {
    case KPAC_FLOAT64: return ffi::DataType::F64;
    case KPAC_FLOAT32: return ffi::DataType::F32;
    case KPAC_FLOAT16: return scalar ? ffi::DataType::F32 : ffi::DataType::F16;
    default: return scalar ? ffi::DataType::F32 : ffi::DataType::BF16;
  }
}

ffi::Error ToError(kpac_status status, const char* text) {
  switch (status) {
    case KPAC_OK: return ffi::Error::Success();
    case KPAC_INVALID: return Invalid(text);
    case KPAC_NO_MEMORY: return ffi::Error(ffi::ErrorCode::kResourceExhausted, text);
    default: return ffi::Error::Internal(text);
  }
}

ffi::Error NoMemory() {
  return ffi::Error(ffi::ErrorCode::kResourceExhausted, "there is no memory for this");
}

// Marks which of the fields are there.
template <typename Buffers>
ffi::Error ReadPresence(const Buffers& buffers, int64_t there, void** pointers) {
  if (there >> kFields != 0) {
    return Invalid("there are " + std::to_string(kFields) +
                   " fields. Received: " + std::to_string(there));
  }
  size_t count = 0;
  for (int field = 0; field < kFields; ++field) {
    if ((there >> field & 1) == 0) continue;
    pointers[field] = &no_elements;
    ++count;
  }
  if (buffers.size() != count) {
    return Invalid("there must be " + std::to_string(count) +
                   " buffers. Received: " + std::to_string(buffers.size()));
  }
  return ffi::Error::Success();
}

// Puts the addresses of the buffers into their fields, after kpac_check.
template <typename Get>
ffi::Error ReadAddresses(Get get, const kpac_sizes& s, const int64_t* elements, int first_scalar,
                         void** pointers) {
  size_t index = 0;
  for (int field = 0; field < kFields; ++field) {
    if (pointers[field] == nullptr) continue;
    const ffi::AnyBuffer buffer = get(index++);
    const bool scalar = field == first_scalar || field == first_scalar + 1;
    if (buffer.element_type() != TypeOf(s, scalar)) {
      return Invalid("buffer " + std::to_string(index - 1) + " has another type than `sizes` says");
    }
    if (static_cast<int64_t>(buffer.element_count()) != elements[field]) {
      return Invalid("buffer " + std::to_string(index - 1) + " must have " +
                     std::to_string(elements[field]) +
                     " elements. Received: " + std::to_string(buffer.element_count()));
    }
    if (elements[field] > 0) pointers[field] = buffer.untyped_data();
  }
  return ffi::Error::Success();
}

struct Arguments {
  ffi::RemainingArgs operands;
  ffi::RemainingRets results;
  int32_t function;
  ffi::Span<const int64_t> sizes;
  int64_t inputs, outputs;
};

// Makes the call of the core that the arguments describe, and checks it.
ffi::Error Read(const Arguments& a, kpac_call* call) {
  const auto failed = [](const ffi::Error& error) { return error.failure(); };
  call->function = a.function;
  if (ffi::Error error = ReadSizes(a.sizes, &call->sizes); failed(error)) return error;
  void** const read = const_cast<void**>(reinterpret_cast<const void**>(&call->inputs));
  void** const written = reinterpret_cast<void**>(&call->outputs);
  const auto operand = [&](size_t i) { return *a.operands.get<ffi::AnyBuffer>(i); };
  const auto result = [&](size_t i) { return **a.results.get<ffi::AnyBuffer>(i); };
  if (ffi::Error error = ReadPresence(a.operands, a.inputs, read); failed(error)) return error;
  if (ffi::Error error = ReadPresence(a.results, a.outputs, written); failed(error)) return error;
  if (call->sizes.batch == -1 && a.operands.size() > 0 && operand(0).dimensions().size() > 0) {
    call->sizes.batch = operand(0).dimensions()[0];
  }
  char text[kErrorSize] = "";
  if (ffi::Error error = ToError(kpac_check(call, text, kErrorSize), text); failed(error)) {
    return error;
  }
  int64_t input_elements[kFields], output_elements[kFields];
  kpac_elements(call, input_elements, output_elements);
  if (ffi::Error error = ReadAddresses(operand, call->sizes, input_elements, kAlpha, read);
      failed(error)) {
    return error;
  }
  return ReadAddresses(result, call->sizes, output_elements, kAlphaGradient, written);
}

int64_t ThreadsOf(const ffi::ThreadPool& pool) {
  return std::max<int64_t>(1, pool.num_threads());  // 0 where XLA has no threads
}

void RunParallel(void* context, int64_t count, SharedWork::Part part, void* job) {
  auto* pool = static_cast<ffi::ThreadPool*>(context);
  const auto work = std::make_shared<SharedWork>(count, ThreadsOf(*pool), part, job);
  const int64_t helpers = std::min(ThreadsOf(*pool), work->blocks()) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool->Schedule([work] { work->Work(); });
  work->Work();
  work->Wait();
}

ffi::Error RunOnCpu(ffi::ThreadPool pool, ffi::RemainingArgs operands, ffi::RemainingRets results,
                    int32_t function, ffi::Span<const int64_t> sizes, int64_t inputs,
                    int64_t outputs) {
  kpac_call call = {};
  ffi::Error error = Read({operands, results, function, sizes, inputs, outputs}, &call);
  if (error.failure()) return error;
  const kpac_parallel_for parallel_for = {&pool, static_cast<int32_t>(ThreadsOf(pool)),
                                          RunParallel};
  const int64_t bytes = kpac_cpu_workspace(&call, parallel_for.workers);
  // Not by ScratchAllocator, which gives nothing on a CPU.
  const std::unique_ptr<void, decltype(&std::free)> workspace(
      bytes < 0 ? nullptr : std::malloc(std::max<int64_t>(bytes, 1)), std::free);
  if (workspace == nullptr) return NoMemory();
  char text[kErrorSize] = "";
  return ToError(kpac_cpu_run(&call, workspace.get(), &parallel_for, text, kErrorSize), text);
}

#ifdef KERAS_PAC_CUDA
ffi::Error RunOnCuda(void* stream, ffi::ScratchAllocator scratch, ffi::RemainingArgs operands,
                     ffi::RemainingRets results, int32_t function, ffi::Span<const int64_t> sizes,
                     int64_t inputs, int64_t outputs) {
  kpac_call call = {};
  ffi::Error error = Read({operands, results, function, sizes, inputs, outputs}, &call);
  if (error.failure()) return error;
  const int64_t bytes = kpac_cuda_workspace(&call);
  const std::optional<void*> workspace = scratch.Allocate(std::max<int64_t>(bytes, 1));
  if (!workspace.has_value()) return NoMemory();
  char text[kErrorSize] = "";
  return ToError(kpac_cuda_run(&call, *workspace, stream, text, kErrorSize), text);
}
#endif

// What the handlers of all platforms take.
template <typename Binding>
auto WithArguments(Binding binding) {
  return std::move(binding)
      .RemainingArgs()
      .RemainingRets()
      .template Attr<int32_t>("function")
      .template Attr<ffi::Span<const int64_t>>("sizes")
      .template Attr<int64_t>("inputs")
      .template Attr<int64_t>("outputs");
}

}  // namespace
}  // namespace keras_pac

#pragma GCC visibility push(default)

// The handler for the platform "Host"; JAX takes its address.
extern "C" XLA_FFI_Error* kpac_xla_cpu(XLA_FFI_CallFrame* frame) {
  namespace ffi = xla::ffi;
  static const auto handler = keras_pac::WithArguments(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>())
                                  .To(keras_pac::RunOnCpu)
                                  .release();
  return handler->Call(frame);
}

#ifdef KERAS_PAC_CUDA
// The same for the platform "CUDA".
extern "C" XLA_FFI_Error* kpac_xla_cuda(XLA_FFI_CallFrame* frame) {
  namespace ffi = xla::ffi;
  static const auto handler =
      keras_pac::WithArguments(
          ffi::Ffi::Bind().Ctx<ffi::PlatformStream<void*>>().Ctx<ffi::ScratchAllocator>())
          .To(keras_pac::RunOnCuda)
          .release();
  return handler->Call(frame);
}
#endif

// Registers the handler by the interface that TensorFlow has of its own; 0 if it took it.
extern "C" int kpac_xla_register(const XLA_FFI_Api* api, const char* name) {
  XLA_FFI_Error* error = xla::ffi::Ffi::RegisterStaticHandler(api, name, "Host", kpac_xla_cpu);
  if (error == nullptr) return 0;
  xla::ffi::internal::DestroyError(api, error);
  return 1;
}

#pragma GCC visibility pop
