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
        scratches_(make_scratches<SumScratch<T>>(s, filter_, source_.guided(), false)) {}

  void run() const {
    filter_.pack(plan, static_cast<const T*>(in.filter), parallel_for);
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
    const bool planes = scratch.planes.pay(filter_, tile.width);
    const bool in_planes = source_.guided() || is_direct<T>(filter_) || planes;
    if (in_planes) source_.compute(tile, scratch.guide, scratch.adapting);
    if (planes) pack_input(x_, tile, scratch.planes);
    const int64_t together = planes ? 1 : tile.rows_together();
    for (int64_t first = 0; first < tile.height; first += together) {
      const int64_t last = std::min(first + together, tile.height);
      for (int64_t m = first; m < last; ++m) start_row(tile, m, row_sums(tile, m, first, scratch));
      if (planes) {
        add_plane_row(x_, tile, filter_, first, scratch.adapting, scratch.planes,
                      row_sums(tile, first, first, scratch));
      } else {
        add_rows(tile, first, last, in_planes, scratch);
      }
      for (int64_t m = first; m < last; ++m) write_row(tile, m, row_sums(tile, m, first, scratch));
    }
  }

  // Whether the sums are in y from the start, and no copy is needed. (With more filters, which take
  // several passes, the copy pays.)
  bool sums_are_y() const {
    return is_direct<T>(filter_) && filter_.filters == kLanes<A> && !s.softmax;
  }

  // The sums of row m of the rows that are summed together, from `first` on.
  RowOf<A> row_sums(const Tile& tile, int64_t m, int64_t first,
                    const SumScratch<T>& scratch) const {
    if constexpr (std::is_same<T, A>::value) {
      if (sums_are_y()) return y_row(tile, m);
    }
    return {scratch.outputs + (m - first) * tile.width * scratch.outputs_stride,
            scratch.outputs_stride};
  }

  // Sums begin with the bias.
  void start_row(const Tile& tile, int64_t m, RowOf<A> sums) const {
    const RowOf<const T> bias = bias_row(tile, m);
    for (int64_t p = 0; p < tile.width; ++p) {
      A* to = sums.first + p * sums.step;
      if (bias.first == nullptr) {
        std::fill_n(to, filter_.filters, A{0});
      } else {
        const T* from = bias.first + p * bias.step;
        for (int64_t o = 0; o < filter_.filters; ++o) to[o] = widen(from[o]);
      }
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

  // From the sums to y.
  void write_row(const Tile& tile, int64_t m, RowOf<A> sums) const {
    const RowOf<T> y = y_row(tile, m);
    if (static_cast<const void*>(sums.first) == y.first) return;  // they are there
    for (int64_t p = 0; p < tile.width; ++p) {
      A* from = sums.first + p * sums.step;
      T* to = y.first + p * y.step;
      if (s.softmax) {
        softmax(from, s.output_channels, to);
      } else {
        int64_t o = 0;
        for (; o + kLanes<A> <= s.output_channels; o += kLanes<A>)
          store_narrow(to + o, load(from + o));
        for (; o < s.output_channels; ++o) to[o] = narrow<T>(from[o]);
      }
    }
  }

  // To the sums of rows first ... last - 1.
  void add_rows(const Tile& tile, int64_t first, int64_t last, bool in_planes,
                const SumScratch<T>& scratch) const {
    if constexpr (std::is_same<T, A>::value) {
      if (is_direct<T>(filter_)) {
        for (int64_t m = first; m < last; ++m) {
          const RowOf<A> sums = row_sums(tile, m, first, scratch);
          add_direct_row(x_, tile, filter_, m, scratch.adapting, scratch.direct, sums.first,
                         sums.step);
        }
        return;
      }
    }
    for (const TapBlock& block : filter_.blocks[tile.phase]) {
      for (int64_t m = first; m < last; ++m) {
        A* const patches = scratch.patches + (m - first) * tile.width * scratch.patches_stride;
        if (in_planes) {
          const auto adapting = [&](const TapRun& run) {
            return RowOf<const A>{scratch.adapting + run.at, 1};
          };
          modulated_patches(x_, tile, block, m, adapting, patches, scratch.patches_stride);
        } else {
          const RowOf<const T> windows = row_of(s, tile, m, window_taps(s), source_.given);
          const auto adapting = [&](const TapRun& run) {
            return RowOf<const T>{windows.first + window_tap(s, run), windows.step};
          };
          modulated_patches(x_, tile, block, m, adapting, patches, scratch.patches_stride);
        }
      }
      const RowOf<A> sums = row_sums(tile, first, first, scratch);
      multiply<Order::kByRow>((last - first) * tile.width, filter_.filters, block.depth,
                              scratch.patches, scratch.patches_stride,
                              filter_.forward + block.forward_offset, kPanel<A>,
                              block.depth * kPanel<A>, sums.first, sums.step, true);
    }
  }

  void pool(const Tile& tile, const SumScratch<T>& scratch) const {
    if (source_.guided()) source_.compute(tile, scratch.guide, scratch.adapting);
    const auto pool = source_.guided() ? pool_row<Modulation::kPlanes, T>
                      : s.channel_wise ? pool_row<Modulation::kChannelWise, T>
                                       : pool_row<Modulation::kTensor, T>;
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
      const RowOf<A> sums = {scratch.outputs, scratch.outputs_stride};
      pool_to(sums);
      write_row(tile, m, sums);
    }
  }

  const Image<T> x_;
  const AdaptingSource<T> source_;
  const PackedFilter<A> filter_;
  const std::vector<SumScratch<T>> scratches_;
};

}  // namespace kpac::KPAC_ISA
