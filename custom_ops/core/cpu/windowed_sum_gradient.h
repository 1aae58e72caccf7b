// The function KPAC_WINDOWED_SUM_GRADIENT.
#pragma once

#include "guide_gradients.h"
#include "sum_scratch.h"

namespace kpac::KPAC_ISA {

template <typename T>
class WindowedSumGradient : public Job {
  using A = Wide<T>;

 public:
  WindowedSumGradient(const kpac_call& call, void* workspace, const kpac_parallel_for& parallel_for)
      : Job(call, workspace, parallel_for, true),
        full_(s.filter_type == KPAC_FULL),
        x_(s, in),
        source_(s, in),
        wants_guide_(source_.guided() && (out.guide != nullptr || out.center != nullptr ||
                                          out.alpha != nullptr || out.exponent != nullptr)),
        wants_filter_(s.filter_type != KPAC_POOLING && out.filter != nullptr),
        // The gradients by x and K take W u.
        passes_filter_(full_ &&
                       (out.x != nullptr || wants_guide_ || out.adapting_kernel != nullptr)),
        filter_(plan, s, arena, false, passes_filter_),
        bias_at_(!wants_filter_ ? 0
                 : full_        ? filter_.gradient_size
                                : round_up(window_taps(s), kLanes<A>)),
        sums_size_(bias_at_ + filter_.gradient_stride),
        groups_(std::min(strips(), most_groups(x_size(), sums_size_))),
        x_gradient_(out.x, x_size(), arena),
        guide_gradients_(*this, groups_, 1),
        sums_(arena.take<A>(groups_ * sums_size_)),
        scratches_(make_scratches<SumScratch<T>>(s, filter_, source_.guided(), true)) {}

  void run() const {
    clear();
    if (passes_filter_) filter_.pack(plan, static_cast<const T*>(in.filter), parallel_for);
    run_tiles<kLanes<A>>(groups_, 2, [&](const Tile& tile, int32_t worker, int64_t group) {
      pass_back(tile, scratches_[worker], group);
    });
    x_gradient_.finish(parallel_for);
    guide_gradients_.finish();
    if (out.bias != nullptr) {
      add_groups(bias_at_, s.output_channels, static_cast<T*>(out.bias));
    }
    if (wants_filter_) finish_filter();
  }

 private:
  int64_t x_size() const { return s.batch * s.input_size[0] * s.input_size[1] * s.input_channels; }

  // As many as threads can use, if their sums stay small beside the images.
  static int64_t most_groups(int64_t x_size, int64_t sums_size) {
    const int64_t bytes = static_cast<int64_t>(sizeof(A));
    return std::clamp<int64_t>(x_size * bytes / 8 / std::max<int64_t>(sums_size * bytes, 1), 4,
                               kMostGroups);
  }

  // Each group sums up the gradients by [filter][bias].
  A* sums(int64_t group) const { return sums_ + group * sums_size_; }

  void clear() const {
    x_gradient_.clear(parallel_for);
    guide_gradients_.clear();
    run_parallel(parallel_for, groups_,
                 [&](int64_t group, int32_t) { std::fill_n(sums(group), sums_size_, A{0}); });
  }

  // All gradients of a tile.
  void pass_back(const Tile& tile, const SumScratch<T>& scratch, int64_t group) const {
    if (!s.channel_wise) source_.compute(tile, scratch.guide, scratch.adapting);
    if (full_) {
      const int64_t together = tile.rows_together();
      for (int64_t m = 0; m < tile.height; m += together) {
        filter_rows_back(tile, m, std::min(m + together, tile.height), scratch, sums(group));
      }
    } else {
      for (int64_t m = 0; m < tile.height; ++m) pool_back(tile, m, scratch, sums(group));
    }
    if (wants_guide_) {
      if (!source_.guide.gaussian) {
        squared_distances(source_.guide, tile, scratch.guide, scratch.adapting);
      }
      guide_gradients_.add_tile(source_.guide, tile, scratch.guide, scratch.adapting,
                                scratch.adapting_gradient, group);
    } else if (out.adapting_kernel != nullptr && !s.channel_wise) {
      store_window(s, tile, scratch.adapting_gradient, static_cast<T*>(out.adapting_kernel));
    }
  }

  // The upstream gradient of row m, from `to` on; adds it to the gradient of the bias.
  void load_upstream(const Tile& tile, int64_t m, A* bias_gradient, RowOf<A> to) const {
    const RowOf<const T> upstream =
        row_of(s, tile, m, s.output_channels, static_cast<const T*>(in.upstream));
    for (int64_t p = 0; p < tile.width; ++p) {
      const T* u = upstream.first + p * upstream.step;
      A* copy = to.first + p * to.step;
      for (int64_t o = 0; o < s.output_channels; ++o) {
        copy[o] = widen(u[o]);
        bias_gradient[o] += copy[o];
      }
    }
  }

