// A picture of more than 2^31 pixels, most of which are never touched.
//
// x and the guide are address space without memory behind it, but for the few pixels that a window
// with large strides and a large dilation meets. A 32-bit index anywhere would read another place.
// Prints the largest difference and the peak of memory; fails where the difference is too large.
#include <sys/mman.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "buffer.h"
#include "keras_pac.h"
#include "reference.h"

namespace {

using fuzz::Buffer;
using fuzz::from_float16;
using fuzz::to_float16;

double pseudo_random(int64_t i) { return std::sin(12.9898 * static_cast<double>(i % 100003) + 1); }

uint16_t* reserve(int64_t elements) {
  void* memory = mmap(nullptr, elements * 2, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("mmap");
    std::exit(3);
  }
  madvise(memory, elements * 2, MADV_NOHUGEPAGE);
  return static_cast<uint16_t*>(memory);
}

void run_serially(void*, int64_t count, void (*part)(void*, int64_t, int64_t, int32_t), void* job) {
  if (count > 0) part(job, 0, count, 0);
}

Buffer random_buffer(int32_t type, int64_t count) {
  std::vector<double> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = pseudo_random(7 * i + count);
  return Buffer(type, values);
}

void run(const kpac_call& call) {
  const kpac_parallel_for serial{nullptr, 1, run_serially};
  char error[300] = "";
  kpac_status status = kpac_check(&call, error, sizeof error);
  if (status == KPAC_OK) {
    const Buffer workspace(KPAC_FLOAT16, kpac_cpu_workspace(&call, 1) / 2 + 1);
    status = kpac_cpu_run(&call, workspace.data(), &serial, error, sizeof error);
  }
  if (status == KPAC_OK) return;
  std::printf("%s\n", error);
  std::exit(1);
}

double largest_difference = 0;

void compare(const char* name, double got, double expected) {
  const double difference = std::abs(got - expected) / std::max(std::abs(expected), 0.1);
  largest_difference = std::max(largest_difference, difference);
  if (difference <= 0.02) return;
  std::printf("%s is %g, must be %g\n", name, got, expected);
  std::exit(1);
}

// Windows at the corners of a picture: two by two outputs, strides and dilation of thousands.
kpac_sizes corner_sizes(int64_t batch, int64_t rows, int64_t columns) {
  kpac_sizes s{};
  s.batch = batch;
  s.input_channels = s.guide_channels = s.output_channels = 1;
  const int64_t size[2] = {rows, columns};
  for (int axis = 0; axis < 2; ++axis) {
    s.input_size[axis] = s.guide_size[axis] = size[axis];
    s.output_size[axis] = s.kernel_size[axis] = s.strides[axis] = s.dilation[axis] = 1;
    s.input_dilation[axis] = 1;
    if (size[axis] == 1) continue;
    s.output_size[axis] = 2;
    s.kernel_size[axis] = 3;
    s.dilation[axis] = size[axis] / 20;
    s.strides[axis] = size[axis] - 1 - 2 * s.dilation[axis];
  }
  s.type = KPAC_FLOAT16;
  s.kernel_type = KPAC_INVERSE;
  return s;
}

double similarity(uint16_t neighbour, uint16_t center) {
  const double d = from_float16(neighbour) - from_float16(center);
  return 0.5 + std::pow(d * d + reference::kEpsilon, -0.25);
}

// Of one channel, where a full and a shared filter are the same, as is a channel-wise K.
void try_corners(kpac_filter_type filter_type, int64_t batch, int64_t rows, int64_t columns) {
  kpac_call call{};
  kpac_sizes& s = call.sizes = corner_sizes(batch, rows, columns);
  s.filter_type = filter_type;
  const int64_t pixels = batch * rows * columns, taps = reference::taps(s);
  const int64_t outputs = reference::pixels(s, s.output_size);
  uint16_t* const x = reserve(pixels);
  uint16_t* const guide = reserve(pixels);
  reference::for_each_meeting(s, [&](const reference::Meeting& at) {
    x[at.input] = to_float16(pseudo_random(at.input));
    guide[at.guide] = to_float16(pseudo_random(at.guide + 1));
  });
  const Buffer alpha(KPAC_FLOAT32, std::vector<double>{0.5});
  const Buffer exponent(KPAC_FLOAT32, std::vector<double>{-0.5});
  const Buffer filter = random_buffer(KPAC_FLOAT16, taps), bias = random_buffer(KPAC_FLOAT16, 1);
  const Buffer upstream = random_buffer(KPAC_FLOAT16, outputs);

  std::vector<double> y(outputs, bias.get(0)), filter_gradient(taps);
  double alpha_gradient = 0;
  reference::for_each_meeting(s, [&](const reference::Meeting& at) {
    const double k = similarity(guide[at.guide], guide[at.center]);
    const double x_value = from_float16(x[at.input]), u = upstream.get(at.pixel);
    y[at.pixel] += k * x_value * filter.get(at.tap);
    filter_gradient[at.tap] += k * x_value * u;
    alpha_gradient += x_value * filter.get(at.tap) * u;
  });

  const Buffer result(KPAC_FLOAT16, outputs);
  call.function = KPAC_WINDOWED_SUM;
  call.inputs = {x,           nullptr,      guide,           nullptr,
                 nullptr,     alpha.data(), exponent.data(), filter.data(),
                 bias.data(), nullptr};
  call.outputs.y = result.data();
  run(call);
  for (int64_t i = 0; i < outputs; ++i) compare("y", result.get(i), y[i]);

  // The gradients as large as the picture are not wanted: they would fill memory.
  const Buffer dalpha(KPAC_FLOAT32, 1), dfilter(KPAC_FLOAT16, taps);
  call.function = KPAC_WINDOWED_SUM_GRADIENT;
  call.inputs.upstream = upstream.data();
  call.outputs = {};
  call.outputs.alpha = dalpha.data();
  call.outputs.filter = dfilter.data();
  run(call);
  for (int64_t t = 0; t < taps; ++t)
    compare("gradient of filter", dfilter.get(t), filter_gradient[t]);
  compare("gradient of alpha", dalpha.get(0), alpha_gradient);

  const Buffer adapting(KPAC_FLOAT16, taps * outputs);
  call.function = KPAC_ADAPTING_KERNEL;
  s.channel_wise = filter_type == KPAC_SHARED;
  call.inputs.x = call.inputs.filter = call.inputs.bias = nullptr;
  call.outputs = {};
  call.outputs.adapting_kernel = adapting.data();
  run(call);
  reference::for_each_meeting(s, [&](const reference::Meeting& at) {
    compare("K", adapting.get(at.pixel * taps + at.tap),
            similarity(guide[at.guide], guide[at.center]));
  });
  munmap(x, pixels * 2);
  munmap(guide, pixels * 2);
}

}  // namespace

// KiB. (What getrusage reports includes the process that started this one, before it did.)
long peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stol(line.substr(6));
  }
  return 0;
}

int main() {
  for (kpac_filter_type type : {KPAC_FULL, KPAC_SHARED}) {
    try_corners(type, 1, 70000, 40000);
    try_corners(type, 3, 40000, 30000);   // each image has an index that fits, the batch has not
    try_corners(type, 1, 3000000000, 1);  // one axis alone
    try_corners(type, 1, 1, 3000000000);
  }
  const long peak = peak_memory();
  std::printf("largest relative difference %.1e, peak memory %ld MiB; %s instructions\n",
              largest_difference, peak / 1024, kpac_cpu_instructions());
  return peak < 1024 * 1024 ? 0 : 1;
}
