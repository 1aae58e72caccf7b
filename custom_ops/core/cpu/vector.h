// Vectors of the instruction set that this file is compiled for.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "types.h"

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

// `lanes` neighbours in the type that they are summed in.
template <int lanes, typename T>
inline Vector<Wide<T>, lanes> load_wide(const T* p) {
  Vector<Wide<T>, lanes> v;
  if constexpr (std::is_same<T, Wide<T>>::value) {
    std::memcpy(&v, p, sizeof(v));
    return v;
  }
  // GCC 12 converts halves one by one.
#if defined(__F16C__)
  if constexpr (std::is_same<T, _Float16>::value && lanes >= 4) {
#if defined(__AVX512F__)
    if constexpr (lanes == 16) {
      return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
#endif
    __m128i halves{};
    std::memcpy(&halves, p, lanes * sizeof(T));
    if constexpr (lanes == 8) return _mm256_cvtph_ps(halves);
    if constexpr (lanes == 4) return _mm_cvtph_ps(halves);
  }
#endif
#if defined(__AVX512F__)
  if constexpr (std::is_same<T, BFloat16>::value && lanes == 16) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
#endif
  for (int i = 0; i < lanes; ++i) v[i] = widen(p[i]);
  return v;
}

// The reverse.
template <typename T>
inline void store_narrow(T* p, Vector<Wide<T>> v) {
  if constexpr (std::is_same<T, Wide<T>>::value) {
    std::memcpy(p, &v, sizeof(v));
    return;
  }
#if defined(__AVX512F__)
  if constexpr (std::is_same<T, _Float16>::value) {
    const __m256i halves = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
    std::memcpy(p, &halves, sizeof(halves));
    return;
  }
#endif
  for (int i = 0; i < kLanes<Wide<T>>; ++i) p[i] = narrow<T>(v[i]);
}

// A vector of elements that lie `step` apart.
template <typename A>
inline Vector<A> load_apart(const A* p, int64_t step) {
  constexpr int lanes = kLanes<A>;
#if defined(__AVX2__)
  if constexpr (sizeof(A) == 4) {
    if (step < INT32_MAX / lanes) {
      const int32_t apart = static_cast<int32_t>(step);
#if defined(__AVX512F__)
      const __m512i all = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
      return _mm512_i32gather_ps(_mm512_mullo_epi32(all, _mm512_set1_epi32(apart)), p, 4);
#else
      const __m256i all = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
      return _mm256_i32gather_ps(p, _mm256_mullo_epi32(all, _mm256_set1_epi32(apart)), 4);
#endif
    }
  }
#endif
  Vector<A> v;
  for (int i = 0; i < lanes; ++i) v[i] = p[i * step];
  return v;
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

// Of two rows of a matrix, `step` apart: where their blocks of `step` columns are exchanged.
template <typename A>
struct Exchange {
  typedef std::conditional_t<sizeof(A) == 4, int32_t, int64_t> Integer;
  typedef Integer Indices __attribute__((vector_size(kVectorBytes)));
  Indices low, high;

  explicit Exchange(int step) {
    constexpr int lanes = kLanes<A>;
    for (int i = 0; i < lanes; ++i) {
      low[i] = i & step ? lanes + (i ^ step) : i;
      high[i] = i & step ? lanes + i : i ^ step;
    }
  }
};

// Makes rows columns.
template <typename A>
inline void transpose(Vector<A> (&rows)[kLanes<A>]) {
  constexpr int lanes = kLanes<A>;
#pragma GCC unroll 4
  for (int step = lanes / 2; step > 0; step /= 2) {
    const Exchange<A> exchange(step);
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      if (i & step) continue;
      const Vector<A> a = rows[i], b = rows[i + step];
      rows[i] = shuffle(a, b, exchange.low);
      rows[i + step] = shuffle(a, b, exchange.high);
    }
  }
}

// to[c][r] = from[r][c] for a matrix of any size, whose rows lie `stride` apart.
template <typename From, typename To>
inline void transpose_matrix(const From* from, int64_t from_stride, int64_t rows, int64_t columns,
                             To* to, int64_t to_stride) {
  using A = Wide<From>;
  constexpr int lanes = kLanes<A>;
  if (rows < lanes || (columns < lanes && !std::is_same<From, A>::value)) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        to[c * to_stride + r] = narrow<To>(widen(from[r * from_stride + c]));
      }
    }
    return;
  }
  for (int64_t next = 0; next < rows; next += lanes) {
    const int64_t r = next + lanes <= rows ? next : rows - lanes;  // the last ones overlap
    if constexpr (std::is_same<From, A>::value) {
      if (columns < lanes) {
        for (int64_t c = 0; c < columns; ++c) {
          const Vector<A> column = load_apart(from + r * from_stride + c, from_stride);
          store_narrow(to + c * to_stride + r, column);
        }
        continue;
      }
    }
    for (int64_t next_column = 0; next_column < columns; next_column += lanes) {
      const int64_t c = next_column + lanes <= columns ? next_column : columns - lanes;
      Vector<A> block[lanes];
#pragma GCC unroll 16
      for (int j = 0; j < lanes; ++j) block[j] = load_wide<lanes>(from + (r + j) * from_stride + c);
      transpose<A>(block);
#pragma GCC unroll 16
      for (int j = 0; j < lanes; ++j) store_narrow(to + (c + j) * to_stride + r, block[j]);
    }
  }
}

// The sum of each row, in its lane. It takes fewer steps than a sum of each alone.
template <typename A>
inline Vector<A> sum_rows(Vector<A> (&rows)[kLanes<A>]) {
#pragma GCC unroll 4
  for (int step = kLanes<A> / 2; step > 0; step /= 2) {
    const Exchange<A> exchange(step);
#pragma GCC unroll 8
    for (int i = 0; i < step; ++i) {
      const Vector<A> a = rows[i], b = rows[i + step];
      rows[i] = shuffle(a, b, exchange.low) + shuffle(a, b, exchange.high);
    }
  }
  return rows[0];
}

}  // namespace kpac::KPAC_ISA
