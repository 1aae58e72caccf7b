// The windowed sum without a full filter: every channel by itself, in one pass over the windows.
#pragma once

#include "job.h"
#include "sum_tile.h"

namespace kpac {
namespace KPAC_ISA {

// The adapting kernel of a tile: one value an output and tap in planes, or one a channel in the
// tensor.
template <typename T>
struct PoolingKernel {
  const T* tensor;  // (N, OH, OW, T, C), used if channel_wise
  const Wide<T>* planes;
};

// Calls use(row, output, offset in x or -1, tap of the window, position in the planes) for every
// tap of every output of a tile; start(output) and finish(output) around those of one output.
template <typename T, typename Start, typename Use, typename Finish>
void for_each_window(const kpac_sizes& s, const Image<T>& x, const Tile& tile, const Start& start,
                     const Use& use, const Finish& finish) {
  for (int64_t m = 0; m < tile.height; ++m) {
    for (int64_t p = 0; p < tile.width; ++p) {
      const int64_t output = output_index(s, tile, m, p);
      int64_t at = m * tile.stride + p;
      start(output);
      for (const Tap& row_tap : tile.rows->lattice.taps) {
        for (const Tap& column_tap : tile.columns->lattice.taps) {
          use(output, x.offset(tile, row_tap, column_tap, m, p),
              row_tap.index * s.kernel_size[1] + column_tap.index, at);
          at += tile.plane();
        }
      }
      finish(output);
    }
  }
}

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

template <int lanes, typename T>
inline void store_narrow(T* p, Vector<Wide<T>, lanes> v) {
  if constexpr (std::is_same<T, Wide<T>>::value) {
    std::memcpy(p, &v, sizeof(v));
  } else {
    for (int i = 0; i < lanes; ++i) p[i] = narrow<T>(v[i]);
  }
}

// One tap of a row of outputs: where output 0 finds its pixel and its K.
template <typename A>
struct PoolTap {
  int64_t x, kernel;
  A weight;
};

// A row of outputs. `kernel` is the tensor, or planes of the tile; steps are those between outputs.
template <typename T, typename K>
struct PoolRow {
  const T* x;
  const K* kernel;
  const T* bias;
  T* y;
  int64_t channels, x_step, kernel_step, y_step;
};

// y of outputs start ... stop - 1 and some channels, with the sums of an output in registers:
// vectors from channel `first` on, but the last one from `last` on. It may overlap with the one
// before, so that no channels are left over.
template <int lanes, int vectors, bool channel_wise, typename T, typename K>
void pool_outputs(const PoolRow<T, K>& row, const PoolTap<Wide<T>>* taps, int64_t count,
                  int64_t start, int64_t stop, int64_t first, int64_t last) {
  using A = Wide<T>;
  const auto channel = [&](int v) { return v + 1 < vectors ? first + v * lanes : last; };
  for (int64_t p = start; p < stop; ++p) {
    Vector<A, lanes> sums[vectors] = {};
    for (const PoolTap<A>* tap = taps; tap < taps + count; ++tap) {
      const T* x = row.x + tap->x + p * row.x_step;
      const K* k = row.kernel + tap->kernel + p * row.kernel_step;
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const Vector<A, lanes> value = load_wide<lanes>(x + channel(v));
        if constexpr (channel_wise) {
          sums[v] += load_wide<lanes>(k + channel(v)) * tap->weight * value;
        } else {
          sums[v] += value * (widen(*k) * tap->weight);
        }
      }
    }
    for (int v = 0; v < vectors; ++v) {
      if (row.bias != nullptr) sums[v] += load_wide<lanes>(row.bias + channel(v));
      store_narrow<lanes>(row.y + p * row.y_step + channel(v), sums[v]);
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
      pool_outputs<lanes, held, channel_wise>(row, taps, count, start, stop, first, last);
    };
    switch ((end - first) / lanes) {
      case 1: pool(std::integral_constant<int, 1>()); break;
      case 2: pool(std::integral_constant<int, 2>()); break;
      case 3: pool(std::integral_constant<int, 3>()); break;
      case 4: pool(std::integral_constant<int, 4>()); break;
    }
  }
}

// y of a tile; `weights` are the taps' w or NULL. K is in `tensor`, (N, OH, OW, T, C) if
// channel_wise, else (N, OH, OW, T); or, where that is NULL, in `planes`.
template <bool channel_wise, typename T>
void pool_tile(const kpac_sizes& s, const Image<T>& x, const Tile& tile, const T* tensor,
               const Wide<T>* planes, const T* weights, const T* bias,
               const RowScratch<PoolTap<Wide<T>>>& scratch, T* y) {
  using A = Wide<T>;
  const Lattice& columns = tile.columns->lattice;
  const int64_t values = channel_wise ? x.channels : 1, window = window_taps(s) * values;
  for (int64_t m = 0; m < tile.height; ++m) {
    const int64_t output = output_index(s, tile, m, 0);
    int64_t count = 0;
    for_each_run(
        x, tile, 0, tile.taps(), m,
        [&](int64_t tile_tap, int64_t at, int64_t offset, int64_t first, int64_t last, int64_t) {
          if (first == last) return;
          const int64_t tap = window_tap(s, tile, tile_tap);
          const int64_t k = tensor == nullptr ? at : output * window + tap * values;
          const A weight = weights == nullptr ? A{1} : widen(weights[tap]);
          scratch.taps[count++] = {{offset, k, weight}, first, last};
        });
    const auto pool = [&](auto* kernel, int64_t kernel_step) {
      using K = std::remove_const_t<std::remove_pointer_t<decltype(kernel)>>;
      const PoolRow<T, K> row = {x.pixels,    kernel,
                                 bias,        y + output * x.channels,
                                 x.channels,  columns.input_step * x.channels,
                                 kernel_step, columns.step * x.channels};
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
}

// The gradients of a tile: adds to those of x, the weights and the bias; writes that of K to
// `k_tensor` if channel_wise, else to `k_planes`. NULL ones are not wanted. `u` holds one output.
template <typename T>
void pool_tile_back(const kpac_sizes& s, const Image<T>& x, const Tile& tile,
                    const PoolingKernel<T>& kernel, const T* weights, const T* upstream,
                    Wide<T>* x_gradient, T* k_tensor, Wide<T>* k_planes, Wide<T>* weights_gradient,
                    Wide<T>* bias_gradient, Wide<T>* u) {
  using A = Wide<T>;
  const int64_t channels = x.channels, taps = window_taps(s);
  for_each_window(
      s, x, tile,
      [&](int64_t output) {
        for (int64_t c = 0; c < channels; ++c) {
          u[c] = widen(upstream[output * channels + c]);
          bias_gradient[c] += u[c];
        }
        if (k_tensor != nullptr && tile.taps() < taps) {
          T* to = k_tensor + output * taps * channels;
          std::fill(to, to + taps * channels, narrow<T>(0));
        }
      },
      [&](int64_t output, int64_t offset, int64_t tap, int64_t at) {
        const int64_t k_start = (output * taps + tap) * channels;
        if (offset < 0) {
          if (s.channel_wise && k_tensor != nullptr) {
            std::fill(k_tensor + k_start, k_tensor + k_start + channels, narrow<T>(0));
          } else if (!s.channel_wise) {
            k_planes[at] = 0;
          }
          return;
        }
        const T* pixel = x.pixels + offset;
        const A w = weights == nullptr ? A{1} : widen(weights[tap]);
        A w_gradient = 0;
        if (s.channel_wise) {
          for (int64_t c = 0; c < channels; ++c) {
            const A k = widen(kernel.tensor[k_start + c]), product = widen(pixel[c]) * u[c];
            w_gradient += k * product;
            if (k_tensor != nullptr) k_tensor[k_start + c] = narrow<T>(w * product);
            if (x_gradient != nullptr) x_gradient[offset + c] += w * k * u[c];
          }
        } else {
          const A k = kernel.planes[at];
          A product = 0;
          for (int64_t c = 0; c < channels; ++c) product += widen(pixel[c]) * u[c];
          if (x_gradient != nullptr) {
            for (int64_t c = 0; c < channels; ++c) x_gradient[offset + c] += w * k * u[c];
          }
          k_planes[at] = w * product;
          w_gradient = k * product;
        }
        if (weights_gradient != nullptr) weights_gradient[tap] += w_gradient;
      },
      [](int64_t) {});
}

}  // namespace KPAC_ISA
}  // namespace kpac
