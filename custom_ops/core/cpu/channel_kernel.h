// The channel-wise adapting kernel: no sum over channels, so each is computed where it lies.
#pragma once

#include "job.h"

namespace kpac {
namespace KPAC_ISA {

template <typename T>
struct ChannelKernel {
  using A = Wide<T>;
  const kpac_sizes& s;
  Guide<T> guide;
  Counted<T> counted;
  const A *alpha, *exponent;

  ChannelKernel(const kpac_sizes& s, const kpac_inputs& in, const Counted<T>& counted)
      : s(s),
        guide(guide_of<T>(s, in)),
        counted(counted),
        alpha(static_cast<const A*>(in.alpha)),
        exponent(static_cast<const A*>(in.exponent)) {}

  // The offset of a guide pixel, or -1 outside.
  int64_t offset(int64_t image, int64_t row, int64_t column) const {
    if (row < 0 || row >= guide.height || column < 0 || column >= guide.width) return -1;
    return ((image * guide.height + row) * guide.width + column) * guide.channels;
  }
  A difference(int64_t neighbor, int64_t center, int64_t c) const {
    const A d = (neighbor < 0 ? A{0} : widen(guide.guide[neighbor + c])) -
                (center < 0 ? A{0} : widen(guide.center[center + c]));
    return guide.asymmetric && d < 0 ? A{0} : d;
  }
  A value(A d, int64_t c) const {
    if (guide.kind == KPAC_GAUSSIAN) return std::exp(static_cast<A>(-0.5) * d * d);
    return alpha[c] + std::pow(d * d + kInverseEpsilon<A>, exponent[c] / 2);
  }

  // For one output: neighbors[tap] (offsets), met[tap] = m_it, K[tap][c], divisor[c], of the
  // taps of the tile. Returns the offset of the centre.
  int64_t window(const Tile& tile, int64_t m, int64_t p, int64_t* neighbors, A* met, A* kernel,
                 A* divisor) const {
    const int64_t center = offset(tile.image, tile.center_row(m), tile.center_column(p));
    const int64_t channels = guide.channels;
    std::fill(divisor, divisor + channels, A{0});
    int64_t tap = 0, in_image = 0;
    for (const Tap& row_tap : tile.rows->lattice.taps) {
      for (const Tap& column_tap : tile.columns->lattice.taps) {
        const int64_t neighbor =
            offset(tile.image, row_tap.guide + (tile.row + m) * tile.rows->lattice.guide_step,
                   column_tap.guide + (tile.column + p) * tile.columns->lattice.guide_step);
        met[tap] = 1;
        if (counted.any()) {
          bool inside;
          met[tap] = counted.at(tile.image, tile.input_row(row_tap, m),
                                tile.input_column(column_tap, p), &inside);
          in_image += inside;
        }
        for (int64_t c = 0; c < channels; ++c) {
          A& k = kernel[tap * channels + c];
          k = met[tap] * value(difference(neighbor, center, c), c);
          divisor[c] += counted.normalize ? k : met[tap];
        }
        neighbors[tap++] = neighbor;
      }
    }
    if (!counted.any()) return center;
    for (int64_t c = 0; c < channels; ++c) {
      if (!counted.normalize) divisor[c] /= std::max<int64_t>(in_image, 1);
      for (int64_t i = c; i < tap * channels; i += channels) {
        kernel[i] = divisor[c] == 0 ? A{0} : kernel[i] / divisor[c];
      }
    }
    return center;
  }
};

template <typename T>
struct ChannelScratch {
  using A = Wide<T>;
  int64_t* neighbors;
  A *met, *kernel, *divisor, *gradient;

