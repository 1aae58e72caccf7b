// The function KPAC_WINDOWED_SUM.
#pragma once

#include "job.h"
#include "softmax.h"
#include "sum_scratch.h"

namespace kpac::KPAC_ISA {

template <typename T>
class WindowedSum : public Job {
  using A = Wide<T>;

 public:
  WindowedSum(const kpac_call& call, void* workspace, const kpac_parallel_for& parallel_for)
      : Job(call, workspace, parallel_for, true),
        x_(s, in),
        source_(s, in),
        filter_(plan, s, arena, true, false),
        scratches_(
            make_scratches<SumScratch<T>>(s, filter_.largest_depth, source_.guided(), false)) {}

  void run() const {
    filter_.pack(plan, static_cast<const T*>(in.filter));
    run_tiles<kLanes<A>>(strips(), 1, [&](const Tile& tile, int32_t worker, int64_t) {
      if (s.filter_type == KPAC_FULL) {
        filter_tile(tile, scratches_[worker]);
      } else {
        pool(tile, scratches_[worker]);
      }
    });
  }

 private:
  void filter_tile(const Tile& tile, const SumScratch<T>& scratch) const {
    const bool in_planes = source_.guided() || is_direct<T>(filter_);
    if (in_planes) source_.compute(tile, scratch.guide, scratch.adapting);
    for (int64_t m = 0; m < tile.height; ++m) {
      const RowOf<const T> bias = bias_row(tile, m);
      for (int64_t p = 0; p < tile.width; ++p) {
        A* sums = scratch.outputs + p * scratch.outputs_stride;
        for (int64_t o = 0; o < filter_.filters; ++o) {
          sums[o] = bias.first == nullptr ? 0 : widen(bias.first[p * bias.step + o]);
        }
      }
      add_row(tile, m, in_planes, scratch);
      write_row(tile, m, scratch);
    }
  }

  // One bias serves all outputs, or each has its own.
  RowOf<const T> bias_row(const Tile& tile, int64_t m) const {
    const T* const bias = static_cast<const T*>(in.bias);
    if (!s.bias_image) return {bias, 0};
    return row_of(s, tile, m, s.output_channels, bias);
  }

  RowOf<T> y_row(const Tile& tile, int64_t m) const {
    return row_of(s, tile, m, s.output_channels, static_cast<T*>(out.y));
  }

  // From the sums in the scratch memory to y.
  void write_row(const Tile& tile, int64_t m, const SumScratch<T>& scratch) const {
    const RowOf<T> y = y_row(tile, m);
    for (int64_t p = 0; p < tile.width; ++p) {
      A* sums = scratch.outputs + p * scratch.outputs_stride;
      T* to = y.first + p * y.step;
      if (s.softmax) {
        softmax(sums, s.output_channels, to);
      } else {
        for (int64_t o = 0; o < s.output_channels; ++o) to[o] = narrow<T>(sums[o]);
      }
    }
  }

  void add_row(const Tile& tile, int64_t m, bool in_planes, const SumScratch<T>& scratch) const {
    if constexpr (std::is_same<T, A>::value) {
      if (is_direct<T>(filter_)) {
        return add_direct_row(x_, tile, filter_, m, scratch.adapting, scratch.direct,
                              scratch.outputs, scratch.outputs_stride);
      }
    }
    if (in_planes) {
      return add_products(tile, m, scratch, [&](int64_t, int64_t at) {
        return RowOf<const A>{scratch.adapting + at, 1};
      });
    }
    const RowOf<const T> windows = row_of(s, tile, m, window_taps(s), source_.given);
    add_products(tile, m, scratch, [&](int64_t tap, int64_t) {
      return RowOf<const T>{windows.first + window_tap(s, tile, tap), windows.step};
    });
  }

  template <typename Adapting>
  void add_products(const Tile& tile, int64_t m, const SumScratch<T>& scratch,
                    const Adapting& adapting) const {
    for (const TapBlock& block : filter_.blocks[tile.phase]) {
      modulated_patches(x_, tile, block, m, adapting, scratch.patches, scratch.patches_stride);
      multiply<Order::kByRow>(tile.width, filter_.filters, block.depth, scratch.patches,
                              scratch.patches_stride, filter_.forward + block.forward_offset,
                              kPanel<A>, block.depth * kPanel<A>, scratch.outputs,
                              scratch.outputs_stride, true);
    }
  }

  void pool(const Tile& tile, const SumScratch<T>& scratch) const {
    if (source_.guided()) source_.compute(tile, scratch.guide, scratch.adapting);
    const auto pool = s.channel_wise ? pool_row<true, T> : pool_row<false, T>;
    for (int64_t m = 0; m < tile.height; ++m) {
      const auto pool_to = [&](RowOf<A> sums) {
        pool(s, x_, tile, m, source_.given, scratch.adapting, static_cast<const T*>(in.filter),
             bias_row(tile, m), scratch.pooling, sums);
      };
      if constexpr (std::is_same<T, A>::value) {
        if (!s.softmax) {
          pool_to(y_row(tile, m));
          continue;
        }
      }
      pool_to({scratch.outputs, scratch.outputs_stride});
      write_row(tile, m, scratch);
    }
  }

  const Image<T> x_;
  const AdaptingSource<T> source_;
  const PackedFilter<A> filter_;
  const std::vector<SumScratch<T>> scratches_;
};

}  // namespace kpac::KPAC_ISA
