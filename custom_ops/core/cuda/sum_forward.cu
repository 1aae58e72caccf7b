#include "functions.cuh"

namespace kpac {
namespace cuda {

template <typename T>
void sum_forward(Stream stream, const Sum<T>& sum, T* y) {
  if (uses_tiles(sum)) {
    if constexpr (sizeof(T) <= sizeof(float)) {
      with_width(sum.s.output_channels, [&](auto width) {
        auto body = GatherProduct<T, decltype(width)::value, kForward>::of(sum, y, nullptr);
        run_blocks(stream, body.blocks(), body);
      });
    }
  } else {
    auto body = SimpleSum<T>::of(sum, y);
    run_blocks(stream, body.blocks(), body);
  }
}

#define KPAC_INSTANCE(T) template void sum_forward<T>(Stream, const Sum<T>&, T*);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace cuda
}  // namespace kpac
