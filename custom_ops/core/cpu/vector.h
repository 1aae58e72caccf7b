// Vectors of the instruction set that this file is compiled for, and the exponential.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace kpac::KPAC_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename A>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(A));

template <typename A, int lanes = kLanes<A>>
struct VectorOf {
  typedef A type __attribute__((vector_size(lanes * sizeof(A))));
};
template <typename A, int lanes = kLanes<A>>
using Vector = typename VectorOf<A, lanes>::type;

template <typename A>
inline Vector<A> load(const A* p) {
  Vector<A> v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

template <typename A>
inline void store(A* p, Vector<A> v) {
  std::memcpy(p, &v, sizeof(v));
}

template <typename A>
inline A sum(Vector<A> v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(A) == 4) {
    return _mm512_reduce_add_ps(v);
  } else {
    return _mm512_reduce_add_pd(v);
  }
#else
  A total = v[0];
  for (int i = 1; i < kLanes<A>; ++i) total += v[i];
  return total;
#endif
}

template <typename A>
inline A max(Vector<A> v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(A) == 4) {
    return _mm512_reduce_max_ps(v);
  } else {
    return _mm512_reduce_max_pd(v);
  }
#else
  A largest = v[0];
  for (int i = 1; i < kLanes<A>; ++i) largest = v[i] > largest ? v[i] : largest;
  return largest;
#endif
}

// The lane i of the result is lane indices[i] of a, or lane indices[i] - lanes of b.
template <typename V, typename Indices>
inline V shuffle(V a, V b, Indices indices) {
#if defined(__clang__)
  constexpr int lanes = sizeof(a) / sizeof(a[0]);
  V chosen;
  for (int i = 0; i < lanes; ++i) {
    chosen[i] = indices[i] < lanes ? a[indices[i]] : b[indices[i] - lanes];
  }
  return chosen;
#else
  return __builtin_shuffle(a, b, indices);
#endif
}

// Makes rows columns.
template <typename A>
inline void transpose(Vector<A> (&rows)[kLanes<A>]) {
  typedef std::conditional_t<sizeof(A) == 4, int32_t, int64_t> Integer;
  typedef Integer Indices __attribute__((vector_size(kVectorBytes)));
  constexpr int lanes = kLanes<A>;
#pragma GCC unroll 4
  for (int step = lanes / 2; step > 0; step /= 2) {
    Indices low, high;
    for (int i = 0; i < lanes; ++i) {
      low[i] = i & step ? lanes + (i ^ step) : i;
      high[i] = i & step ? lanes + i : i ^ step;
    }
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      if (i & step) continue;
      const Vector<A> a = rows[i], b = rows[i + step];
      rows[i] = shuffle(a, b, low);
      rows[i + step] = shuffle(a, b, high);
    }
  }
}

// exp(x) for x <= 0, to about 2 units in the last place; 0 where it is no normal number.
inline Vector<float> exp_nonpositive(Vector<float> x) {
  typedef int32_t Integers __attribute__((vector_size(kVectorBytes)));
  constexpr float kLog2e = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const Vector<float> safe = x < -87.0f ? Vector<float>{} - 87.0f : x;
  const Vector<float> shifted = safe * kLog2e + kRound;
  const Vector<float> n = shifted - kRound;
  const Vector<float> r = safe - n * kLn2High - n * kLn2Low;
  Vector<float> y = r * (1.0f / 5040) + 1.0f / 720;
  y = y * r + 1.0f / 120;
  y = y * r + 1.0f / 24;
  y = y * r + 1.0f / 6;
  y = y * r + 0.5f;
  y = y * r + 1.0f;
  y = y * r + 1.0f;
  Integers bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits + (127 - 0x4B400000)) << 23;
  Vector<float> power;
  std::memcpy(&power, &bits, sizeof(bits));
  y = y * power;
  return x < -87.0f ? Vector<float>{} : y;
}

inline Vector<double> exp_nonpositive(Vector<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = std::exp(x[i]);
  return x;
}

}  // namespace kpac::KPAC_ISA
