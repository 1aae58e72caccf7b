// The windowed sum with a shared filter or none: each channel by itself.
#pragma once

#include "sum_tile.h"
#include "window.h"

namespace kpac::KPAC_ISA {

// Where K is: in planes of the tile, with the weight of its tap in it; or in a tensor, one for all
// channels or one for each.
enum class Modulation { kPlanes, kTensor, kChannelWise };

// One tap of a row of outputs: where output 0 finds its pixel and its K.
template <typename A>
struct PoolTap {
  int64_t x, adapting;
  A weight;  // of its K in a tensor
};

// A row of outputs. Steps are between outputs.
template <typename T, typename K>
struct PoolRow {
  const T* x;
  const K* adapting;
  const T* bias;  // or NULL
  Wide<T>* y;
  int64_t channels, x_step, adapting_step, bias_step, y_step;
};

// The taps of a row of outputs, and room for K times their weights.
template <typename A>
struct PoolScratch {
  RowScratch<PoolTap<A>> row;
  A* adapting;

  void take(Arena& arena, int64_t taps) {
    row.take(arena, taps);
    adapting = arena.take<A>(taps * kTileColumns);
  }
};

// y of some outputs from p on and some channels, with their sums in registers: vectors from channel
// `first` on, but the last one from `last` on. It may overlap with the one before, so that no
// channels are left over.
template <int lanes, int vectors, int outputs, Modulation modulation, typename T, typename K>
inline void pool_outputs(const PoolRow<T, K>& row, const PoolTap<Wide<T>>* taps, int64_t count,
                         int64_t p, int64_t first, int64_t last) {
  using A = Wide<T>;
  const auto channel = [&](int v) { return v + 1 < vectors ? first + v * lanes : last; };
  Vector<A, lanes> sums[outputs][vectors] = {};
  for (const PoolTap<A>* tap = taps; tap < taps + count; ++tap) {
    const T* x = row.x + tap->x + p * row.x_step;
    const K* k = row.adapting + tap->adapting + p * row.adapting_step;
#pragma GCC unroll 4
    for (int i = 0; i < outputs; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const Vector<A, lanes> value = load_wide<lanes>(x + i * row.x_step + channel(v));
        if constexpr (modulation == Modulation::kPlanes) {
          sums[i][v] += value * k[i];
        } else if constexpr (modulation == Modulation::kTensor) {
          sums[i][v] += value * (widen(k[i * row.adapting_step]) * tap->weight);
        } else {
          sums[i][v] +=
              load_wide<lanes>(k + i * row.adapting_step + channel(v)) * tap->weight * value;
        }
      }
    }
  }
  for (int i = 0; i < outputs; ++i) {
    for (int v = 0; v < vectors; ++v) {
      if (row.bias != nullptr) {
        sums[i][v] += load_wide<lanes>(row.bias + (p + i) * row.bias_step + channel(v));
      }
      std::memcpy(row.y + (p + i) * row.y_step + channel(v), &sums[i][v], sizeof(sums[i][v]));
    }
  }
}

// The same for all channels, in the longest vectors that they fill.
template <int lanes, Modulation modulation, typename T, typename K>
void pool_channels(const PoolRow<T, K>& row, const PoolTap<Wide<T>>* taps, int64_t count,
                   int64_t start, int64_t stop) {
  if constexpr (lanes > 1) {
    if (row.channels < lanes) {
      return pool_channels<lanes / 2, modulation>(row, taps, count, start, stop);
    }
  }
  const int64_t vectors = ceil_divide(row.channels, lanes), blocks = ceil_divide(vectors, 4);
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first = vectors * block / blocks * lanes;
    const int64_t end = vectors * (block + 1) / blocks * lanes;
    const int64_t last = std::min(end, row.channels) - lanes;
    const auto pool = [&](auto held) {
      // Several outputs at a time: a sum waits for each of its additions.
      constexpr int outputs = held > 2 ? 2 : 4;
      int64_t p = start;
      for (; p + outputs <= stop; p += outputs) {
        pool_outputs<lanes, held, outputs, modulation>(row, taps, count, p, first, last);
      }
      for (; p < stop; ++p) {
        pool_outputs<lanes, held, 1, modulation>(row, taps, count, p, first, last);
      }
    };
    switch ((end - first) / lanes) {
      case 1: pool(std::integral_constant<int, 1>()); break;
      case 2: pool(std::integral_constant<int, 2>()); break;
      case 3: pool(std::integral_constant<int, 3>()); break;
      case 4: pool(std::integral_constant<int, 4>()); break;
    }
  }
}

