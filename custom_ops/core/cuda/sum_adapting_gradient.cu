// The gradient of the windowed sum by K.
#include "functions.cuh"

namespace kpac::cuda {
namespace {

template <typename T>
void with_tiles(Launcher& launcher, const Sum<T>& sum, T* given, float* stored) {
  with_width(sum.s.input_channels, [&](auto width) {
    using Product = GatherProduct<T, decltype(width)::value, kAdaptingGradient>;
    auto body = Product::of(sum, nullptr, stored);
    int64_t pairs = output_pixels(sum.s) * taps(sum.s);
    bool direct = given == nullptr && body.column_tiles == 1;
    if (!direct) body.partial = launcher.take<float>(body.column_tiles * pairs);
    launcher.run_blocks(body.blocks(), body);
    if (direct) return;
    if (given != nullptr) {
      sum_rows<float>(launcher, body.partial, body.column_tiles, pairs, given);
    } else {
      sum_rows<float>(launcher, body.partial, body.column_tiles, pairs, stored);
    }
  });
}

}  // namespace

template <typename T>
void sum_adapting_gradient(Launcher& launcher, const Sum<T>& sum, T* given, Wide<T>* stored) {
  if (uses_tiles(sum)) {
    if constexpr (sizeof(T) <= sizeof(float)) with_tiles(launcher, sum, given, stored);
    return;
  }
  int64_t values = sum.s.channel_wise ? sum.s.input_channels : 1;
  int64_t count = output_pixels(sum.s) * taps(sum.s) * values;
  if (given != nullptr) {
    launcher.for_each(count, SimpleAdaptingGradient<T, T>{sum, given});
  } else {
    launcher.for_each(count, SimpleAdaptingGradient<T, Wide<T>>{sum, stored});
  }
}

#define KPAC_INSTANCE(T) \
  template void sum_adapting_gradient<T>(Launcher&, const Sum<T>&, T*, Wide<T>*);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace kpac::cuda
