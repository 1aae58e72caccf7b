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

// y of a tile; `weights` are the taps' w or NULL, `sums` holds one output.
template <typename T>
void pool_tile(const kpac_sizes& s, const Image<T>& x, const Tile& tile,
               const PoolingKernel<T>& kernel, const T* weights, const T* bias, Wide<T>* sums,
               T* y) {
  using A = Wide<T>;
  const int64_t channels = x.channels, taps = window_taps(s);
  for_each_window(
      s, x, tile, [&](int64_t) { std::fill(sums, sums + channels, A{0}); },
      [&](int64_t output, int64_t offset, int64_t tap, int64_t at) {
        if (offset < 0) return;
        const T* pixel = x.pixels + offset;
        const A w = weights == nullptr ? A{1} : widen(weights[tap]);
        if (s.channel_wise) {
          const T* k = kernel.tensor + (output * taps + tap) * channels;
          for (int64_t c = 0; c < channels; ++c) sums[c] += w * widen(k[c]) * widen(pixel[c]);
        } else {
          const A k = w * kernel.planes[at];
          for (int64_t c = 0; c < channels; ++c) sums[c] += k * widen(pixel[c]);
        }
      },
      [&](int64_t output) {
        T* to = y + output * channels;
        for (int64_t c = 0; c < channels; ++c) {
          to[c] = narrow<T>(sums[c] + (bias == nullptr ? A{0} : widen(bias[c])));
        }
      });
}

// The gradients of a tile: adds to those of x, the weights and the bias; writes that of K to
// `k_tensor` if channel_wise, else to `k_planes`. NULL ones are not wanted. `u` holds one output.
template <typename T>
void pool_tile_back(const kpac_sizes& s, const Image<T>& x, const Tile& tile,
                    const PoolingKernel<T>& kernel, const T* weights, const T* upstream,
                    Wide<T>* x_gradient, T* k_tensor, Wide<T>* k_planes,
                    Wide<T>* weights_gradient, Wide<T>* bias_gradient, Wide<T>* u) {
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