// The sums of row m of a tile; `filter` is w (T,) or NULL. K is in `tensor`, (N, OH, OW, T, C) if
// channel-wise, or else (N, OH, OW, T); or in `planes`.
template <Modulation modulation, typename T>
void pool_row(const kpac_sizes& s, const Image<T>& x, const Tile& tile, int64_t m, const T* tensor,
              const Wide<T>* planes, const T* filter, RowOf<const T> bias,
              const PoolScratch<Wide<T>>& scratch, RowOf<Wide<T>> y) {
  using A = Wide<T>;
  const Lattice& columns = tile.columns->lattice;
  const int64_t values = modulation == Modulation::kChannelWise ? x.channels : 1;
  const int64_t window = window_taps(s) * values, output = output_index(s, tile, m, 0);
  int64_t count = 0;
  for_each_run(x, tile, 0, tile.taps(), m, [&](const TapRun& run) {
    if (run.first == run.last) return;
    const int64_t tap = window_tap(s, run);
    const A weight = filter == nullptr ? A{1} : widen(filter[tap]);
    int64_t k = output * window + tap * values;
    if (modulation == Modulation::kPlanes) k = run.at;
    if (modulation == Modulation::kPlanes && filter != nullptr) {
      k = run.tap * kTileColumns;
      for (int64_t p = run.first; p < run.last; ++p) {
        scratch.adapting[k + p] = planes[run.at + p] * weight;
      }
    }
    scratch.row.taps[count++] = {{run.offset, k, weight}, run.first, run.last};
  });
  const auto pool = [&](auto* adapting, int64_t adapting_step) {
    using K = std::remove_const_t<std::remove_pointer_t<decltype(adapting)>>;
    const PoolRow<T, K> row = {x.pixels,      adapting,   bias.first,
                               y.first,       x.channels, columns.input_step * x.channels,
                               adapting_step, bias.step,  y.step};
    for_each_part(scratch.row, count, tile.width, [&](int64_t met, int64_t start, int64_t stop) {
      pool_channels<kLanes<A>, modulation>(row, scratch.row.met, met, start, stop);
    });
  };
  if constexpr (modulation == Modulation::kPlanes) {
    pool(filter == nullptr ? planes : scratch.adapting, 1);
  } else {
    pool(tensor, columns.step * window);
  }
}

// What the way back from a tile leaves. NULL: not wanted.
template <typename T>
struct PoolGradients {
  using A = Wide<T>;
  A* x;                // added to, as filter
  T* adapting_tensor;  // written, (N, OH, OW, T, C), if channel_wise
  A* adapting_planes;  // written, if not channel_wise
  A* filter;
};

// For one output and tap: adds `factor` u to the gradient of x, and returns x u as some sums, which
// are to be added up.
template <typename T, typename Channels>
inline Vector<Wide<T>> pool_back_to_x(const T* x, Wide<T> factor, const Wide<T>* u,
                                      Channels channels, Wide<T>* x_gradient) {
  using A = Wide<T>;
  constexpr int lanes = kLanes<A>;
  const int64_t whole = channels - channels % lanes;
  Vector<A> products{};
  for (int64_t c = 0; c < whole; c += lanes) {
    const Vector<A> back = load(u + c);
    products += load_wide<lanes>(x + c) * back;
    if (x_gradient != nullptr) store(x_gradient + c, load<A>(x_gradient + c) + back * factor);
  }
  for (int64_t c = whole; c < channels; ++c) {
    products[0] += widen(x[c]) * u[c];
    if (x_gradient != nullptr) x_gradient[c] += factor * u[c];
  }
  return products;
}

