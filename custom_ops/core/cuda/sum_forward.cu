// The windowed sum.
#include "functions.cuh"

namespace kpac::cuda {

template <typename T, typename Out>
void sum_to(Launcher& launcher, const Sum<T>& sum, Out* y) {
  if (uses_tiles(sum)) {
    if constexpr (sizeof(T) <= sizeof(float)) {
      with_width(sum.s.output_channels, [&](auto width) {
        auto body = GatherProduct<T, decltype(width)::value, kForward, Out>::of(sum, y, nullptr);
        launcher.run_blocks(body.blocks(), body);
      });
    }
  } else {
    auto body = SimpleSum<T, Out>::of(sum, y);
    launcher.run_blocks(body.blocks(), body);
  }
}

template <typename T>
void sum_forward(Launcher& launcher, const Sum<T>& sum, T* y) {
  if (!sum.s.softmax) return sum_to(launcher, sum, y);
  int64_t pixels = output_pixels(sum.s), channels = sum.s.output_channels;
  Wide<T>* sums;
  if constexpr (std::is_same<T, Wide<T>>::value) {
    sums = y;
  } else {
    sums = launcher.take<Wide<T>>(pixels * channels);
  }
  sum_to(launcher, sum, sums);
  launcher.for_each(pixels, Softmax<T>{sums, y, channels});
}

#define KPAC_INSTANCE(T) template void sum_forward<T>(Launcher&, const Sum<T>&, T*);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace kpac::cuda
