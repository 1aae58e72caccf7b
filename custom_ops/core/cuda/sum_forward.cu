// The windowed sum.
#include "functions.cuh"

namespace kpac::cuda {

template <typename T>
void sum_forward(Launcher& launcher, const Sum<T>& sum, T* y) {
  if (uses_tiles(sum)) {
    if constexpr (sizeof(T) <= sizeof(float)) {
      with_width(sum.s.output_channels, [&](auto width) {
        auto body = GatherProduct<T, decltype(width)::value, kForward>::of(sum, y, nullptr);
        launcher.run_blocks(body.blocks(), body);
      });
    }
  } else {
    auto body = SimpleSum<T>::of(sum, y);
    launcher.run_blocks(body.blocks(), body);
  }
}

#define KPAC_INSTANCE(T) template void sum_forward<T>(Launcher&, const Sum<T>&, T*);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace kpac::cuda
