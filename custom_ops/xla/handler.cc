// The core as a handler of XLA's foreign function interface, for JAX and for TensorFlow's XLA.
//
// Its operands are the inputs that are there, and its results the outputs that are wanted, each in
// the order of kpac_inputs and kpac_outputs. Attributes:
//   function   kpac_function
//   sizes      the numbers of kpac_sizes, in their order; -1 for the batch of the first operand
//   inputs     which inputs are operands: bit k for the field k
//   outputs    which outputs are results, likewise
//
// All buffers may have the same number of axes before their own, as `jax.vmap` puts them there. The
// call is made for each place along these axes; buffers of length 1 on an axis stay the same there.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "../core/keras_pac.h"
#include "../core/shared_work.h"
#include "xla/ffi/api/ffi.h"

namespace keras_pac {
namespace {

namespace ffi = xla::ffi;

constexpr size_t kErrorSize = 512;
constexpr int kFields = 10;  // of kpac_inputs, and of kpac_outputs
constexpr size_t kRank = 4;  // of the first operand: x, or the guide
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

// The axes before those of the tensors, and one place along them.
struct Repeats {
  std::vector<int64_t> lengths;
  int64_t place = 0;

  int64_t Count() const { return Product(lengths.data()); }

  // Where the buffer that belongs to this place starts, counted in buffers; -1 if axes don't fit.
  int64_t IndexIn(ffi::Span<const int64_t> dimensions) const {
    int64_t index = 0, stride = 1, rest = place;
    for (size_t axis = lengths.size(); axis-- > 0;) {
      const int64_t length = dimensions[axis];
      if (length != 1 && length != lengths[axis]) return -1;
      if (length != 1) index += rest % length * stride;
      rest /= lengths[axis];
      stride *= length;
    }
    return index;
  }

