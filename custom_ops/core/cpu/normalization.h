// The division of a tile's adapting kernel by its sum, or by the valid share of its window: row by
// row of each tap, so that vectors hold neighbouring outputs.
#pragma once

#include "plan.h"

namespace kpac::KPAC_ISA {

// Which taps count.
template <typename T>
struct Counted {
  const T* valid_mask;  // or NULL: all pixels of the input are valid
  int64_t height, width;
  bool normalize;

  Counted(const kpac_sizes& s, const kpac_inputs& in)
      : valid_mask(static_cast<const T*>(in.valid_mask)),
        height(s.input_size[0]),
        width(s.input_size[1]),
        normalize(s.normalize != 0) {}

  bool any() const { return normalize || valid_mask != nullptr; }

  // m_it, and whether the tap meets an input pixel at all.
  Wide<T> at(int64_t image, int64_t row, int64_t column, bool* inside) const {
    *inside = row >= 0 && row < height && column >= 0 && column < width;
    if (!*inside) return 0;
    if (valid_mask == nullptr) return 1;
    return widen(valid_mask[(image * height + row) * width + column]);
  }
};

// For each output of a tile: met[tap] = m_it; and the divisor, or 1 if normalize, where it takes k.
template <typename T>
void find_counted(const Counted<T>& counted, const Tile& tile, Wide<T>* met, Wide<T>* divisor) {
  using A = Wide<T>;
  const int64_t step = tile.columns->lattice.input_step;
  for (int64_t m = 0; m < tile.height; ++m) {
    A total[kTileColumns] = {}, in_image[kTileColumns] = {};
    A* to = met + m * tile.stride;
    for (const Tap& row_tap : tile.rows->lattice.taps) {
      for (const Tap& column_tap : tile.columns->lattice.taps) {
        const int64_t row = tile.input_row(row_tap, m), column = tile.input_column(column_tap, 0);
        int64_t first = 0, last = 0;
        if (row >= 0 && row < counted.height) {
          clip(column, step, tile.width, counted.width, &first, &last);
        }
        std::fill_n(to, tile.width, A{0});
        const int64_t at = (tile.image * counted.height + row) * counted.width + column;
        for (int64_t p = first; p < last; ++p) {
          to[p] = counted.valid_mask == nullptr ? A{1} : widen(counted.valid_mask[at + p * step]);
          total[p] += to[p];
          in_image[p] += 1;
        }
        to += tile.plane();
      }
    }
    for (int64_t p = 0; p < tile.width; ++p) {
      divisor[m * tile.stride + p] =
          counted.normalize ? A{1} : total[p] / std::max(in_image[p], A{1});
    }
  }
}

// K = m k / D in place of k, and D in `divisor`.
template <typename A>
void divide(bool normalize, const Tile& tile, const A* met, A* adapting, A* divisor) {
  for (int64_t m = 0; m < tile.height; ++m) {
    A total[kTileColumns] = {};
    const int64_t row = m * tile.stride, end = row + tile.taps() * tile.plane();
    for (int64_t at = row; at < end; at += tile.plane()) {
      for (int64_t p = 0; p < tile.width; ++p) {
        adapting[at + p] *= met[at + p];
        total[p] += adapting[at + p];
      }
    }
    A* by = divisor + row;
    if (normalize) std::copy_n(total, tile.width, by);
    for (int64_t at = row; at < end; at += tile.plane()) {
      for (int64_t p = 0; p < tile.width; ++p) {
        adapting[at + p] = by[p] == 0 ? A{0} : adapting[at + p] / by[p];
      }
    }
  }
}

// dk in place of dK, with K and D as `divide` leaves them.
template <typename A>
void divide_back(bool normalize, const Tile& tile, const A* met, const A* adapting,
                 const A* divisor, A* gradient) {
  for (int64_t m = 0; m < tile.height; ++m) {
    A common[kTileColumns] = {};
    const int64_t row = m * tile.stride, end = row + tile.taps() * tile.plane();
    for (int64_t at = row; normalize && at < end; at += tile.plane()) {
      for (int64_t p = 0; p < tile.width; ++p) common[p] += gradient[at + p] * adapting[at + p];
    }
    const A* by = divisor + row;
    for (int64_t at = row; at < end; at += tile.plane()) {
      for (int64_t p = 0; p < tile.width; ++p) {
        gradient[at + p] = by[p] == 0 ? A{0} : met[at + p] * (gradient[at + p] - common[p]) / by[p];
      }
    }
  }
}

}  // namespace kpac::KPAC_ISA