  // Rows first ... last - 1 of a tile with a full filter.
  void filter_rows_back(const Tile& tile, int64_t first, int64_t last, const SumScratch<T>& scratch,
                        A* sums) const {
    const int64_t outputs = (last - first) * tile.width;
    for (int64_t m = first; m < last; ++m) {
      load_upstream(tile, m, sums + bias_at_,
                    {scratch.outputs + (m - first) * tile.width * scratch.outputs_stride,
                     scratch.outputs_stride});
    }
    for (const TapBlock& block : filter_.blocks[tile.phase]) {
      if (passes_filter_) {
        multiply<Order::kByRow>(outputs, block.depth, filter_.filters, scratch.outputs,
                                scratch.outputs_stride, filter_.back + block.back_offset, kPanel<A>,
                                filter_.filters * kPanel<A>, scratch.patches,
                                scratch.patches_stride, false);
      }
      for (int64_t m = first; m < last; ++m) {
        A* const patches = scratch.patches + (m - first) * tile.width * scratch.patches_stride;
        if (passes_filter_) {
          pass_row_back(x_, tile, block, m, scratch.adapting, x_gradient_.sums,
                        scratch.adapting_gradient, patches, scratch.patches_stride, scratch.row,
                        scratch.dropped);
        } else if (wants_filter_) {
          const auto adapting = [&](const TapRun& run) {
            return RowOf<const A>{scratch.adapting + run.at, 1};
          };
          modulated_patches(x_, tile, block, m, adapting, patches, scratch.patches_stride);
        }
      }
      if (wants_filter_) {
        multiply<Order::kByColumn>(block.depth, filter_.filters, outputs, scratch.patches,
                                   scratch.patches_stride, scratch.outputs, scratch.outputs_stride,
                                   kPanel<A>, sums + block.gradient_offset, filter_.gradient_stride,
                                   true);
      }
    }
  }

  // Row m of a tile with a shared filter or none.
  void pool_back(const Tile& tile, int64_t m, const SumScratch<T>& scratch, A* sums) const {
    const RowOf<A> u = {scratch.outputs, scratch.outputs_stride};
    load_upstream(tile, m, sums + bias_at_, u);
    const PoolGradients<T> to = {x_gradient_.sums, static_cast<T*>(out.adapting_kernel),
                                 scratch.adapting_gradient, wants_filter_ ? sums : nullptr};
    const T* const filter = static_cast<const T*>(in.filter);
    if (s.channel_wise) {
      pool_channel_wise_row_back<T>(s, x_, tile, m, source_.given, filter, {u.first, u.step}, to);
    } else {
      pool_row_back<T>(s, x_, tile, m, scratch.adapting, filter, {u.first, u.step}, to);
    }
  }

  // Adds up `count` sums of all groups.
  void add_groups(int64_t at, int64_t count, T* result) const {
    for (int64_t i = 0; i < count; ++i) {
      A total = 0;
      for (int64_t group = 0; group < groups_; ++group) total += sums(group)[at + i];
      result[i] = narrow<T>(total);
    }
  }

  void finish_filter() const {
    T* const to_filter = static_cast<T*>(out.filter);
    if (!full_) return add_groups(0, window_taps(s), to_filter);
    // With inserted zeros and few outputs, some taps are met by none.
    std::fill_n(to_filter, window_taps(s) * s.input_channels * s.output_channels, narrow<T>(0));
    std::vector<std::pair<int64_t, int64_t>> rows;  // (in the sums, in the filter)
    filter_.for_each_row(plan, [&](const TapBlock& block, int64_t row, int64_t whole_row) {
      rows.emplace_back(block.gradient_offset + row * filter_.gradient_stride, whole_row);
    });
    run_parallel(parallel_for, static_cast<int64_t>(rows.size()), [&](int64_t i, int32_t) {
      add_groups(rows[i].first, s.output_channels, to_filter + rows[i].second * s.output_channels);
    });
  }

  const bool full_;
  const Image<T> x_;
  const AdaptingSource<T> source_;
  const bool wants_guide_, wants_filter_, passes_filter_;
  const PackedFilter<A> filter_;
  const int64_t bias_at_, sums_size_, groups_;
  const Accumulator<T> x_gradient_;
  const GuideGradients<T> guide_gradients_;
  A* const sums_;
  const std::vector<SumScratch<T>> scratches_;
};

}  // namespace kpac::KPAC_ISA
