// Storage types, the wider type that everything is computed in, and reads of four at a time.
//
// All bodies in this folder are __host__ __device__, so that an emulation (launch.cuh) can run them
// on a CPU.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>

#include "../keras_pac.h"

#ifdef __CUDACC__
#define KPAC_HD __host__ __device__ __forceinline__
#else
#define KPAC_HD inline
#endif

namespace kpac::cuda {

template <typename T>
struct WideOf {
  using type = float;
};
template <>
struct WideOf<double> {
  using type = double;
};
// float; double for double
template <typename T>
using Wide = typename WideOf<T>::type;

KPAC_HD float widen(float value) { return value; }
KPAC_HD double widen(double value) { return value; }
KPAC_HD float widen(__half value) { return __half2float(value); }
KPAC_HD float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename T>
KPAC_HD T narrow(Wide<T> value) {
  return value;
}
template <>
KPAC_HD __half narrow<__half>(float value) {
  return __float2half(value);
}
template <>
KPAC_HD __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
  return __float2bfloat16(value);
}

template <typename T>
struct alignas(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) Quad {
  T value[4];
};

// Elements first ... first + 3 of a row of `count` at `row`; 0 past its end. `aligned` promises
// that count is a multiple of 4 and row is aligned to a Quad.
template <typename T>
KPAC_HD Quad<T> load_quad(const T* row, int64_t first, int64_t count, bool aligned) {
  Quad<T> quad;
  if (aligned && first < count) {
    quad = *reinterpret_cast<const Quad<T>*>(row + first);
  } else {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      quad.value[e] = first + e < count ? row[first + e] : narrow<T>(0);
    }
  }
  return quad;
}

// Whether rows of `count` elements from `pointer` on satisfy the promise of load_quad.
template <typename T>
inline bool quads_aligned(const T* pointer, int64_t count) {
  return count % 4 == 0 && reinterpret_cast<uintptr_t>(pointer) % alignof(Quad<T>) == 0;
}

template <typename V>
KPAC_HD V max0(V value) {
  return value > 0 ? value : 0;
}

// Division of non-negative numbers: 64-bit, but fast where 32 bits suffice (a GPU has no 64-bit
// division).
KPAC_HD int64_t divide(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) {
    return static_cast<int64_t>(static_cast<uint32_t>(a) / static_cast<uint32_t>(b));
  }
  return a / b;
}
KPAC_HD int64_t ceil_divide(int64_t a, int64_t b) { return divide(a + b - 1, b); }

}  // namespace kpac::cuda
