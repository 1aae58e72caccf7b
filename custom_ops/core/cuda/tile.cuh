// Products of two tiles in shared memory: c (128, N) += a (128, depth) b (depth, N) by 4 N threads.
//
// float32 uses plain multiply-adds, 8 rows by 4 columns a thread (TensorFloat-32 would lose 13
// bits). float16 and bfloat16 use tensor cores and accumulate in float32. On the host, the first
// thread of each warp does what the warp's tensor cores would.
//
// Operands come in quads along the axis that is contiguous in memory: `ByRow` says that a's quads
// run along its rows' axis (four rows of one depth), `ByColumn` that b's run along its columns.
#pragma once

#include "types.cuh"

#ifdef __CUDACC__
#include <mma.h>
#endif

namespace kpac::cuda {

#ifdef __CUDA_ARCH__
template <bool Columnwise>
struct Order {
  using type = nvcuda::wmma::row_major;
};
template <>
struct Order<true> {
  using type = nvcuda::wmma::col_major;
};
#endif

template <typename T, int N, bool ByRow, bool ByColumn>
struct FmaTile {
  static constexpr int kRows = 128, kColumns = N, kThreads = 4 * N, kDepth = 16;
  // Padding that keeps quads aligned and spreads them over the banks.
  static constexpr int kA = kRows + 4, kB = N + 4, kC = N + 4;

  struct Operands {
    alignas(32) T a[kDepth * kA];  // (depth, rows)
    alignas(32) T b[kDepth * kB];  // (depth, columns)
  };
  struct Accumulator {
    T value[8][4];
  };

  static KPAC_HD void put_a(Operands& operands, int row, int depth, const Quad<T>& quad) {
    if (ByRow) {
      *reinterpret_cast<Quad<T>*>(operands.a + depth * kA + row) = quad;
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) operands.a[(depth + e) * kA + row] = quad.value[e];
    }
  }
  static KPAC_HD void put_b(Operands& operands, int depth, int column, const Quad<T>& quad) {
    if (ByColumn) {
      *reinterpret_cast<Quad<T>*>(operands.b + depth * kB + column) = quad;
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) operands.b[(depth + e) * kB + column] = quad.value[e];
    }
  }

  static KPAC_HD void clear(int, Accumulator& acc) {
#pragma unroll
    for (int r = 0; r < 8; ++r) {
#pragma unroll
      for (int c = 0; c < 4; ++c) acc.value[r][c] = 0;
    }
  }
  static KPAC_HD int first_row(int thread) { return thread / (N / 4) * 8; }
  static KPAC_HD int first_column(int thread) { return thread % (N / 4) * 4; }

  static KPAC_HD void multiply(int thread, const Operands& operands, Accumulator& acc) {
    const T* a = operands.a + first_row(thread);
    const T* b = operands.b + first_column(thread);
#pragma unroll
    for (int depth = 0; depth < kDepth; ++depth, a += kA, b += kB) {
      Quad<T> upper = *reinterpret_cast<const Quad<T>*>(a);
      Quad<T> lower = *reinterpret_cast<const Quad<T>*>(a + 4);
      Quad<T> right = *reinterpret_cast<const Quad<T>*>(b);
#pragma unroll
      for (int r = 0; r < 4; ++r) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          acc.value[r][c] += upper.value[r] * right.value[c];
          acc.value[r + 4][c] += lower.value[r] * right.value[c];
        }
      }
    }
  }

  // The accumulated tile to c (128, kC).
  static KPAC_HD void spill(int thread, const Accumulator& acc, T* c) {
#pragma unroll
    for (int r = 0; r < 8; ++r) {
      Quad<T> quad;
#pragma unroll
      for (int e = 0; e < 4; ++e) quad.value[e] = acc.value[r][e];
      *reinterpret_cast<Quad<T>*>(c + (first_row(thread) + r) * kC + first_column(thread)) = quad;
    }
  }
};

template <typename T, int N, bool ByRow, bool ByColumn>
struct TensorTile {
  static constexpr int kRows = 128, kColumns = N, kThreads = 4 * N, kDepth = 32;
  // Rows of 16 bytes more than their content: fragments stay aligned to 32 bytes.
  static constexpr int kA = (ByRow ? kRows : kDepth) + 8, kB = (ByColumn ? N : kDepth) + 8;
  static constexpr int kC = N + 4;
  // Each of the N / 8 warps has 4 fragments of 16 by 16.
  static constexpr int kDown = 64 / N, kAcross = N / 16, kWarpRows = 16 * kDown;

