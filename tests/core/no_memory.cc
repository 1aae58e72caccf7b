// What the core answers where there is no memory for its plan: a name of its own, and no crash.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "keras_pac.h"

namespace {
bool no_memory = false;
}

void* operator new(size_t size) {
  void* memory = no_memory ? nullptr : std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

int main() {
  const float x[4] = {}, adapting_kernel[4] = {};
  float y[4];
  kpac_call call{};
  call.function = KPAC_WINDOWED_SUM;
  kpac_sizes& s = call.sizes;
  s.batch = s.input_channels = s.output_channels = 1;
  s.type = KPAC_FLOAT32;
  for (int axis = 0; axis < 2; ++axis) {
    s.input_size[axis] = s.output_size[axis] = 2;
    s.kernel_size[axis] = s.strides[axis] = s.input_dilation[axis] = s.dilation[axis] = 1;
  }
  call.inputs.x = x;
  call.inputs.adapting_kernel = adapting_kernel;
  call.outputs.y = y;
  const kpac_parallel_for serial{
      nullptr, 1,
      [](void*, int64_t count, void (*part)(void*, int64_t, int64_t, int32_t), void* job) {
        part(job, 0, count, 0);
      }};
  char error[100] = "";
  const int64_t bytes = kpac_cpu_workspace(&call, 1);
  void* const workspace = std::malloc(static_cast<size_t>(bytes));
  const bool runs = kpac_cpu_run(&call, workspace, &serial, error, sizeof error) == KPAC_OK;
  no_memory = true;
  const int64_t counted = kpac_cpu_workspace(&call, 1);
  const kpac_status status = kpac_cpu_run(&call, workspace, &serial, error, sizeof error);
  std::printf("%lld bytes, then %lld and status %d: %s; %s instructions\n",
              static_cast<long long>(bytes), static_cast<long long>(counted), status, error,
              kpac_cpu_instructions());
  std::free(workspace);
  return runs && counted == -1 && status == KPAC_NO_MEMORY && std::strstr(error, "memory") ? 0 : 1;
}