// The gradients of row m of a tile, with one K for all channels. `u` has the row's upstream
// gradient.
template <typename T>
void pool_row_back(const kpac_sizes& s, const Image<T>& x, const Tile& tile, int64_t m,
                   const Wide<T>* planes, const T* filter, RowOf<const Wide<T>> u,
                   const PoolGradients<T>& to) {
  using A = Wide<T>;
  constexpr int lanes = kLanes<A>;
  for_each_run(x, tile, 0, tile.taps(), m, [&](const TapRun& run) {
    const int64_t tap = window_tap(s, run);
    const A weight = filter == nullptr ? A{1} : widen(filter[tap]);
    const A* const k = planes + run.at;
    A* const k_gradient = to.adapting_planes + run.at;
    Vector<A> filter_gradient{};
    with_channels<A>(x.channels, [&](auto channels) {
      for (int64_t start = run.first; start < run.last; start += lanes) {
        const int64_t outputs = std::min<int64_t>(lanes, run.last - start);
        Vector<A> products[lanes] = {}, ks{};
        std::memcpy(&ks, k + start, static_cast<size_t>(outputs) * sizeof(A));
        for (int64_t i = 0; i < outputs; ++i) {
          const int64_t p = start + i, pixel = run.offset + p * run.step;
          products[i] = pool_back_to_x(x.pixels + pixel, weight * k[p], u.first + p * u.step,
                                       channels, to.x == nullptr ? nullptr : to.x + pixel);
        }
        const Vector<A> sums = sum_rows<A>(products);
        filter_gradient += ks * sums;
        store(k_gradient + start, weight * sums);
      }
    });
    // Also where the last vector reached beyond.
    std::fill_n(k_gradient, run.first, A{0});
    std::fill(k_gradient + run.last, k_gradient + tile.stride, A{0});
    if (to.filter != nullptr) to.filter[tap] += sum<A>(filter_gradient);
  });
}

// For one output and tap with a K for each channel: adds to the gradient of x, writes that by K and
// returns that by w. Both may be NULL.
template <typename T>
inline Wide<T> pool_channels_back(const T* x, const T* adapting, const Wide<T>* u, Wide<T> w,
                                  int64_t channels, Wide<T>* x_gradient, T* adapting_gradient) {
  Wide<T> sum = 0;
  for (int64_t c = 0; c < channels; ++c) {
    const Wide<T> k = widen(adapting[c]), product = widen(x[c]) * u[c];
    sum += k * product;
    if (adapting_gradient != nullptr) adapting_gradient[c] = narrow<T>(w * product);
    if (x_gradient != nullptr) x_gradient[c] += w * k * u[c];
  }
  return sum;
}

// The gradients of row m of a tile, with a K for each channel in `tensor`.
template <typename T>
void pool_channel_wise_row_back(const kpac_sizes& s, const Image<T>& x, const Tile& tile, int64_t m,
                                const T* tensor, const T* filter, RowOf<const Wide<T>> u,
                                const PoolGradients<T>& to) {
  using A = Wide<T>;
  const int64_t channels = x.channels, size = window_taps(s) * channels;
  const auto gradient_of = [](auto* image, int64_t at) {
    return image == nullptr ? nullptr : image + at;
  };
  for (int64_t p = 0; p < tile.width; ++p) {
    const int64_t output = output_index(s, tile, m, p);
    if (to.adapting_tensor != nullptr) {  // for taps that are not the tile's, or meet no pixel
      std::fill_n(to.adapting_tensor + output * size, size, narrow<T>(0));
    }
    for (const Tap& row_tap : tile.rows->lattice.taps) {
      for (const Tap& column_tap : tile.columns->lattice.taps) {
        const int64_t offset = x.offset(tile, row_tap, column_tap, m, p);
        if (offset < 0) continue;
        const int64_t tap = row_tap.index * s.kernel_size[1] + column_tap.index;
        const int64_t at = output * size + tap * channels;
        const A w_gradient =
            pool_channels_back(x.pixels + offset, tensor + at, u.first + p * u.step,
                               filter == nullptr ? A{1} : widen(filter[tap]), channels,
                               gradient_of(to.x, offset), gradient_of(to.adapting_tensor, at));
        if (to.filter != nullptr) to.filter[tap] += w_gradient;
      }
    }
  }
}

}  // namespace kpac::KPAC_ISA
