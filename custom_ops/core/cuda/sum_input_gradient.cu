// The gradient of the windowed sum by x.
#include "functions.cuh"

namespace kpac::cuda {

template <typename T>
void sum_input_gradient(Launcher& launcher, const Sum<T>& sum, T* x) {
  if (uses_tiles(sum)) {
    if constexpr (sizeof(T) <= sizeof(float)) {
      with_width(sum.s.input_channels, [&](auto width) {
        auto body = GatherProduct<T, decltype(width)::value, kInputGradient>::of(sum, x, nullptr);
        launcher.run_blocks(body.blocks(), body);
      });
    }
  } else {
    launcher.for_each(input_pixels(sum.s) * sum.s.input_channels, SimpleInputGradient<T>{sum, x});
  }
}

#define KPAC_INSTANCE(T) template void sum_input_gradient<T>(Launcher&, const Sum<T>&, T*);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace kpac::cuda
