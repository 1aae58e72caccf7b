#include "filter_product.cuh"
#include "functions.cuh"

namespace kpac {
namespace cuda {
namespace {

template <typename T>
void with_tiles(Stream stream, const Sum<T>& sum, T* kernel, Workspace& workspace) {
  with_width(sum.s.output_channels, [&](auto width) {
    auto body = FilterProduct<T, decltype(width)::value>::of(sum);
    body.partial = workspace.take<float>(body.ranges * body.elements());
    if (!workspace.measuring) run_blocks(stream, body.blocks(), body);
    const float* partial = body.partial;
    sum_rows(stream, workspace, partial, body.ranges, body.elements(), kernel);
  });
}

}  // namespace

template <typename T>
void sum_filter_gradient(Stream stream, const Sum<T>& sum, T* kernel, Workspace& workspace) {
  if (uses_tiles(sum)) {
    if constexpr (sizeof(T) <= sizeof(float)) with_tiles(stream, sum, kernel, workspace);
    return;
  }
  using W = Wide<T>;
  const kpac_sizes& s = sum.s;
  int64_t each = sum.full() ? s.input_channels * s.output_channels : 1;
  int64_t elements = taps(s) * each;
  // About a million sums, of 64 pixels or more.
  int64_t length = ceil_divide(output_pixels(s), ceil_divide(int64_t{1} << 20, elements));
  if (length < 64) length = 64;
  int64_t chunks = ceil_divide(output_pixels(s), length);
  W* partial = workspace.take<W>(chunks * elements);
  if (!workspace.measuring) {
    for_each(stream, chunks * elements, SimpleFilterGradient<T>{sum, partial, length});
  }
  sum_rows(stream, workspace, static_cast<const W*>(partial), chunks, elements, kernel);
}

#define KPAC_INSTANCE(T) \
  template void sum_filter_gradient<T>(Stream, const Sum<T>&, T*, Workspace&);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace cuda
}  // namespace kpac
