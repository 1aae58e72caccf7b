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

// Calls use(channels) with a number of channels that the compiler knows, if it is a usual one: loops
// over it are faster.
template <typename A, typename Use>
__attribute__((always_inline)) inline void with_channels(int64_t channels, const Use& use) {
  constexpr int64_t lanes = kLanes<A>;
  if (channels == 1) return use(std::integral_constant<int64_t, 1>());
  if (channels == 2) return use(std::integral_constant<int64_t, 2>());
  if (channels == 3) return use(std::integral_constant<int64_t, 3>());
  if (channels == lanes) return use(std::integral_constant<int64_t, lanes>());
  if (channels == 2 * lanes) return use(std::integral_constant<int64_t, 2 * lanes>());
  if (channels == 4 * lanes) return use(std::integral_constant<int64_t, 4 * lanes>());
  use(channels);
}

// to[c] = factor * from[c].
template <typename T, typename Channels>
inline void scale(const T* from, Wide<T> factor, Channels channels, Wide<T>* to) {
  constexpr int lanes = kLanes<Wide<T>>;
  const int64_t whole = channels - channels % lanes;
  for (int64_t c = 0; c < whole; c += lanes) store(to + c, load_wide<lanes>(from + c) * factor);
  if (whole == channels) return;
  if (channels > lanes) {  // one that overlaps with the last whole one
    const int64_t last = channels - lanes;
    store(to + last, load_wide<lanes>(from + last) * factor);
  } else {
    for (int64_t c = 0; c < channels; ++c) to[c] = factor * widen(from[c]);
  }
}

// The outputs of a row of a tile, and what they meet with one tap.
struct TapRun {
  int64_t tap;  // of the tile
  const Tap *row_tap, *column_tap;
  int64_t at;           // of output 0 in the planes of the tile
  int64_t offset;       // of its pixel in x
  int64_t step;         // in x, from one output to the next
  int64_t first, last;  // outputs that meet a pixel: [first, last)
};

// The number of its tap in the window.
inline int64_t window_tap(const kpac_sizes& s, const TapRun& run) {
  return run.row_tap->index * s.kernel_size[1] + run.column_tap->index;
}

// Calls use(TapRun) for some taps of row m of a tile.
template <typename T, typename Use>
void for_each_run(const Image<T>& x, const Tile& tile, int64_t first_tap, int64_t last_tap,
                  int64_t m, const Use& use) {
  const auto &rows = tile.rows->lattice.taps, &columns = tile.columns->lattice.taps;
  if (first_tap == last_tap) return;
  const int64_t step = tile.columns->lattice.input_step;
  const Tap* row_tap = rows.data() + first_tap / columns.size();
  const Tap* column_tap = columns.data() + first_tap % columns.size();
  for (int64_t tap = first_tap; tap < last_tap; ++tap) {
    const int64_t row = tile.input_row(*row_tap, m), column = tile.input_column(*column_tap, 0);
    TapRun run = {tap,
                  row_tap,
                  column_tap,
                  tap * tile.plane() + m * tile.stride,
                  ((tile.image * x.height + row) * x.width + column) * x.channels,
                  step * x.channels,
                  0,
                  0};
    if (row >= 0 && row < x.height) {
      clip(column, step, tile.width, x.width, &run.first, &run.last);
    }
    use(run);
    if (++column_tap == columns.data() + columns.size()) {
      column_tap = columns.data();
      ++row_tap;
    }
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
// adapting(TapRun) is the row of K.
template <typename T, typename Adapting>
void modulated_patches(const Image<T>& x, const Tile& tile, const TapBlock& block, int64_t m,
                       const Adapting& adapting, Wide<T>* patches, int64_t stride) {
  for_each_run(x, tile, block.first, block.last, m, [&](const TapRun& run) {
    Wide<T>* to = patches + (run.tap - block.first) * x.channels;
    const auto k = adapting(run);
    for (int64_t p = 0; p < run.first; ++p) std::fill_n(to + p * stride, x.channels, Wide<T>{0});
    with_channels<Wide<T>>(x.channels, [&](auto channels) {
      for (int64_t p = run.first; p < run.last; ++p) {
        scale(x.pixels + run.offset + p * run.step, widen(k.first[p * k.step]), channels,
              to + p * stride);
      }
    });
    for (int64_t p = run.last; p < tile.width; ++p) {
      std::fill_n(to + p * stride, x.channels, Wide<T>{0});
    }
  });
}

// For one output and tap, with `product` = W u on entry: returns <x, product>, adds k product to
// the gradient of x, and leaves k x.
template <typename A, typename Channels>
inline A pass_back(const A* x, A k, Channels channels, A* x_gradient, A* product) {
  const int64_t whole = channels - channels % kLanes<A>;
  Vector<A> dots{};
  int64_t c = 0;
  for (; c < whole; c += kLanes<A>) {
    const Vector<A> value = load(x + c), back = load<A>(product + c);
    dots += value * back;
    store(x_gradient + c, load<A>(x_gradient + c) + back * k);
    store(product + c, value * k);
  }
  A dot = whole > 0 ? sum<A>(dots) : A{0};
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
  for_each_run(x, tile, block.first, block.last, m, [&](const TapRun& run) {
    A* product = products + (run.tap - block.first) * x.channels;
    const auto nothing = [&](int64_t p) {
      std::fill_n(product + p * stride, x.channels, A{0});
      adapting_gradient[run.at + p] = 0;
    };
    for (int64_t p = 0; p < run.first; ++p) nothing(p);
    with_channels<A>(x.channels, [&](auto channels) {
      for (int64_t p = run.first; p < run.last; ++p) {
        const int64_t pixel_offset = run.offset + p * run.step;
        const A* pixel;
        if constexpr (std::is_same<T, A>::value) {
          pixel = x.pixels + pixel_offset;
        } else {
          scale(x.pixels + pixel_offset, A{1}, channels, row);
          pixel = row;
        }
        adapting_gradient[run.at + p] = pass_back<A>(
            pixel, adapting[run.at + p], channels,
            x_gradient == nullptr ? dropped : x_gradient + pixel_offset, product + p * stride);
      }
    });
    for (int64_t p = run.last; p < tile.width; ++p) nothing(p);
  });
}

}  // namespace kpac::KPAC_ISA
