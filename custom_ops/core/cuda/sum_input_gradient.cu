#include "functions.cuh"

namespace kpac {
namespace cuda {

template <typename T>
void sum_input_gradient(Stream stream, const Sum<T>& sum, T* x) {
  if (uses_tiles(sum)) {
    if constexpr (sizeof(T) <= sizeof(float)) {
      with_width(sum.s.input_channels, [&](auto width) {
        auto body = GatherProduct<T, decltype(width)::value, kInputGradient>::of(sum, x, nullptr);
        run_blocks(stream, body.blocks(), body);
      });
    }
  } else {
    for_each(stream, input_pixels(sum.s) * sum.s.input_channels, SimpleInputGradient<T>{sum, x});
  }
}

#define KPAC_INSTANCE(T) template void sum_input_gradient<T>(Stream, const Sum<T>&, T*);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace cuda
}  // namespace kpac
