// C (+)= A B for the small matrices of one tile, in registers.
#pragma once

#include <algorithm>

#include "lattice.h"
#include "vector.h"

namespace kpac::KPAC_ISA {

// Rows of C held in registers: with two vectors of columns they fill the register file.
#if defined(__AVX512F__)
constexpr int kMaxRows = 14;
#else
constexpr int kMaxRows = 6;
#endif
// Rows of B that stay in the first cache while all rows of A pass.
constexpr int64_t kDepth = 256;

// Columns of one panel of B.
template <typename A>
constexpr int64_t kPanel = 2 * kLanes<A>;

// How A is stored: a(i, k) = a[i * stride + k] or a[i + k * stride].
enum class Order { kByRow, kByColumn };

template <typename A, Order order, int rows, int vectors>
void multiply_block(int64_t depth, const A* a, int64_t a_stride, const A* b, int64_t b_stride, A* c,
                    int64_t c_stride, bool accumulate) {
  constexpr int lanes = kLanes<A>;
  Vector<A> sums[rows][vectors];
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      sums[i][v] = accumulate ? load(c + i * c_stride + v * lanes) : Vector<A>{};
    }
  }
  // Three rows of A share a pointer: more pointers than registers would be needed otherwise.
  const A* base[(rows + 2) / 3];
  for (int i = 0; i < (rows + 2) / 3; ++i) base[i] = a + 3 * i * a_stride;
  for (int64_t k = 0; k < depth; ++k) {
    Vector<A> columns[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) columns[v] = load(b + v * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const A value = order == Order::kByRow ? base[i / 3][(i % 3) * a_stride] : a[i];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sums[i][v] += columns[v] * value;
    }
    if (order == Order::kByRow) {
      for (int i = 0; i < (rows + 2) / 3; ++i) ++base[i];
    } else {
      a += a_stride;
    }
    b += b_stride;
  }
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) store(c + i * c_stride + v * lanes, sums[i][v]);
  }
}

template <typename A>
using Block = void (*)(int64_t, const A*, int64_t, const A*, int64_t, A*, int64_t, bool);

template <typename A, Order order, int vectors>
Block<A> block_of(int64_t rows) {
#define KPAC_ROWS(n) multiply_block<A, order, std::min(n, kMaxRows), vectors>
  static const Block<A> blocks[] = {KPAC_ROWS(1),  KPAC_ROWS(2),  KPAC_ROWS(3),  KPAC_ROWS(4),
                                    KPAC_ROWS(5),  KPAC_ROWS(6),  KPAC_ROWS(7),  KPAC_ROWS(8),
                                    KPAC_ROWS(9),  KPAC_ROWS(10), KPAC_ROWS(11), KPAC_ROWS(12),
                                    KPAC_ROWS(13), KPAC_ROWS(14)};
#undef KPAC_ROWS
  return blocks[rows - 1];
}

// A (rows, depth), B (depth, columns), C (rows, columns). Panel p of B, its columns from
// p * kPanel on, starts at b + p * panel_stride and has rows b_stride apart. B's and C's rows are
// read and written up to a multiple of the vector length.
template <Order order, typename A>
void multiply(int64_t rows, int64_t columns, int64_t depth, const A* a, int64_t a_stride,
              const A* b, int64_t b_stride, int64_t panel_stride, A* c, int64_t c_stride,
              bool accumulate) {
  const int64_t blocks = ceil_divide(rows, kMaxRows);
  for (int64_t column = 0; column < columns; column += kPanel<A>) {
    const bool narrow = columns - column <= kLanes<A>;
    const A* panel = b + column / kPanel<A> * panel_stride;
    for (int64_t k = 0; k < depth; k += kDepth) {
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t first = rows * block / blocks, count = rows * (block + 1) / blocks - first;
        const auto run = narrow ? block_of<A, order, 1>(count) : block_of<A, order, 2>(count);
        const A* from =
            order == Order::kByRow ? a + first * a_stride + k : a + first + k * a_stride;
        run(std::min(kDepth, depth - k), from, a_stride, panel + k * b_stride, b_stride,
            c + first * c_stride + column, c_stride, accumulate || k > 0);
      }
    }
  }
}

// The size of a (depth, columns) matrix as panels, each (depth, kPanel) and dense.
template <typename A>
int64_t panels_size(int64_t depth, int64_t columns) {
  return round_up(columns, kPanel<A>) * depth;
}

}  // namespace kpac::KPAC_ISA
