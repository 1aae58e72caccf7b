#include "functions.cuh"

namespace kpac {
namespace cuda {
namespace {

template <typename T>
void with_tiles(Stream stream, const Sum<T>& sum, T* given, float* stored, Workspace& workspace) {
  with_width(sum.s.input_channels, [&](auto width) {
    auto body = GatherProduct<T, decltype(width)::value, kKernelGradient>::of(sum, nullptr, stored);
    int64_t pairs = output_pixels(sum.s) * taps(sum.s);
    bool direct = given == nullptr && body.column_tiles == 1;
    if (!direct) body.partial = workspace.take<float>(body.column_tiles * pairs);
    if (!workspace.measuring) run_blocks(stream, body.blocks(), body);
    const float* partial = body.partial;
    if (direct) return;
    if (given != nullptr) {
      sum_rows(stream, workspace, partial, body.column_tiles, pairs, given);
    } else {
      sum_rows(stream, workspace, partial, body.column_tiles, pairs, stored);
    }
  });
}

}  // namespace

template <typename T>
void sum_kernel_gradient(Stream stream, const Sum<T>& sum, T* given, Wide<T>* stored,
                         Workspace& workspace) {
  if (uses_tiles(sum)) {
    if constexpr (sizeof(T) <= sizeof(float)) with_tiles(stream, sum, given, stored, workspace);
    return;
  }
  if (workspace.measuring) return;
  int64_t values = sum.s.channel_wise ? sum.s.input_channels : 1;
  int64_t count = output_pixels(sum.s) * taps(sum.s) * values;
  if (given != nullptr) {
    for_each(stream, count, SimpleKernelGradient<T, T>{sum, given});
  } else {
    for_each(stream, count, SimpleKernelGradient<T, Wide<T>>{sum, stored});
  }
}

#define KPAC_INSTANCE(T) \
  template void sum_kernel_gradient<T>(Stream, const Sum<T>&, T*, Wide<T>*, Workspace&);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace cuda
}  // namespace kpac
