// What the .cu files of this folder offer each other, for T = float, double, half and bfloat16.
// While `workspace.measuring` nothing is launched.
#pragma once

#include "gather_product.cuh"
#include "reduce.cuh"

namespace kpac {
namespace cuda {

// K and, where there is a valid_mask, output_mask.
template <typename T>
void adapting_kernel(Stream stream, const kpac_sizes& s, const kpac_inputs& in, T* kernel,
                     T* output_mask);

// K_it = k_it to the workspace: (P, T).
template <typename T>
void store_kernel(Stream stream, const kpac_sizes& s, const kpac_inputs& in, Wide<T>* kernel);

// From dK (`upstream`) on to guide, center, alpha and exponent. `in_place`: K (P, T) is in the
// workspace, where store_kernel left it, and so is dK, which is overwritten.
template <typename T>
void adapting_kernel_gradient(Stream stream, const kpac_sizes& s, const kpac_inputs& in,
                              Values<T> upstream, bool in_place, const Wide<T>* kernel,
                              const kpac_gradients& gradients, Workspace& workspace);

// y; and the gradients of x, K (to `given`, or to `stored` if that is NULL) and the filter.
template <typename T>
void sum_forward(Stream stream, const Sum<T>& sum, T* y);
template <typename T>
void sum_input_gradient(Stream stream, const Sum<T>& sum, T* x);
template <typename T>
void sum_kernel_gradient(Stream stream, const Sum<T>& sum, T* given, Wide<T>* stored,
                         Workspace& workspace);
template <typename T>
void sum_filter_gradient(Stream stream, const Sum<T>& sum, T* kernel, Workspace& workspace);

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

#define KPAC_FOR_TILE_TYPES(M) M(float) M(__half) M(__nv_bfloat16)
#define KPAC_FOR_TYPES(M) KPAC_FOR_TILE_TYPES(M) M(double)

}  // namespace cuda
}  // namespace kpac
