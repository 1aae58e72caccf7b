// The channel-wise adapting kernel: no sum over channels, so each is computed where it lies.
#pragma once

#include "guide_gradients.h"
#include "normalization.h"
#include "window.h"

namespace kpac::KPAC_ISA {

// What a worker keeps of one output.
template <typename T>
struct ChannelWiseScratch {
  using A = Wide<T>;
  int64_t* neighbors;  // offsets of the guide pixels, or -1, of each tap
  A* met;              // m_it
  A* adapting;         // [tap][channel]: K
  A* divisor;          // of each channel
  A* gradient;         // of each tap, for one channel

  ChannelWiseScratch(Arena& arena, const Plan& plan, int64_t channels) {
    neighbors = arena.take<int64_t>(plan.largest_taps);
    met = arena.take<A>(plan.largest_taps);
    adapting = arena.take<A>(plan.largest_taps * channels);
    divisor = arena.take<A>(channels);
    gradient = arena.take<A>(plan.largest_taps);
  }
};

// The arithmetic of both functions: the window of one output, forward and back.
template <typename T>
struct ChannelWise {
  using A = Wide<T>;
  using Scratch = ChannelWiseScratch<T>;
  const Guide<T> guide;
  const Counted<T> counted;
  const int64_t channels;

  ChannelWise(const kpac_sizes& s, const kpac_inputs& in)
      : guide(s, in), counted(s, in), channels(s.guide_channels) {}

  // The offset of a guide pixel, or -1 outside.
  int64_t offset(int64_t image, int64_t row, int64_t column) const {
    if (row < 0 || row >= guide.height || column < 0 || column >= guide.width) return -1;
    return ((image * guide.height + row) * guide.width + column) * channels;
  }
  A difference(int64_t neighbor, int64_t center, int64_t c) const {
    const A d = (neighbor < 0 ? A{0} : widen(guide.guide[neighbor + c])) -
                (center < 0 ? A{0} : widen(guide.center[center + c]));
    return guide.asymmetric && d < 0 ? A{0} : d;
  }
  A similarity(A d, int64_t c) const {
    if (guide.gaussian) return std::exp(static_cast<A>(-0.5) * d * d);
    return inverse(c).similarity(d * d);
  }
  InverseKernel<A> inverse(int64_t c) const { return {guide.alpha[c], guide.exponent[c]}; }

  // Fills all but the gradient of `scratch` for one output; returns the offset of its centre.
  int64_t compute_window(const Tile& tile, int64_t at, Scratch scratch) const {
    const int64_t m = at / tile.stride, p = at % tile.stride;
    const int64_t center = offset(tile.image, tile.center_row(m), tile.center_column(p));
    std::fill(scratch.divisor, scratch.divisor + channels, A{0});
    int64_t tap = 0, in_image = 0;
    for (const Tap& row_tap : tile.rows->lattice.taps) {
      for (const Tap& column_tap : tile.columns->lattice.taps) {
        const int64_t neighbor =
            offset(tile.image, row_tap.guide + (tile.row + m) * tile.rows->lattice.guide_step,
                   column_tap.guide + (tile.column + p) * tile.columns->lattice.guide_step);
        scratch.neighbors[tap] = neighbor;
        scratch.met[tap] = 1;
        if (counted.any()) {
          bool inside;
          scratch.met[tap] = counted.at(tile.image, tile.input_row(row_tap, m),
                                        tile.input_column(column_tap, p), &inside);
          in_image += inside;
        }
        for (int64_t c = 0; c < channels; ++c) {
          A& k = scratch.adapting[tap * channels + c];
          k = scratch.met[tap] * similarity(difference(neighbor, center, c), c);
          scratch.divisor[c] += counted.normalize ? k : scratch.met[tap];
        }
        ++tap;
      }
    }
    if (counted.any()) divide_window(tap, in_image, scratch);
    return center;
  }

  void divide_window(int64_t taps, int64_t in_image, const Scratch& scratch) const {
    for (int64_t c = 0; c < channels; ++c) {
      A& divisor = scratch.divisor[c];
      if (!counted.normalize) divisor /= std::max<int64_t>(in_image, 1);
      for (int64_t i = c; i < taps * channels; i += channels) {
        scratch.adapting[i] = divisor == 0 ? A{0} : scratch.adapting[i] / divisor;
      }
    }
  }

