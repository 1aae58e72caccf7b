// The windowed sum of one row of a tile: patches of x times K, and the way back from them.
#pragma once

#include "guide_tile.h"
#include "packed_filter.h"
#include "window.h"

namespace kpac::KPAC_ISA {

// x of a problem.
template <typename T>
struct Image {
  const T* pixels;
  int64_t height, width, channels;

  Image(const kpac_sizes& s, const kpac_inputs& in)
      : pixels(static_cast<const T*>(in.x)),
        height(s.input_size[0]),
        width(s.input_size[1]),
        channels(s.input_channels) {}

  // The pixel that output p of row m of a tile meets, as an offset into the pixels, or -1.
  int64_t offset(const Tile& tile, const Tap& row_tap, const Tap& column_tap, int64_t m,
                 int64_t p) const {
    const int64_t row = tile.input_row(row_tap, m), column = tile.input_column(column_tap, p);
    if (row < 0 || row >= height || column < 0 || column >= width) return -1;
    return ((tile.image * height + row) * width + column) * channels;
  }
};

// Calls use(number) with the vectors that `channels` elements fill as a type: 1, 2, 4, or 0 for any
// other number. Loops over a known number of vectors are faster.
template <typename A, typename Use>
inline void with_vectors(int64_t channels, const Use& use) {
  switch (channels % kLanes<A> == 0 ? channels / kLanes<A> : 0) {
    case 1: return use(std::integral_constant<int, 1>());
    case 2: return use(std::integral_constant<int, 2>());
    case 4: return use(std::integral_constant<int, 4>());
    default: return use(std::integral_constant<int, 0>());
  }
}

// to[c] = factor * from[c].
template <int vectors, typename T>
inline void scale(const T* from, Wide<T> factor, int64_t channels, Wide<T>* to) {
  if constexpr (std::is_same<T, Wide<T>>::value) {
    constexpr int lanes = kLanes<T>;
    const int64_t whole = vectors > 0 ? vectors * lanes : channels - channels % lanes;
    for (int64_t c = 0; c < whole; c += lanes) store(to + c, load(from + c) * factor);
    if (vectors > 0 || whole == channels) return;
    if (channels > lanes) {  // one that overlaps with the last whole one
      store(to + channels - lanes, load(from + channels - lanes) * factor);
    } else {
      for (int64_t c = 0; c < channels; ++c) to[c] = factor * from[c];
    }
  } else {
    for (int64_t c = 0; c < channels; ++c) to[c] = factor * widen(from[c]);
  }
}

// Calls use(position among the taps, position in the planes of the tile, offset in x of the first
// output, [first, last) outputs that meet a pixel, step in x) for some taps of a tile.
template <typename T, typename Use>
void for_each_run(const Image<T>& x, const Tile& tile, int64_t first_tap, int64_t last_tap,
                  int64_t m, const Use& use) {
  const auto &rows = tile.rows->lattice.taps, &columns = tile.columns->lattice.taps;
  const int64_t step = tile.columns->lattice.input_step;
  for (int64_t tap = first_tap; tap < last_tap; ++tap) {
    const int64_t row = tile.input_row(rows[tap / columns.size()], m);
    const int64_t column = tile.input_column(columns[tap % columns.size()], 0);
    int64_t first = 0, last = 0;
    if (row >= 0 && row < x.height) clip(column, step, tile.width, x.width, &first, &last);
    use(tap - first_tap, tap * tile.plane() + m * tile.stride,
        ((tile.image * x.height + row) * x.width + column) * x.channels, first, last,
        step * x.channels);
  }
}

// The taps of a row of outputs. A `Tap` is what the sum needs to know of one.
template <typename Tap>
struct RowScratch {
  struct Run {
    Tap tap;
    int64_t first, last;
  };
  Run* taps;
  Tap* met;  // those of the outputs that are summed at a time

