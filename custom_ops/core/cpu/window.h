// Between tensors of whole windows, (N, OH, OW, T, V), and the taps and planes of a tile.
#pragma once

#include <algorithm>

#include "plan.h"

namespace kpac::KPAC_ISA {

inline int64_t output_index(const kpac_sizes& s, const Tile& tile, int64_t m, int64_t p) {
  return (tile.image * s.output_size[0] + tile.output_row(m)) * s.output_size[1] +
         tile.output_column(p);
}

// The values of a row of a tile's outputs, `step` from one output to the next.
template <typename T>
struct RowOf {
  T* first;
  int64_t step;
};

// Row m in a tensor (N, OH, OW, values).
template <typename T>
RowOf<T> row_of(const kpac_sizes& s, const Tile& tile, int64_t m, int64_t values, T* tensor) {
  return {tensor + output_index(s, tile, m, 0) * values, tile.columns->lattice.step * values};
}

// Calls use(position in the tile, values of the whole window) for every output of a tile whose
// tensor has `values` values an output.
template <typename T, typename Use>
void for_each_output(const kpac_sizes& s, const Tile& tile, int64_t values, T* tensor,
                     const Use& use) {
  for (int64_t m = 0; m < tile.height; ++m) {
    for (int64_t p = 0; p < tile.width; ++p) {
      use(m * tile.stride + p, tensor + output_index(s, tile, m, p) * values);
    }
  }
}

inline int64_t window_taps(const kpac_sizes& s) { return s.kernel_size[0] * s.kernel_size[1]; }

// Calls use(tap of the tile, tap of the window).
template <typename Use>
void for_each_tap(const kpac_sizes& s, const Tile& tile, const Use& use) {
  int64_t tap = 0;
  for (const Tap& row_tap : tile.rows->lattice.taps) {
    for (const Tap& column_tap : tile.columns->lattice.taps) {
      use(tap++, row_tap.index * s.kernel_size[1] + column_tap.index);
    }
  }
}

// (N, OH, OW, T) as the planes of a tile.
template <typename T>
void load_window(const kpac_sizes& s, const Tile& tile, const T* tensor, Wide<T>* planes) {
  if (tile.taps() == window_taps(s)) {
    for (int64_t m = 0; m < tile.height; ++m) {
      const RowOf<const T> windows = row_of(s, tile, m, window_taps(s), tensor);
      transpose_matrix(windows.first, windows.step, tile.width, tile.taps(),
                       planes + m * tile.stride, tile.plane());
    }
    return;
  }
  for_each_output(s, tile, window_taps(s), tensor, [&](int64_t at, const T* values) {
    for_each_tap(s, tile, [&](int64_t tap, int64_t window_tap) {
      planes[tap * tile.plane() + at] = widen(values[window_tap]);
    });
  });
}

// The reverse; 0 for the taps that are not the tile's.
template <typename T>
void store_window(const kpac_sizes& s, const Tile& tile, const Wide<T>* planes, T* tensor) {
  const int64_t taps = window_taps(s);
  if (tile.taps() == taps) {
    for (int64_t m = 0; m < tile.height; ++m) {
      const RowOf<T> windows = row_of(s, tile, m, taps, tensor);
      transpose_matrix(planes + m * tile.stride, tile.plane(), taps, tile.width, windows.first,
                       windows.step);
    }
    return;
  }
  for_each_output(s, tile, taps, tensor, [&](int64_t at, T* values) {
    std::fill(values, values + taps, narrow<T>(0));
    for_each_tap(s, tile, [&](int64_t tap, int64_t window_tap) {
      values[window_tap] = narrow<T>(planes[tap * tile.plane() + at]);
    });
  });
}

}  // namespace kpac::KPAC_ISA