  int64_t Product(const int64_t* numbers) const {
    return std::accumulate(numbers, numbers + lengths.size(), int64_t{1}, std::multiplies<>());
  }
};

// Puts the addresses of the buffers into their fields, after kpac_check.
template <typename Get>
ffi::Error ReadAddresses(Get get, const kpac_sizes& s, const int64_t* elements, int first_scalar,
                         const Repeats& repeats, void** pointers) {
  size_t index = 0;
  for (int field = 0; field < kFields; ++field) {
    if (pointers[field] == nullptr) continue;
    const ffi::AnyBuffer buffer = get(index++);
    const bool scalar = field == first_scalar || field == first_scalar + 1;
    const std::string name = "buffer " + std::to_string(index - 1);
    if (buffer.element_type() != TypeOf(s, scalar)) {
      return Invalid(name + " has another type than `sizes` says");
    }
    const bool has_axes = buffer.dimensions().size() >= repeats.lengths.size();
    const int64_t place = has_axes ? repeats.IndexIn(buffer.dimensions()) : -1;
    if (place < 0) return Invalid(name + " has not the axes before its own that the others have");
    const int64_t expected = elements[field] * repeats.Product(buffer.dimensions().begin());
    if (static_cast<int64_t>(buffer.element_count()) != expected) {
      return Invalid(name + " must have " + std::to_string(expected) +
                     " elements. Received: " + std::to_string(buffer.element_count()));
    }
    if (expected == 0) continue;
    const size_t bytes = place * elements[field] * ffi::ByteWidth(buffer.element_type());
    pointers[field] = static_cast<char*>(buffer.untyped_data()) + bytes;
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

// Makes the call of the core that the arguments describe for a place, and checks it.
ffi::Error Read(const Arguments& a, Repeats* repeats, kpac_call* call) {
  const auto failed = [](const ffi::Error& error) { return error.failure(); };
  call->function = a.function;
  if (ffi::Error error = ReadSizes(a.sizes, &call->sizes); failed(error)) return error;
  void** const read = const_cast<void**>(reinterpret_cast<const void**>(&call->inputs));
  void** const written = reinterpret_cast<void**>(&call->outputs);
  const auto operand = [&](size_t i) { return *a.operands.get<ffi::AnyBuffer>(i); };
  const auto result = [&](size_t i) { return **a.results.get<ffi::AnyBuffer>(i); };
  if (ffi::Error error = ReadPresence(a.operands, a.inputs, read); failed(error)) return error;
  if (ffi::Error error = ReadPresence(a.results, a.outputs, written); failed(error)) return error;
  const size_t rank = a.operands.size() > 0 ? operand(0).dimensions().size() : 0;
  const size_t before = rank > kRank ? rank - kRank : 0;
  if (call->sizes.batch == -1 && rank > before) {
    call->sizes.batch = operand(0).dimensions()[before];
  }
  char text[kErrorSize] = "";
  if (ffi::Error error = ToError(kpac_check(call, text, kErrorSize), text); failed(error)) {
    return error;
  }
  if (result(0).dimensions().size() < before) return Invalid("result 0 has too few axes");
  const int64_t* const lengths = result(0).dimensions().begin();
  repeats->lengths.assign(lengths, lengths + before);
  int64_t input_elements[kFields], output_elements[kFields];
  kpac_elements(call, input_elements, output_elements);
  if (ffi::Error error =
          ReadAddresses(operand, call->sizes, input_elements, kAlpha, *repeats, read);
      failed(error)) {
    return error;
  }
  return ReadAddresses(result, call->sizes, output_elements, kAlphaGradient, *repeats, written);
}

// Runs the call for every place. `allocate` gives memory for the workspace, or NULL.
template <typename Allocate, typename Run>
ffi::Error RunEach(const Arguments& arguments, Allocate allocate, Run run) {
  kpac_call call = {};
  Repeats repeats;
  ffi::Error error = Read(arguments, &repeats, &call);
  if (error.failure()) return error;
  void* const workspace = allocate(call);
  if (workspace == nullptr) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "there is no memory for this");
  }
  for (; repeats.place < repeats.Count(); ++repeats.place) {
    call = {};
    error = Read(arguments, &repeats, &call);
    if (error.failure()) return error;
    char text[kErrorSize] = "";
    error = ToError(run(call, workspace, text), text);
    if (error.failure()) return error;
  }
  return ffi::Error::Success();
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
  const kpac_parallel_for parallel_for = {&pool, static_cast<int32_t>(ThreadsOf(pool)),
                                          RunParallel};
  // Not of a ScratchAllocator, which gives nothing on a CPU.
  std::unique_ptr<void, decltype(&std::free)> memory(nullptr, std::free);
  return RunEach(
      {operands, results, function, sizes, inputs, outputs},
      [&](const kpac_call& call) {
        const int64_t bytes = kpac_cpu_workspace(&call, parallel_for.workers);
        memory.reset(bytes < 0 ? nullptr : std::malloc(std::max<int64_t>(bytes, 1)));
        return memory.get();
      },
      [&](const kpac_call& call, void* workspace, char* text) {
        return kpac_cpu_run(&call, workspace, &parallel_for, text, kErrorSize);
      });
}

#ifdef KERAS_PAC_CUDA
ffi::Error RunOnCuda(void* stream, ffi::ScratchAllocator scratch, ffi::RemainingArgs operands,
                     ffi::RemainingRets results, int32_t function, ffi::Span<const int64_t> sizes,
                     int64_t inputs, int64_t outputs) {
  return RunEach(
      {operands, results, function, sizes, inputs, outputs},
      [&](const kpac_call& call) {
        const int64_t bytes = std::max<int64_t>(kpac_cuda_workspace(&call), 1);
        return scratch.Allocate(bytes).value_or(nullptr);
      },
      [&](const kpac_call& call, void* workspace, char* text) {
        return kpac_cuda_run(&call, workspace, stream, text, kErrorSize);
      });
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
