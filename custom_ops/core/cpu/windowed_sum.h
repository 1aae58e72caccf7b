// The functions kpac_cpu_windowed_sum and kpac_cpu_windowed_sum_gradient.
#pragma once

#include "direct_product.h"
#include "job.h"
#include "pooling.h"
#include "sum_tile.h"

namespace kpac {
namespace KPAC_ISA {

// Where the adapting kernel of a tile comes from: a tensor, or the guide.
template <typename T>
struct KernelSource {
  const kpac_sizes& s;
  const T* given;
  Guide<T> guide;

  KernelSource(const kpac_sizes& s, const kpac_inputs& in)
      : s(s), given(static_cast<const T*>(in.adapting_kernel)) {
    if (given == nullptr) guide = guide_of<T>(s, in);
  }
  void compute(const Tile& tile, const GuideScratch<Wide<T>>& scratch, Wide<T>* kernel) const {
    if (given != nullptr) {
      load_window(s, tile, given, kernel);
    } else {
      adapting_kernel_tile(guide, tile, scratch, kernel);
    }
  }
};

template <typename T>
struct SumScratch {
  using A = Wide<T>;
  GuideScratch<A> guide;
  A *kernel = nullptr, *kernel_gradient = nullptr;  // planes of a tile
  A *patches = nullptr, *outputs = nullptr;         // of a row of a tile
  A *row, *dropped;                                 // of one output
  RowScratch<DirectTap<A>> direct;
  RowScratch<PoolTap<A>> pooling;
  int64_t patches_stride, outputs_stride;

