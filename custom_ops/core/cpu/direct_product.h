// The windowed sum of a row of a tile straight from x, without a copy of its patches:
// y_p = sum_t K_pt (x_t(p) W_t). K is multiplied once for each tap, not once for each channel. With
// more than one vector of filters, registers run out and multiply_block is faster.
#pragma once

#include "matmul.h"
#include "sum_tile.h"

namespace kpac::KPAC_ISA {

// One tap of a row of outputs.
template <typename A>
struct DirectTap {
  const A* x;         // the pixel of output 0
  const A* adapting;  // K of output 0; the next output's follows
  const A* filter;    // W_t as a panel
};

// Adds to `rows` outputs; pixels are x_stride apart. Totals and the products of one tap share the
// registers that multiply_block has for two vectors.
template <typename A, int rows>
void direct_block(const DirectTap<A>* taps, int64_t count, int64_t channels, int64_t first,
                  int64_t x_stride, A* sums, int64_t sums_stride) {
  Vector<A> totals[rows];
  for (int i = 0; i < rows; ++i) totals[i] = load(sums + i * sums_stride);
  for (const DirectTap<A>* tap = taps; tap < taps + count; ++tap) {
    const A* x = tap->x + first * x_stride;
    const A* base[(rows + 2) / 3];  // as in multiply_block
    for (int i = 0; i < (rows + 2) / 3; ++i) base[i] = x + 3 * i * x_stride;
    const A* filter = tap->filter;
    Vector<A> products[rows] = {};
    for (int64_t c = 0; c < channels; ++c) {
      const Vector<A> column = load(filter);
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) products[i] += column * base[i / 3][(i % 3) * x_stride];
      for (int i = 0; i < (rows + 2) / 3; ++i) ++base[i];
      filter += kPanel<A>;
    }
    for (int i = 0; i < rows; ++i) totals[i] += products[i] * tap->adapting[first + i];
  }
  for (int i = 0; i < rows; ++i) store(sums + i * sums_stride, totals[i]);
}

template <typename A>
using DirectBlock = void (*)(const DirectTap<A>*, int64_t, int64_t, int64_t, int64_t, A*, int64_t);

// Adds the sums of outputs first ... last - 1 of a row over `count` taps.
template <typename A>
void add_direct(const DirectTap<A>* taps, int64_t count, int64_t channels, int64_t first,
                int64_t last, int64_t x_stride, A* sums, int64_t sums_stride) {
#define KPAC_ROWS(n) direct_block<A, std::min(n, kMaxRows)>
  static const DirectBlock<A> run[] = {KPAC_ROWS(1),  KPAC_ROWS(2),  KPAC_ROWS(3),  KPAC_ROWS(4),
                                       KPAC_ROWS(5),  KPAC_ROWS(6),  KPAC_ROWS(7),  KPAC_ROWS(8),
                                       KPAC_ROWS(9),  KPAC_ROWS(10), KPAC_ROWS(11), KPAC_ROWS(12),
                                       KPAC_ROWS(13), KPAC_ROWS(14)};
#undef KPAC_ROWS
  const int64_t rows = last - first, blocks = ceil_divide(rows, kMaxRows);
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t start = rows * block / blocks, stop = rows * (block + 1) / blocks;
    run[stop - start - 1](taps, count, channels, first + start, x_stride,
                          sums + (first + start) * sums_stride, sums_stride);
  }
}

// Whether this is faster than patches pixel by pixel, for a filter and the type of x.
template <typename T>
bool is_direct(const PackedFilter<Wide<T>>& filter) {
  return std::is_same<T, Wide<T>>::value && filter.filters <= kLanes<Wide<T>>;
}

// Adds the sums of row m of a tile.
template <typename A>
void add_direct_row(const Image<A>& x, const Tile& tile, const PackedFilter<A>& filter, int64_t m,
                    const A* adapting, const RowScratch<DirectTap<A>>& scratch, A* sums,
                    int64_t sums_stride) {
  int64_t count = 0, x_stride = 0;
  for (const TapBlock& block : filter.blocks[tile.phase]) {
    for_each_run(x, tile, block.first, block.last, m, [&](const TapRun& run) {
      x_stride = run.step;
      if (run.first == run.last) return;
      const A* panel =
          filter.forward + block.forward_offset + (run.tap - block.first) * x.channels * kPanel<A>;
      scratch.taps[count++] = {
          {x.pixels + run.offset, adapting + run.at, panel}, run.first, run.last};
    });
  }
  for_each_part(scratch, count, tile.width, [&](int64_t met, int64_t start, int64_t stop) {
    add_direct(scratch.met, met, x.channels, start, stop, x_stride, sums, sums_stride);
  });
}

}  // namespace kpac::KPAC_ISA
