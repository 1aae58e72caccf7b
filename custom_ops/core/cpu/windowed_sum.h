// The function KPAC_WINDOWED_SUM.
#pragma once

#include "job.h"
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
        bias_(static_cast<const T*>(in.bias)),
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
    source_.compute(tile, scratch.guide, scratch.adapting);
    for (int64_t m = 0; m < tile.height; ++m) {
      for (int64_t p = 0; p < tile.width; ++p) {
        A* sums = scratch.outputs + p * scratch.outputs_stride;
        for (int64_t o = 0; o < filter_.filters; ++o) {
          sums[o] = bias_ == nullptr ? 0 : widen(bias_[o]);
        }
      }
      add_row(tile, m, scratch);
      for (int64_t p = 0; p < tile.width; ++p) {
        const A* sums = scratch.outputs + p * scratch.outputs_stride;
        T* y = static_cast<T*>(out.y) + output_index(s, tile, m, p) * filter_.filters;
        for (int64_t o = 0; o < filter_.filters; ++o) y[o] = narrow<T>(sums[o]);
      }
    }
  }

  void add_row(const Tile& tile, int64_t m, const SumScratch<T>& scratch) const {
    if constexpr (std::is_same<T, A>::value) {
      if (is_direct<T>(filter_)) {
        return add_direct_row(x_, tile, filter_, m, scratch.adapting, scratch.direct,
                              scratch.outputs, scratch.outputs_stride);
      }
    }
    for (const TapBlock& block : filter_.blocks[tile.phase]) {
      modulated_patches(x_, tile, block, m, scratch.adapting, scratch.patches,
                        scratch.patches_stride);
      multiply<Order::kByRow>(tile.width, filter_.filters, block.depth, scratch.patches,
                              scratch.patches_stride, filter_.forward + block.forward_offset,
                              kPanel<A>, block.depth * kPanel<A>, scratch.outputs,
                              scratch.outputs_stride, true);
    }
  }

  void pool(const Tile& tile, const SumScratch<T>& scratch) const {
    if (source_.guided()) source_.compute(tile, scratch.guide, scratch.adapting);
    const auto pool = s.channel_wise ? pool_tile<true, T> : pool_tile<false, T>;
    pool(s, x_, tile, source_.given, scratch.adapting, static_cast<const T*>(in.filter), bias_,
         scratch.pooling, static_cast<T*>(out.y));
  }

  const Image<T> x_;
  const AdaptingSource<T> source_;
  const T* const bias_;
  const PackedFilter<A> filter_;
  const std::vector<SumScratch<T>> scratches_;
};

}  // namespace kpac::KPAC_ISA