  ChannelScratch(Arena& arena, const Plan& plan, int64_t channels) {
    neighbors = arena.take<int64_t>(plan.largest_taps);
    met = arena.take<A>(plan.largest_taps);
    kernel = arena.take<A>(plan.largest_taps * channels);
    divisor = arena.take<A>(channels);
    gradient = arena.take<A>(plan.largest_taps);
  }
};

template <typename T>
int64_t channel_adapting_kernel(const kpac_sizes& s, const kpac_inputs& in, const Plan& plan,
                                const Counted<T>& counted, void* out, void* out_mask, Arena& arena,
                                const kpac_parallel_for& parallel_for, bool only_count) {
  using A = Wide<T>;
  const int64_t channels = s.guide_channels, taps = window_taps(s);
  std::vector<ChannelScratch<T>> scratches;
  for (int32_t i = 0; i < parallel_for.workers; ++i) scratches.emplace_back(arena, plan, channels);
  if (only_count) return arena.used();
  const ChannelKernel<T> kernel(s, in, counted);
  const Groups groups(plan, s.batch, INT64_MAX);
  run_parallel(parallel_for, groups.strips, [&](int64_t i, int32_t worker) {
    const auto& scratch = scratches[worker];
    const int64_t image = i / groups.strips_per_image;
    const Strip& strip = plan.strips[i % groups.strips_per_image];
    for_each_tile<kLanes<A>>(plan, strip, image, [&](const Tile& tile) {
      for_each_output(s, tile, taps * channels, static_cast<T*>(out), [&](int64_t at, T* values) {
        kernel.window(tile, at / tile.stride, at % tile.stride, scratch.neighbors, scratch.met,
                      scratch.kernel, scratch.divisor);
        if (tile.taps() < taps) std::fill(values, values + taps * channels, narrow<T>(0));
        for_each_tap(s, tile, [&](int64_t tap, int64_t window_tap) {
          for (int64_t c = 0; c < channels; ++c) {
            values[window_tap * channels + c] = narrow<T>(scratch.kernel[tap * channels + c]);
          }
        });
        if (out_mask == nullptr) return;
        const bool any = std::any_of(scratch.divisor, scratch.divisor + channels,
                                     [](A divisor) { return divisor != 0; });
        static_cast<T*>(out_mask)[(values - static_cast<T*>(out)) / (taps * channels)] =
            narrow<T>(any ? 1 : 0);
      });
    });
  });
  return 0;
}

template <typename T>
void channel_adapting_kernel_gradient(const kpac_sizes& s, const kpac_inputs& in, const Plan& plan,
                                      const Counted<T>& counted, const Groups& groups,
                                      const T* upstream, Wide<T>* guide_gradient,
                                      Wide<T>* center_gradient, double* exponent_sums, Arena& arena,
                                      const kpac_parallel_for& parallel_for, bool only_count) {
  using A = Wide<T>;
  const int64_t channels = s.guide_channels, taps = window_taps(s);
  std::vector<ChannelScratch<T>> scratches;
  for (int32_t i = 0; i < parallel_for.workers; ++i) scratches.emplace_back(arena, plan, channels);
  if (only_count) return;
  const ChannelKernel<T> kernel(s, in, counted);
  const auto pass_back = [&](const Tile& tile, int64_t at, const T* values,
                             const ChannelScratch<T>& scratch, double* sums) {
    const int64_t center =
        kernel.window(tile, at / tile.stride, at % tile.stride, scratch.neighbors, scratch.met,
                      scratch.kernel, scratch.divisor);
    for (int64_t c = 0; c < channels; ++c) {
      const A divisor = counted.any() ? scratch.divisor[c] : A{1};
      A common = 0;
      for_each_tap(s, tile, [&](int64_t tap, int64_t window_tap) {
        scratch.gradient[tap] = widen(values[window_tap * channels + c]);
        if (s.normalize) common += scratch.gradient[tap] * scratch.kernel[tap * channels + c];
      });
      for (int64_t tap = 0; tap < tile.taps(); ++tap) {
        const int64_t neighbor = scratch.neighbors[tap];
        const A dk =
            divisor == 0 ? A{0} : scratch.met[tap] * (scratch.gradient[tap] - common) / divisor;
        const A d = kernel.difference(neighbor, center, c);
        A weight = 0;
        if (kernel.guide.kind == KPAC_GAUSSIAN) {
          weight = -kernel.value(d, c) * dk;
        } else {
          const A base = d * d + kInverseEpsilon<A>;
          const A power = std::pow(base, kernel.exponent[c] / 2);
          weight = kernel.exponent[c] * std::pow(base, kernel.exponent[c] / 2 - 1) * dk;
          sums[c] += dk;
          sums[channels + c] += dk * std::log(base) / 2 * power;
        }
        if (neighbor >= 0 && guide_gradient != nullptr) guide_gradient[neighbor + c] += weight * d;
        if (center >= 0 && center_gradient != nullptr) center_gradient[center + c] -= weight * d;
      }
    }
  };
  for (int wave = 0; wave < 2; ++wave) {
    run_parallel(parallel_for, groups.count, [&](int64_t group, int32_t worker) {
      groups.for_each_strip(plan, group, wave, [&](const Strip& strip, int64_t image) {
        for_each_tile<kLanes<A>>(plan, strip, image, [&](const Tile& tile) {
          for_each_output(s, tile, taps * channels, upstream, [&](int64_t at, const T* values) {
            pass_back(tile, at, values, scratches[worker], exponent_sums + 2 * group * channels);
          });
        });
      });
    });
  }
}

}  // namespace KPAC_ISA
}  // namespace kpac