  struct Operands {
    alignas(32) T a[(ByRow ? kDepth : kRows) * kA];
    alignas(32) T b[(ByColumn ? kDepth : N) * kB];
  };
  struct Accumulator {
#ifdef __CUDA_ARCH__
    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> part[kDown][kAcross];
#else
    float value[kWarpRows][N];
#endif
  };

  static KPAC_HD int a_at(int row, int depth) {
    return ByRow ? depth * kA + row : row * kA + depth;
  }
  static KPAC_HD int b_at(int depth, int column) {
    return ByColumn ? depth * kB + column : column * kB + depth;
  }
  static KPAC_HD void put_a(Operands& operands, int row, int depth, const Quad<T>& quad) {
    *reinterpret_cast<Quad<T>*>(operands.a + a_at(row, depth)) = quad;
  }
  static KPAC_HD void put_b(Operands& operands, int depth, int column, const Quad<T>& quad) {
    *reinterpret_cast<Quad<T>*>(operands.b + b_at(depth, column)) = quad;
  }

#ifdef __CUDA_ARCH__
  static KPAC_HD void clear(int, Accumulator& acc) {
#pragma unroll
    for (int d = 0; d < kDown; ++d) {
#pragma unroll
      for (int c = 0; c < kAcross; ++c) nvcuda::wmma::fill_fragment(acc.part[d][c], 0.0f);
    }
  }

  static KPAC_HD void multiply(int thread, const Operands& operands, Accumulator& acc) {
    namespace wmma = nvcuda::wmma;
    using ALayout = typename Order<ByRow>::type;
    using BLayout = typename Order<!ByColumn>::type;
    int first_row = thread / 32 * kWarpRows;
#pragma unroll
    for (int depth = 0; depth < kDepth; depth += 16) {
      wmma::fragment<wmma::matrix_b, 16, 16, 16, T, BLayout> b[kAcross];
#pragma unroll
      for (int c = 0; c < kAcross; ++c) {
        wmma::load_matrix_sync(b[c], operands.b + b_at(depth, 16 * c), kB);
      }
#pragma unroll
      for (int d = 0; d < kDown; ++d) {
        wmma::fragment<wmma::matrix_a, 16, 16, 16, T, ALayout> a;
        wmma::load_matrix_sync(a, operands.a + a_at(first_row + 16 * d, depth), kA);
#pragma unroll
        for (int c = 0; c < kAcross; ++c) {
          wmma::mma_sync(acc.part[d][c], a, b[c], acc.part[d][c]);
        }
      }
    }
  }

  static KPAC_HD void spill(int thread, const Accumulator& acc, float* c) {
    float* corner = c + thread / 32 * kWarpRows * kC;
#pragma unroll
    for (int d = 0; d < kDown; ++d) {
#pragma unroll
      for (int k = 0; k < kAcross; ++k) {
        nvcuda::wmma::store_matrix_sync(corner + 16 * d * kC + 16 * k, acc.part[d][k], kC,
                                        nvcuda::wmma::mem_row_major);
      }
    }
  }
#else
  static KPAC_HD void clear(int thread, Accumulator& acc) {
    if (thread % 32 != 0) return;
    for (auto& row : acc.value) {
      for (float& value : row) value = 0;
    }
  }
  static KPAC_HD void multiply(int thread, const Operands& operands, Accumulator& acc) {
    if (thread % 32 != 0) return;
    for (int r = 0; r < kWarpRows; ++r) {
      for (int depth = 0; depth < kDepth; ++depth) {
        float a = widen(operands.a[a_at(thread / 32 * kWarpRows + r, depth)]);
        for (int c = 0; a != 0 && c < N; ++c) {
          acc.value[r][c] += a * widen(operands.b[b_at(depth, c)]);
        }
      }
    }
  }
  static KPAC_HD void spill(int thread, const Accumulator& acc, float* c) {
    if (thread % 32 != 0) return;
    for (int r = 0; r < kWarpRows; ++r) {
      for (int k = 0; k < N; ++k) c[(thread / 32 * kWarpRows + r) * kC + k] = acc.value[r][k];
    }
  }
#endif
};

template <typename T, int N, bool ByRow, bool ByColumn>
struct TileOf {
  using type = TensorTile<T, N, ByRow, ByColumn>;
};
template <int N, bool ByRow, bool ByColumn>
struct TileOf<float, N, ByRow, ByColumn> {
  using type = FmaTile<float, N, ByRow, ByColumn>;
};

}  // namespace kpac::cuda