  SumScratch(Arena& arena, const kpac_sizes& s, const Plan& plan, int64_t depth, bool guided,
             bool gradients) {
    if (guided) guide.take(arena, plan, gradients);
    if (!s.channel_wise) {
      kernel = arena.take<A>(plan.largest_taps * kTilePlane);
      if (gradients) kernel_gradient = arena.take<A>(plan.largest_taps * kTilePlane);
    }
    patches_stride = round_up(depth, kLanes<A>);
    outputs_stride = round_up(s.output_channels, kLanes<A>);
    if (s.filter == KPAC_FULL) {
      patches = arena.take<A>(kTileColumns * patches_stride);
      direct.take(arena, plan.largest_taps);
      outputs = arena.take<A>(kTileColumns * outputs_stride);
    }
    if (s.filter != KPAC_FULL && !gradients) pooling.take(arena, plan.largest_taps);
    row = arena.take<A>(std::max(s.input_channels, outputs_stride));
    dropped = arena.take<A>(s.input_channels);
  }
};

template <typename T>
Image<T> image_of(const kpac_sizes& s, const kpac_inputs& in) {
  return {static_cast<const T*>(in.x), s.input_size[0], s.input_size[1], s.input_channels};
}

template <typename T>
int64_t windowed_sum(const kpac_sizes& s, const kpac_inputs& in, void* out, void* workspace,
                     const kpac_parallel_for& parallel_for, bool only_count) {
  using A = Wide<T>;
  const Plan plan = make_plan(s, true);
  Arena arena(workspace);
  const bool full = s.filter == KPAC_FULL;
  Filter<A> filter(plan, s);
  if (full) filter.forward = arena.take<A>(filter.forward_size);
  std::vector<SumScratch<T>> scratches;
  for (int32_t i = 0; i < parallel_for.workers; ++i) {
    scratches.emplace_back(arena, s, plan, filter.largest_depth, in.adapting_kernel == nullptr,
                           false);
  }
  if (only_count) return arena.used();
  const Groups groups(plan, s.batch, INT64_MAX);
  if (groups.strips == 0) return 0;
  const T* kernel = static_cast<const T*>(in.kernel);
  if (full) pack_filter(plan, s.kernel_size[1], kernel, filter);
  const KernelSource<T> source(s, in);
  const Image<T> x = image_of<T>(s, in);
  const T* bias = static_cast<const T*>(in.bias);
  const auto filter_tile = [&](const Tile& tile, const SumScratch<T>& scratch) {
    for (int64_t m = 0; m < tile.height; ++m) {
      for (int64_t p = 0; p < tile.width; ++p) {
        A* sums = scratch.outputs + p * scratch.outputs_stride;
        for (int64_t o = 0; o < filter.filters; ++o) sums[o] = bias == nullptr ? 0 : widen(bias[o]);
      }
      if (is_direct<T>(filter)) {
        if constexpr (std::is_same<T, A>::value) {
          add_direct_row(x, tile, filter, m, scratch.kernel, scratch.direct, scratch.outputs,
                         scratch.outputs_stride);
        }
      } else {
        for (const TapBlock& block : filter.blocks[tile.phase]) {
          modulated_patches(x, tile, block, m, scratch.kernel, scratch.patches,
                            scratch.patches_stride);
          multiply<Order::kByRow>(tile.width, filter.filters, block.depth, scratch.patches,
                                  scratch.patches_stride, filter.forward + block.forward_offset,
                                  kPanel<A>, block.depth * kPanel<A>, scratch.outputs,
                                  scratch.outputs_stride, true);
        }
      }
      for (int64_t p = 0; p < tile.width; ++p) {
        const A* sums = scratch.outputs + p * scratch.outputs_stride;
        T* y = static_cast<T*>(out) + output_index(s, tile, m, p) * filter.filters;
        for (int64_t o = 0; o < filter.filters; ++o) y[o] = narrow<T>(sums[o]);
      }
    }
  };
  run_parallel(parallel_for, groups.strips, [&](int64_t i, int32_t worker) {
    const auto& scratch = scratches[worker];
    const int64_t image = i / groups.strips_per_image;
    const Strip& strip = plan.strips[i % groups.strips_per_image];
    for_each_tile<kLanes<A>>(plan, strip, image, [&](const Tile& tile) {
      if (full) {
        source.compute(tile, scratch.guide, scratch.kernel);
        filter_tile(tile, scratch);
        return;
      }
      if (source.given == nullptr) source.compute(tile, scratch.guide, scratch.kernel);
      const auto pool = s.channel_wise ? pool_tile<true, T> : pool_tile<false, T>;
      pool(s, x, tile, source.given, scratch.kernel, kernel, bias, scratch.pooling,
           static_cast<T*>(out));
    });
  });
  return 0;
}

template <typename T>
int64_t windowed_sum_gradient(const kpac_sizes& s, const kpac_inputs& in, const void* upstream,
                              const kpac_gradients& gradients, void* workspace,
                              const kpac_parallel_for& parallel_for, bool only_count) {
  using A = Wide<T>;
  const Plan plan = make_plan(s, true);
  Arena arena(workspace);
  const bool full = s.filter == KPAC_FULL, guided = in.adapting_kernel == nullptr;
  const int64_t x_size = s.batch * s.input_size[0] * s.input_size[1] * s.input_channels;
  const int64_t guide_size =
      guided ? s.batch * s.guide_size[0] * s.guide_size[1] * s.guide_channels : 0;
  const Accumulator<T> x_sums(gradients.x, x_size, arena);
  const Accumulator<T> guide_sums(guided ? gradients.guide : nullptr, guide_size, arena);
  const Accumulator<T> center_sums(in.center != nullptr ? gradients.center : nullptr, guide_size,
                                   arena);
  A* to_center = in.center == nullptr ? guide_sums.sums : center_sums.sums;
  const bool wants_guide =
      guided && (gradients.guide || gradients.center || gradients.alpha || gradients.exponent);
  const bool wants_k = wants_guide || (!guided && gradients.adapting_kernel);
  const bool wants_w = s.filter != KPAC_POOLING && gradients.kernel;

  Filter<A> filter(plan, s);
  const bool back = full && (gradients.x || wants_k);
  if (back) filter.back = arena.take<A>(filter.back_size);
  // What every group sums up: [filter][bias], and [alpha, exponent].
  const int64_t filter_sums = !wants_w ? 0 : full ? filter.gradient_size : window_taps(s);
  const int64_t sums_size = round_up(filter_sums, kLanes<A>) + filter.gradient_stride;
  const Groups groups(plan, s.batch,
                      most_groups(x_size * static_cast<int64_t>(sizeof(A)),
                                  sums_size * static_cast<int64_t>(sizeof(A))));
  A* sums = arena.take<A>(groups.count * sums_size);
  double* exponent_sums = arena.take<double>(2 * groups.count);
  std::vector<SumScratch<T>> scratches;
  for (int32_t i = 0; i < parallel_for.workers; ++i) {
    scratches.emplace_back(arena, s, plan, filter.largest_depth, guided, true);
  }
  if (only_count) return arena.used();

  x_sums.clear(parallel_for);
  guide_sums.clear(parallel_for);
  center_sums.clear(parallel_for);
  if (back && groups.strips > 0) {
    pack_filter(plan, s.kernel_size[1], static_cast<const T*>(in.kernel), filter);
  }
  const KernelSource<T> source(s, in);
  const Image<T> x = image_of<T>(s, in);
  const int64_t bias_at = sums_size - filter.gradient_stride;

  const auto filter_tile_back = [&](const Tile& tile, const SumScratch<T>& scratch, A* sums) {
    for (int64_t m = 0; m < tile.height; ++m) {
      for (int64_t p = 0; p < tile.width; ++p) {
        const T* u = static_cast<const T*>(upstream) + output_index(s, tile, m, p) * filter.filters;
        A* to = scratch.outputs + p * scratch.outputs_stride;
        for (int64_t o = 0; o < filter.filters; ++o) {
          to[o] = widen(u[o]);
          sums[bias_at + o] += to[o];
        }
      }
      for (const TapBlock& block : filter.blocks[tile.phase]) {
        if (back) {
          multiply<Order::kByRow>(tile.width, block.depth, filter.filters, scratch.outputs,
                                  scratch.outputs_stride, filter.back + block.back_offset,
                                  kPanel<A>, filter.filters * kPanel<A>, scratch.patches,
                                  scratch.patches_stride, false);
          pass_row_back(x, tile, block, m, scratch.kernel, x_sums.sums, scratch.kernel_gradient,
                        scratch.patches, scratch.patches_stride, scratch.row, scratch.dropped);
        } else if (wants_w) {
          modulated_patches(x, tile, block, m, scratch.kernel, scratch.patches,
                            scratch.patches_stride);
        }
        if (wants_w) {
          multiply<Order::kByColumn>(block.depth, filter.filters, tile.width, scratch.patches,
                                     scratch.patches_stride, scratch.outputs,
                                     scratch.outputs_stride, kPanel<A>,
                                     sums + block.gradient_offset, filter.gradient_stride, true);
        }
      }
    }
  };
  const auto pass_back = [&](const Tile& tile, const SumScratch<T>& scratch, A* sums,
                             double* exponents) {
    if (!s.channel_wise) source.compute(tile, scratch.guide, scratch.kernel);
    if (full) {
      filter_tile_back(tile, scratch, sums);
    } else {
      pool_tile_back(s, x, tile, {source.given, scratch.kernel}, static_cast<const T*>(in.kernel),
                     static_cast<const T*>(upstream), x_sums.sums,
                     s.channel_wise ? static_cast<T*>(gradients.adapting_kernel) : nullptr,
                     scratch.kernel_gradient, wants_w ? sums : nullptr, sums + bias_at,
                     scratch.row);
    }
    if (!guided && gradients.adapting_kernel != nullptr && !s.channel_wise) {
      store_window(s, tile, scratch.kernel_gradient, static_cast<T*>(gradients.adapting_kernel));
    }
    if (!wants_guide) return;
    if (source.guide.kind == KPAC_INVERSE) {
      squared_distances(source.guide, tile, scratch.guide, scratch.kernel);
    }
    add_distance_gradient(source.guide, tile, scratch.guide, scratch.kernel,
                          scratch.kernel_gradient, guide_sums.sums, to_center, exponents);
  };
  for (int wave = 0; wave < 2; ++wave) {
    run_parallel(parallel_for, groups.count, [&](int64_t group, int32_t worker) {
      A* group_sums = sums + group * sums_size;
      if (wave == 0) {
        std::fill(group_sums, group_sums + sums_size, A{0});
        exponent_sums[2 * group] = exponent_sums[2 * group + 1] = 0;
      }
      groups.for_each_strip(plan, group, wave, [&](const Strip& strip, int64_t image) {
        for_each_tile<kLanes<A>>(plan, strip, image, [&](const Tile& tile) {
          pass_back(tile, scratches[worker], group_sums, exponent_sums + 2 * group);
        });
      });
    });
  }
  x_sums.finish(parallel_for);
  guide_sums.finish(parallel_for);
  center_sums.finish(parallel_for);
  add_groups(exponent_sums, groups.count, 1, static_cast<A*>(gradients.alpha),
             static_cast<A*>(gradients.exponent));
  const auto add_sums = [&](int64_t at, int64_t count, T* result) {
    for (int64_t i = 0; i < count; ++i) {
      A total = 0;
      for (int64_t group = 0; group < groups.count; ++group) {
        total += sums[group * sums_size + at + i];
      }
      result[i] = narrow<T>(total);
    }
  };
  if (gradients.bias != nullptr) {
    add_sums(bias_at, s.output_channels, static_cast<T*>(gradients.bias));
  }
  T* to_kernel = static_cast<T*>(gradients.kernel);
  if (wants_w && !full) add_sums(0, window_taps(s), to_kernel);
  if (wants_w && full) {
    // Few outputs of an input with inserted zeros don't meet every tap.
    std::fill(to_kernel, to_kernel + window_taps(s) * s.input_channels * s.output_channels,
              narrow<T>(0));
  }
  if (wants_w && full && groups.strips > 0) {
    std::vector<std::pair<int64_t, int64_t>> rows;  // (in the sums, in the filter)
    for_each_filter_row(
        plan, s.kernel_size[1], filter, [&](const TapBlock& block, int64_t row, int64_t whole_row) {
          rows.emplace_back(block.gradient_offset + row * filter.gradient_stride, whole_row);
        });
    run_parallel(parallel_for, static_cast<int64_t>(rows.size()), [&](int64_t i, int32_t) {
      add_sums(rows[i].first, s.output_channels, to_kernel + rows[i].second * s.output_channels);
    });
  }
  return 0;
}

}  // namespace KPAC_ISA
}  // namespace kpac
