// The windowed sum of one row of a tile: modulated patches, their product with the filter, and the
// gradients of both.
#pragma once

#include "matmul.h"
#include "plan.h"

namespace kpac {
namespace KPAC_ISA {

// x as a problem sees it.
template <typename T>
struct Image {
  const T* pixels;
  int64_t height, width, channels;

  // The pixel that output p of row m of a tile meets, as an offset into the pixels, or -1.
  int64_t offset(const Tile& tile, const Tap& row_tap, const Tap& column_tap, int64_t m,
                 int64_t p) const {
    const int64_t row = tile.input_row(row_tap, m), column = tile.input_column(column_tap, p);
    if (row < 0 || row >= height || column < 0 || column >= width) return -1;
    return ((tile.image * height + row) * width + column) * channels;
  }
};

// to[c] = factor * from[c].
template <typename T>
inline void scale(const T* from, Wide<T> factor, int64_t channels, Wide<T>* to) {
  for (int64_t c = 0; c < channels; ++c) to[c] = factor * widen(from[c]);
}

inline void scale(const float* from, float factor, int64_t channels, float* to) {
  int64_t c = 0;
  for (; c + kLanes<float> <= channels; c += kLanes<float>) {
    store(to + c, load(from + c) * factor);
  }
  for (; c < channels; ++c) to[c] = factor * from[c];
}

// patches[p][tap][c] = K x for the outputs of row m of a tile, 0 where a tap meets no pixel.
// `kernel` is [tap][row][column].
template <typename T>
void modulated_patches(const Image<T>& x, const Tile& tile, int64_t m, const Wide<T>* kernel,
                       Wide<T>* patches, int64_t stride) {
  for (int64_t p = 0; p < tile.width; ++p) {
    const Wide<T>* k = kernel + m * tile.stride + p;
    Wide<T>* to = patches + p * stride;
    for (const Tap& row_tap : tile.rows->lattice.taps) {
      for (const Tap& column_tap : tile.columns->lattice.taps) {
        const int64_t offset = x.offset(tile, row_tap, column_tap, m, p);
        if (offset < 0) {
          std::fill(to, to + x.channels, Wide<T>{0});
        } else {
          scale(x.pixels + offset, *k, x.channels, to);
        }
        to += x.channels;
        k += tile.plane();
      }
    }
  }
}

// For one output and tap, with `product` = W u on entry: returns <x, product>, adds k product to
// the gradient of x, and leaves k x.
template <typename A>
inline A pass_back(const A* x, A k, int64_t channels, A* x_gradient, A* product) {
  Vector<A> dots{};
  int64_t c = 0;
  for (; c + kLanes<A> <= channels; c += kLanes<A>) {
    const Vector<A> value = load(x + c), back = load<A>(product + c);
    dots += value * back;
    store(x_gradient + c, load<A>(x_gradient + c) + back * k);
    store(product + c, value * k);
  }
  A dot = channels >= kLanes<A> ? sum<A>(dots) : A{0};
  for (; c < channels; ++c) {
    const A value = x[c], back = product[c];
    dot += value * back;
    x_gradient[c] += back * k;
    product[c] = value * k;
  }
  return dot;
}

// The same for all outputs of row m of a tile and all taps. `products` is [p][tap][c], `row` and
// `dropped` hold a pixel each; x_gradient is NULL if it is not wanted.
template <typename T>
void pass_row_back(const Image<T>& x, const Tile& tile, int64_t m, const Wide<T>* kernel,
                   Wide<T>* x_gradient, Wide<T>* kernel_gradient, Wide<T>* products,
                   int64_t stride, Wide<T>* row, Wide<T>* dropped) {
  using A = Wide<T>;
  for (int64_t p = 0; p < tile.width; ++p) {
    int64_t at = m * tile.stride + p;
    A* product = products + p * stride;
    for (const Tap& row_tap : tile.rows->lattice.taps) {
      for (const Tap& column_tap : tile.columns->lattice.taps) {
        const int64_t offset = x.offset(tile, row_tap, column_tap, m, p);
        if (offset < 0) {
          std::fill(product, product + x.channels, A{0});
          kernel_gradient[at] = 0;
        } else {
          const A* pixel;
          if constexpr (std::is_same<T, A>::value) {
            pixel = x.pixels + offset;
          } else {
            scale(x.pixels + offset, A{1}, x.channels, row);
            pixel = row;
          }
          kernel_gradient[at] =
              pass_back(pixel, kernel[at], x.channels,
                        x_gradient == nullptr ? dropped : x_gradient + offset, product);
        }
        product += x.channels;
        at += tile.plane();
      }
    }
  }
}

// A full filter as the products of each phase need it.
template <typename A>
struct Filter {
  int64_t channels, filters;
  std::vector<int64_t> depth;           // of each phase: taps times channels
  std::vector<int64_t> forward_offset;  // of its (depth, filters) panels
  std::vector<int64_t> back_offset;     // of its (filters, depth) panels
  std::vector<int64_t> gradient_offset; // of its (depth, gradient_stride) gradient
  int64_t gradient_stride, forward_size = 0, back_size = 0, gradient_size = 0;
  A* forward = nullptr;
  A* back = nullptr;

