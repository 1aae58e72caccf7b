// What the .cu files of this folder offer each other, for T = float, double, half and bfloat16.
#pragma once

#include "gather_product.cuh"
#include "reduce.cuh"

namespace kpac::cuda {

// K and, where there is a valid_mask, output_mask.
template <typename T>
void adapting_kernel(Launcher& launcher, const kpac_call& call);

// K_it = k_it to the workspace: (P, T).
template <typename T>
void store_similarity(Launcher& launcher, const kpac_call& call, Wide<T>* similarity);

// From dK (`upstream`) on to guide, center, alpha and exponent. ds goes to `distance` in the
// workspace, (P, T, V), where dK may be, too. `similarity`: what store_similarity left, or NULL.
template <typename T>
void adapting_kernel_gradient(Launcher& launcher, const kpac_call& call, Values<T> upstream,
                              Wide<T>* distance, const Wide<T>* similarity);

// y; and the gradients of x, K (to `given`, or to `stored` if that is NULL) and the filter.
template <typename T>
void sum_forward(Launcher& launcher, const Sum<T>& sum, T* y);
template <typename T>
void sum_input_gradient(Launcher& launcher, const Sum<T>& sum, T* x);
template <typename T>
void sum_adapting_gradient(Launcher& launcher, const Sum<T>& sum, T* given, Wide<T>* stored);
template <typename T>
void sum_filter_gradient(Launcher& launcher, const Sum<T>& sum, T* filter);

// Full filters go through tiles, but for float64, which has none.
template <typename T>
bool uses_tiles(const Sum<T>& sum) {
  return sum.full() && sizeof(Wide<T>) == sizeof(float);
}

// f(number) with the width of the tiles, N = 16, 32 or 64, as a type.
template <int N>
struct Width {
  static constexpr int value = N;
};
template <typename F>
void with_width(int64_t columns, F f) {
  if (columns <= 16) {
    f(Width<16>());
  } else if (columns <= 32) {
    f(Width<32>());
  } else {
    f(Width<64>());
  }
}

#define KPAC_FOR_TYPES(M) M(float) M(__half) M(__nv_bfloat16) M(double)

}  // namespace kpac::cuda