  // For one channel of the same output, with dL/dK in the scratch and `common` = sum_t dL/dK K.
  void pass_back(const Scratch& scratch, int64_t taps, int64_t center, int64_t c, A common,
                 const GuideGradients<T>& gradients, double* exponent_sums) const {
    const A divisor = counted.any() ? scratch.divisor[c] : A{1};
    A *const to_guide = gradients.guide(), *const to_center = gradients.center();
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t neighbor = scratch.neighbors[tap];
      const A dk =
          divisor == 0 ? A{0} : scratch.met[tap] * (scratch.gradient[tap] - common) / divisor;
      const A d = difference(neighbor, center, c);
      const A weight = guide.gaussian ? -similarity(d, c) * dk
                                      : inverse(c).distance_gradient(d * d, dk, &exponent_sums[c],
                                                                     &exponent_sums[channels + c]);
      if (neighbor >= 0 && to_guide != nullptr) to_guide[neighbor + c] += weight * d;
      if (center >= 0 && to_center != nullptr) to_center[center + c] -= weight * d;
    }
  }
};

template <typename T>
class ChannelWiseAdaptingKernel : public Job {
 public:
  ChannelWiseAdaptingKernel(const kpac_call& call, void* workspace,
                            const kpac_parallel_for& parallel_for)
      : Job(call, workspace, parallel_for, Counted<T>(call.sizes, call.inputs).any()),
        channel_wise_(s, in),
        scratches_(make_scratches<ChannelWiseScratch<T>>(channel_wise_.channels)) {}

  void run() const {
    run_tiles<kLanes<Wide<T>>>(strips(), 1, [&](const Tile& tile, int32_t worker, int64_t) {
      compute(tile, scratches_[worker]);
    });
  }

 private:
  void compute(const Tile& tile, const ChannelWiseScratch<T>& scratch) const {
    const int64_t channels = channel_wise_.channels, taps = window_taps(s), size = taps * channels;
    T* const adapting = static_cast<T*>(out.adapting_kernel);
    for_each_output(s, tile, size, adapting, [&](int64_t at, T* window) {
      channel_wise_.compute_window(tile, at, scratch);
      if (tile.taps() < taps) std::fill(window, window + size, narrow<T>(0));
      for_each_tap(s, tile, [&](int64_t tap, int64_t window_tap) {
        for (int64_t c = 0; c < channels; ++c) {
          window[window_tap * channels + c] = narrow<T>(scratch.adapting[tap * channels + c]);
        }
      });
      if (out.output_mask == nullptr) return;
      const bool any = std::any_of(scratch.divisor, scratch.divisor + channels,
                                   [](Wide<T> divisor) { return divisor != 0; });
      static_cast<T*>(out.output_mask)[(window - adapting) / size] = narrow<T>(any ? 1 : 0);
    });
  }

  const ChannelWise<T> channel_wise_;
  const std::vector<ChannelWiseScratch<T>> scratches_;
};

template <typename T>
class ChannelWiseAdaptingKernelGradient : public Job {
 public:
  ChannelWiseAdaptingKernelGradient(const kpac_call& call, void* workspace,
                                    const kpac_parallel_for& parallel_for)
      : Job(call, workspace, parallel_for, Counted<T>(call.sizes, call.inputs).any()),
        channel_wise_(s, in),
        groups_(std::min(strips(), kMostGroups)),
        gradients_(*this, groups_, channel_wise_.channels),
        scratches_(make_scratches<ChannelWiseScratch<T>>(channel_wise_.channels)) {}

  void run() const {
    gradients_.clear();
    run_tiles<kLanes<Wide<T>>>(groups_, 2, [&](const Tile& tile, int32_t worker, int64_t group) {
      pass_back(tile, scratches_[worker], gradients_.exponent_sums(group));
    });
    gradients_.finish();
  }

 private:
  void pass_back(const Tile& tile, const ChannelWiseScratch<T>& scratch, double* sums) const {
    const int64_t channels = channel_wise_.channels, size = window_taps(s) * channels;
    const T* const upstream = static_cast<const T*>(in.upstream);
    for_each_output(s, tile, size, upstream, [&](int64_t at, const T* window) {
      const int64_t center = channel_wise_.compute_window(tile, at, scratch);
      for (int64_t c = 0; c < channels; ++c) {
        Wide<T> common = 0;
        for_each_tap(s, tile, [&](int64_t tap, int64_t window_tap) {
          Wide<T>& gradient = scratch.gradient[tap];
          gradient = widen(window[window_tap * channels + c]);
          if (s.normalize) common += gradient * scratch.adapting[tap * channels + c];
        });
        channel_wise_.pass_back(scratch, tile.taps(), center, c, common, gradients_, sums);
      }
    });
  }

  const ChannelWise<T> channel_wise_;
  const int64_t groups_;
  const GuideGradients<T> gradients_;
  const std::vector<ChannelWiseScratch<T>> scratches_;
};

}  // namespace kpac::KPAC_ISA
