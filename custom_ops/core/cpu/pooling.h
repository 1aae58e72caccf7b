// The windowed sum with a shared filter or none: each channel by itself.
#pragma once

#include "sum_tile.h"
#include "window.h"

namespace kpac::KPAC_ISA {

// `lanes` neighbours in the type that they are summed in.
template <int lanes, typename T>
inline Vector<Wide<T>, lanes> load_wide(const T* p) {
  Vector<Wide<T>, lanes> v;
  if constexpr (std::is_same<T, Wide<T>>::value) {
    std::memcpy(&v, p, sizeof(v));
    return v;
  }
#if defined(__F16C__)  // GCC 12 converts them one by one
  if constexpr (std::is_same<T, _Float16>::value && lanes >= 4) {
#if defined(__AVX512F__)
    if constexpr (lanes == 16) {
      return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
#endif
    __m128i halves{};
    std::memcpy(&halves, p, lanes * sizeof(T));
    if constexpr (lanes == 8) return _mm256_cvtph_ps(halves);
    if constexpr (lanes == 4) return _mm_cvtph_ps(halves);
  }
#endif
  for (int i = 0; i < lanes; ++i) v[i] = widen(p[i]);
  return v;
}

// One tap of a row of outputs: where output 0 finds its pixel and its K.
template <typename A>
struct PoolTap {
  int64_t x, adapting;
  A weight;
};

// A row of outputs. K is in the tensor, or in planes of the tile; steps are between outputs.
template <typename T, typename K>
struct PoolRow {
  const T* x;
  const K* adapting;
  const T* bias;  // or NULL
  Wide<T>* y;
  int64_t channels, x_step, adapting_step, bias_step, y_step;
};

// y of some outputs from p on and some channels, with their sums in registers: vectors from channel
// `first` on, but the last one from `last` on. It may overlap with the one before, so that no
// channels are left over.
template <int lanes, int vectors, int outputs, bool channel_wise, typename T, typename K>
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
        if constexpr (channel_wise) {
          sums[i][v] +=
              load_wide<lanes>(k + i * row.adapting_step + channel(v)) * tap->weight * value;
        } else {
          sums[i][v] += value * (widen(k[i * row.adapting_step]) * tap->weight);
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
template <int lanes, bool channel_wise, typename T, typename K>
void pool_channels(const PoolRow<T, K>& row, const PoolTap<Wide<T>>* taps, int64_t count,
                   int64_t start, int64_t stop) {
  if constexpr (lanes > 1) {
    if (row.channels < lanes) {
      return pool_channels<lanes / 2, channel_wise>(row, taps, count, start, stop);
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
        pool_outputs<lanes, held, outputs, channel_wise>(row, taps, count, p, first, last);
      }
      for (; p < stop; ++p) {
        pool_outputs<lanes, held, 1, channel_wise>(row, taps, count, p, first, last);
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
// channel_wise, or else (N, OH, OW, T); where that is NULL, in `planes`.
template <bool channel_wise, typename T>
void pool_row(const kpac_sizes& s, const Image<T>& x, const Tile& tile, int64_t m, const T* tensor,
              const Wide<T>* planes, const T* filter, RowOf<const T> bias,
              const RowScratch<PoolTap<Wide<T>>>& scratch, RowOf<Wide<T>> y) {
  using A = Wide<T>;
  const Lattice& columns = tile.columns->lattice;
  const int64_t values = channel_wise ? x.channels : 1, window = window_taps(s) * values;
  const int64_t output = output_index(s, tile, m, 0);
  int64_t count = 0;
  for_each_run(
      x, tile, 0, tile.taps(), m,
      [&](int64_t tile_tap, int64_t at, int64_t offset, int64_t first, int64_t last, int64_t) {
        if (first == last) return;
        const int64_t tap = window_tap(s, tile, tile_tap);
        const int64_t k = tensor == nullptr ? at : output * window + tap * values;
        const A weight = filter == nullptr ? A{1} : widen(filter[tap]);
        scratch.taps[count++] = {{offset, k, weight}, first, last};
      });
  const auto pool = [&](auto* adapting, int64_t adapting_step) {
    using K = std::remove_const_t<std::remove_pointer_t<decltype(adapting)>>;
    const PoolRow<T, K> row = {x.pixels,      adapting,   bias.first,
                               y.first,       x.channels, columns.input_step * x.channels,
                               adapting_step, bias.step,  y.step};
    for_each_part(scratch, count, tile.width, [&](int64_t met, int64_t start, int64_t stop) {
      pool_channels<kLanes<A>, channel_wise>(row, scratch.met, met, start, stop);
    });
  };
  if (tensor != nullptr) {
    pool(tensor, columns.step * window);
  } else if constexpr (!channel_wise) {
    pool(planes, 1);
  }
}

// What the way back from a tile leaves. NULL: not wanted.
template <typename T>
struct PoolGradients {
  using A = Wide<T>;
  A* x;                // added to, as filter and bias
  T* adapting_tensor;  // written, (N, OH, OW, T, C), if channel_wise
  A* adapting_planes;  // written, if not channel_wise
  A *filter, *bias;
};

// For one output and tap, with K = k for all channels: adds to the gradient of x, writes that by K
// and returns that by w.
template <typename T>
inline Wide<T> pool_tap_back(const T* x, Wide<T> k, const Wide<T>* u, Wide<T> w, int64_t channels,
                             Wide<T>* x_gradient, Wide<T>* adapting_gradient) {
  using A = Wide<T>;
  constexpr int lanes = kLanes<A>;
  const A factor = w * k;
  Vector<A> products{};
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    const Vector<A> back = load(u + c);
    products += load_wide<lanes>(x + c) * back;
    if (x_gradient != nullptr) store(x_gradient + c, load<A>(x_gradient + c) + back * factor);
  }
  A product = c > 0 ? sum<A>(products) : A{0};
  for (; c < channels; ++c) {
    product += widen(x[c]) * u[c];
    if (x_gradient != nullptr) x_gradient[c] += factor * u[c];
  }
  *adapting_gradient = w * product;
  return k * product;
}

// The same with a K for each channel. The gradient by K may be NULL, too.
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

// The gradients of a tile. K is in `tensor` if channel_wise, else in `planes`; `u` holds an output.
template <bool channel_wise, typename T>
void pool_tile_back(const kpac_sizes& s, const Image<T>& x, const Tile& tile, const T* tensor,
                    const Wide<T>* planes, const T* filter, const T* upstream, PoolGradients<T> to,
                    Wide<T>* u) {
  using A = Wide<T>;
  const int64_t channels = x.channels, taps = window_taps(s);
  const auto gradient_of = [](auto* image, int64_t at) {
    return image == nullptr ? nullptr : image + at;
  };
  const auto tap_back = [&](int64_t output, int64_t offset, int64_t tap, int64_t at) {
    const A w = filter == nullptr ? A{1} : widen(filter[tap]);
    A w_gradient = 0;
    if constexpr (channel_wise) {
      at = (output * taps + tap) * channels;
      T* const to_tensor = gradient_of(to.adapting_tensor, at);
      if (offset >= 0) {
        w_gradient = pool_channels_back(x.pixels + offset, tensor + at, u, w, channels,
                                        gradient_of(to.x, offset), to_tensor);
      } else if (to_tensor != nullptr) {
        std::fill_n(to_tensor, channels, narrow<T>(0));
      }
    } else if (offset >= 0) {
      w_gradient = pool_tap_back(x.pixels + offset, planes[at], u, w, channels,
                                 gradient_of(to.x, offset), to.adapting_planes + at);
    } else {
      to.adapting_planes[at] = 0;
    }
    if (to.filter != nullptr) to.filter[tap] += w_gradient;
  };
  for (int64_t m = 0; m < tile.height; ++m) {
    for (int64_t p = 0; p < tile.width; ++p) {
      const int64_t output = output_index(s, tile, m, p);
      for (int64_t c = 0; c < channels; ++c) {
        u[c] = widen(upstream[output * channels + c]);
        to.bias[c] += u[c];
      }
      if (channel_wise && to.adapting_tensor != nullptr && tile.taps() < taps) {
        std::fill_n(to.adapting_tensor + output * taps * channels, taps * channels, narrow<T>(0));
      }
      int64_t at = m * tile.stride + p;
      for (const Tap& row_tap : tile.rows->lattice.taps) {
        for (const Tap& column_tap : tile.columns->lattice.taps) {
          tap_back(output, x.offset(tile, row_tap, column_tap, m, p),
                   row_tap.index * s.kernel_size[1] + column_tap.index, at);
          at += tile.plane();
        }
      }
    }
  }
}

}  // namespace kpac::KPAC_ISA
