// The division of a tile's adapting kernel by its sum, or by the valid share of its window.
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
  for (int64_t m = 0; m < tile.height; ++m) {
    for (int64_t p = 0; p < tile.width; ++p) {
      const int64_t at = m * tile.stride + p;
      int64_t tap = 0, in_image = 0;
      A total = 0;
      for (const Tap& row_tap : tile.rows->lattice.taps) {
        for (const Tap& column_tap : tile.columns->lattice.taps) {
          bool inside;
          const A value = counted.at(tile.image, tile.input_row(row_tap, m),
                                     tile.input_column(column_tap, p), &inside);
          met[tap++ * tile.plane() + at] = value;
          total += value;
          in_image += inside;
        }
      }
      divisor[at] = counted.normalize ? A{1} : total / std::max<int64_t>(in_image, 1);
    }
  }
}

// K = m k / D in place of k, and D in `divisor`.
template <typename A>
void divide(bool normalize, const Tile& tile, const A* met, A* adapting, A* divisor) {
  for (int64_t m = 0; m < tile.height; ++m) {
    for (int64_t at = m * tile.stride; at < m * tile.stride + tile.width; ++at) {
      A total = 0;
      for (int64_t tap = 0; tap < tile.taps(); ++tap) {
        const int64_t i = tap * tile.plane() + at;
        adapting[i] *= met[i];
        total += adapting[i];
      }
      if (normalize) divisor[at] = total;
      for (int64_t tap = 0; tap < tile.taps(); ++tap) {
        A& value = adapting[tap * tile.plane() + at];
        value = divisor[at] == 0 ? A{0} : value / divisor[at];
      }
    }
  }
}

// dk in place of dK, with K and D as `divide` leaves them.
template <typename A>
void divide_back(bool normalize, const Tile& tile, const A* met, const A* adapting,
                 const A* divisor, A* gradient) {
  for (int64_t m = 0; m < tile.height; ++m) {
    for (int64_t at = m * tile.stride; at < m * tile.stride + tile.width; ++at) {
      A common = 0;
      for (int64_t tap = 0; normalize && tap < tile.taps(); ++tap) {
        const int64_t i = tap * tile.plane() + at;
        common += gradient[i] * adapting[i];
      }
      for (int64_t tap = 0; tap < tile.taps(); ++tap) {
        const int64_t i = tap * tile.plane() + at;
        gradient[i] = divisor[at] == 0 ? A{0} : met[i] * (gradient[i] - common) / divisor[at];
      }
    }
  }
}

}  // namespace kpac::KPAC_ISA