  Filter(const Plan& plan, const kpac_sizes& s)
      : channels(s.input_channels),
        filters(s.output_channels),
        gradient_stride(round_up(s.output_channels, kLanes<A>)) {
    if (plan.rows.empty()) return;
    for (const auto& rows : plan.rows[0]) {
      for (const auto& columns : plan.columns) {
        depth.push_back(static_cast<int64_t>(rows.lattice.taps.size() *
                                             columns.lattice.taps.size()) *
                        channels);
        forward_offset.push_back(forward_size);
        back_offset.push_back(back_size);
        gradient_offset.push_back(gradient_size);
        forward_size += panels_size<A>(depth.back(), filters);
        back_size += panels_size<A>(filters, depth.back());
        gradient_size += depth.back() * gradient_stride;
      }
    }
  }
  int64_t largest_depth() const {
    int64_t largest = 0;
    for (int64_t d : depth) largest = std::max(largest, d);
    return largest;
  }
};

// Calls use(phase, row of the phase's filter, row of the whole filter) for every tap and channel.
template <typename Use>
void for_each_filter_row(const Plan& plan, int64_t kernel_columns, int64_t channels,
                         const Use& use) {
  int64_t phase = 0;
  for (const auto& rows : plan.rows[0]) {
    for (const auto& columns : plan.columns) {
      int64_t row = 0;
      for (const Tap& row_tap : rows.lattice.taps) {
        for (const Tap& column_tap : columns.lattice.taps) {
          const int64_t tap = row_tap.index * kernel_columns + column_tap.index;
          for (int64_t c = 0; c < channels; ++c) use(phase, row++, tap * channels + c);
        }
      }
      ++phase;
    }
  }
}

// Lays out W (T, C, O) as the panels that `filter` has memory for.
template <typename T>
void pack_filter(const Plan& plan, int64_t kernel_columns, const T* kernel,
                 const Filter<Wide<T>>& filter) {
  using A = Wide<T>;
  constexpr int64_t panel = kPanel<A>;
  if (filter.forward != nullptr) {
    std::fill(filter.forward, filter.forward + filter.forward_size, A{0});
  }
  if (filter.back != nullptr) std::fill(filter.back, filter.back + filter.back_size, A{0});
  for_each_filter_row(
      plan, kernel_columns, filter.channels, [&](int64_t phase, int64_t row, int64_t whole_row) {
        const T* from = kernel + whole_row * filter.filters;
        if (filter.forward != nullptr) {
          A* to = filter.forward + filter.forward_offset[phase] + row * panel;
          for (int64_t o = 0; o < filter.filters; ++o) {
            to[o / panel * filter.depth[phase] * panel + o % panel] = widen(from[o]);
          }
        }
        if (filter.back != nullptr) {
          A* to = filter.back + filter.back_offset[phase] +
                  row / panel * filter.filters * panel + row % panel;
          for (int64_t o = 0; o < filter.filters; ++o) to[o * panel] = widen(from[o]);
        }
      });
}

}  // namespace KPAC_ISA
}  // namespace kpac
