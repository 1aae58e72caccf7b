// The gradient of the windowed sum by the filter.
#include "filter_product.cuh"
#include "functions.cuh"

namespace kpac::cuda {
namespace {

template <typename T>
void with_tiles(Launcher& launcher, const Sum<T>& sum, T* filter) {
  with_width(sum.s.output_channels, [&](auto width) {
    auto body = FilterProduct<T, decltype(width)::value>::of(sum);
    body.partial = launcher.take<float>(body.ranges * body.elements());
    launcher.run_blocks(body.blocks(), body);
    sum_rows<float>(launcher, body.partial, body.ranges, body.elements(), filter);
  });
}

}  // namespace

template <typename T>
void sum_filter_gradient(Launcher& launcher, const Sum<T>& sum, T* filter) {
  if (uses_tiles(sum)) {
    if constexpr (sizeof(T) <= sizeof(float)) with_tiles(launcher, sum, filter);
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
  W* partial = launcher.take<W>(chunks * elements);
  launcher.for_each(chunks * elements, SimpleFilterGradient<T>{sum, partial, length});
  sum_rows<W>(launcher, partial, chunks, elements, filter);
}

#define KPAC_INSTANCE(T) template void sum_filter_gradient<T>(Launcher&, const Sum<T>&, T*);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace kpac::cuda