  void take(Arena& arena, int64_t count) {
    taps = arena.take<Run>(count);
    met = arena.take<Tap>(count);
  }
};

// Outputs near the border meet fewer taps. Calls use(number of taps in `met`, start, stop) for each
// part [start, stop) of a row whose outputs meet the same taps.
template <typename Tap, typename Use>
void for_each_part(const RowScratch<Tap>& scratch, int64_t count, int64_t width, const Use& use) {
  for (int64_t start = 0, stop; start < width; start = stop) {
    int64_t met = 0;
    stop = width;
    for (auto run = scratch.taps; run < scratch.taps + count; ++run) {
      const bool meets = run->first <= start && start < run->last;
      if (meets) scratch.met[met++] = run->tap;
      const int64_t change = meets ? run->last : run->first;
      if (change > start) stop = std::min(stop, change);
    }
    use(met, start, stop);
  }
}

// patches[p][tap][c] = K x for the outputs of row m of a tile, 0 where a tap meets no pixel.
// adapting(tap of the tile, position in the planes of the tile) is the row of its K.
template <typename T, typename Adapting>
void modulated_patches(const Image<T>& x, const Tile& tile, const TapBlock& block, int64_t m,
                       const Adapting& adapting, Wide<T>* patches, int64_t stride) {
  for_each_run(
      x, tile, block.first, block.last, m,
      [&](int64_t tap, int64_t at, int64_t offset, int64_t first, int64_t last, int64_t step) {
        Wide<T>* to = patches + tap * x.channels;
        const auto k = adapting(block.first + tap, at);
        for (int64_t p = 0; p < first; ++p) std::fill_n(to + p * stride, x.channels, Wide<T>{0});
        with_vectors<Wide<T>>(x.channels, [&](auto vectors) {
          for (int64_t p = first; p < last; ++p) {
            scale<vectors>(x.pixels + offset + p * step, widen(k.first[p * k.step]), x.channels,
                           to + p * stride);
          }
        });
        for (int64_t p = last; p < tile.width; ++p) {
          std::fill_n(to + p * stride, x.channels, Wide<T>{0});
        }
      });
}

// For one output and tap, with `product` = W u on entry: returns <x, product>, adds k product to
// the gradient of x, and leaves k x.
template <int vectors, typename A>
inline A pass_back(const A* x, A k, int64_t channels, A* x_gradient, A* product) {
  const int64_t whole = vectors > 0 ? vectors * kLanes<A> : channels - channels % kLanes<A>;
  Vector<A> dots{};
  int64_t c = 0;
  for (; c < whole; c += kLanes<A>) {
    const Vector<A> value = load(x + c), back = load<A>(product + c);
    dots += value * back;
    store(x_gradient + c, load<A>(x_gradient + c) + back * k);
    store(product + c, value * k);
  }
  A dot = whole > 0 ? sum<A>(dots) : A{0};
  if (vectors > 0) return dot;
  for (; c < channels; ++c) {
    const A value = x[c], back = product[c];
    dot += value * back;
    x_gradient[c] += back * k;
    product[c] = value * k;
  }
  return dot;
}

// The same for all outputs of row m of a tile and the taps of a block. `products` is [p][tap][c],
// `row` and `dropped` hold a pixel each; x_gradient is NULL if it is not wanted.
// Not inline: in a larger function there are too few registers for its inner loops.
template <typename T>
__attribute__((noinline)) void pass_row_back(const Image<T>& x, const Tile& tile,
                                             const TapBlock& block, int64_t m,
                                             const Wide<T>* adapting, Wide<T>* x_gradient,
                                             Wide<T>* adapting_gradient, Wide<T>* products,
                                             int64_t stride, Wide<T>* row, Wide<T>* dropped) {
  using A = Wide<T>;
  for_each_run(
      x, tile, block.first, block.last, m,
      [&](int64_t tap, int64_t at, int64_t offset, int64_t first, int64_t last, int64_t step) {
        A* product = products + tap * x.channels;
        const auto nothing = [&](int64_t p) {
          std::fill_n(product + p * stride, x.channels, A{0});
          adapting_gradient[at + p] = 0;
        };
        for (int64_t p = 0; p < first; ++p) nothing(p);
        with_vectors<A>(x.channels, [&](auto vectors) {
          for (int64_t p = first; p < last; ++p) {
            const int64_t pixel_offset = offset + p * step;
            const A* pixel;
            if constexpr (std::is_same<T, A>::value) {
              pixel = x.pixels + pixel_offset;
            } else {
              scale<0>(x.pixels + pixel_offset, A{1}, x.channels, row);
              pixel = row;
            }
            adapting_gradient[at + p] = pass_back<vectors>(
                pixel, adapting[at + p], x.channels,
                x_gradient == nullptr ? dropped : x_gradient + pixel_offset, product + p * stride);
          }
        });
        for (int64_t p = last; p < tile.width; ++p) nothing(p);
      });
}

}  // namespace kpac::KPAC_ISA
