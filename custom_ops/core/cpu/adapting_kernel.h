// The functions kpac_cpu_adapting_kernel and kpac_cpu_adapting_kernel_gradient.
#pragma once

#include "channel_kernel.h"
#include "job.h"

namespace kpac {
namespace KPAC_ISA {

template <typename T>
struct AdaptingKernelScratch {
  using A = Wide<T>;
  GuideScratch<A> guide;
  A *kernel, *met, *divisor, *gradient;

  AdaptingKernelScratch(Arena& arena, const Plan& plan, bool counted, bool gradients) {
    const int64_t window = plan.largest_taps * kTilePlane;
    guide.take(arena, plan, gradients);
    kernel = arena.take<A>(window);
    met = counted ? arena.take<A>(window) : nullptr;
    divisor = counted ? arena.take<A>(kTilePlane) : nullptr;
    gradient = gradients ? arena.take<A>(window) : nullptr;
  }
};

template <typename T>
int64_t adapting_kernel(const kpac_sizes& s, const kpac_inputs& in, void* out, void* out_mask,
                        void* workspace, const kpac_parallel_for& parallel_for, bool only_count) {
  using A = Wide<T>;
  const Counted<T> counted = counted_of<T>(s, in);
  const Plan plan = make_plan(s, counted.any());
  Arena arena(workspace);
  if (s.channel_wise) {
    return channel_adapting_kernel<T>(s, in, plan, counted, out, out_mask, arena, parallel_for,
                                      only_count);
  }
  std::vector<AdaptingKernelScratch<T>> scratches;
  for (int32_t i = 0; i < parallel_for.workers; ++i) {
    scratches.emplace_back(arena, plan, counted.any(), false);
  }
  if (only_count) return arena.used();
  const Guide<T> guide = guide_of<T>(s, in);
  const Groups groups(plan, s.batch, INT64_MAX);
  run_parallel(parallel_for, groups.strips, [&](int64_t i, int32_t worker) {
    const auto& scratch = scratches[worker];
    const int64_t image = i / groups.strips_per_image;
    const Strip& strip = plan.strips[i % groups.strips_per_image];
    for_each_tile<kLanes<A>>(plan, strip, image, [&](const Tile& tile) {
      adapting_kernel_tile(guide, tile, scratch.guide, scratch.kernel);
      if (counted.any()) {
        find_counted(counted, tile, scratch.met, scratch.divisor);
        divide(s.normalize != 0, tile, scratch.met, scratch.kernel, scratch.divisor);
      }
      store_window(s, tile, scratch.kernel, static_cast<T*>(out));
      if (out_mask == nullptr) return;
      for_each_output(s, tile, 1, static_cast<T*>(out_mask), [&](int64_t at, T* mask) {
        *mask = narrow<T>(tile.taps() > 0 && scratch.divisor[at] != 0 ? 1 : 0);
      });
    });
  });
  return 0;
}

template <typename T>
int64_t adapting_kernel_gradient(const kpac_sizes& s, const kpac_inputs& in, const void* upstream,
                                 const kpac_gradients& gradients, void* workspace,
                                 const kpac_parallel_for& parallel_for, bool only_count) {
  using A = Wide<T>;
  const Counted<T> counted = counted_of<T>(s, in);
  const Plan plan = make_plan(s, counted.any());
  Arena arena(workspace);
  const int64_t guide_size = s.batch * s.guide_size[0] * s.guide_size[1] * s.guide_channels;
  const Accumulator<T> guide_sums(gradients.guide, guide_size, arena);
  const Accumulator<T> center_sums(in.center == nullptr ? nullptr : gradients.center, guide_size,
                                   arena);
  A* to_center = in.center == nullptr ? guide_sums.sums : center_sums.sums;
  const int64_t values = s.channel_wise ? s.guide_channels : 1;
  const Groups groups(plan, s.batch, 32);
  double* exponent_sums = arena.take<double>(2 * values * groups.count);  // alpha's, exponent's
  if (!only_count) {
    guide_sums.clear(parallel_for);
    center_sums.clear(parallel_for);
    std::fill(exponent_sums, exponent_sums + 2 * values * groups.count, 0.0);
  }
  if (s.channel_wise) {
    channel_adapting_kernel_gradient<T>(s, in, plan, counted, groups,
                                        static_cast<const T*>(upstream), guide_sums.sums, to_center,
                                        exponent_sums, arena, parallel_for, only_count);
  } else {
    std::vector<AdaptingKernelScratch<T>> scratches;
    for (int32_t i = 0; i < parallel_for.workers; ++i) {
      scratches.emplace_back(arena, plan, counted.any(), true);
    }
    const Guide<T> guide = only_count ? Guide<T>{} : guide_of<T>(s, in);
    const auto pass_back = [&](const Tile& tile, const AdaptingKernelScratch<T>& scratch,
                               double* sums) {
      load_window(s, tile, static_cast<const T*>(upstream), scratch.gradient);
      squared_distances(guide, tile, scratch.guide, scratch.kernel);
      const int64_t count = tile.taps() * tile.plane();
      if (counted.any()) {
        to_kernel(guide.kind, guide.alpha, guide.exponent, count, scratch.kernel);
        find_counted(counted, tile, scratch.met, scratch.divisor);
        divide(s.normalize != 0, tile, scratch.met, scratch.kernel, scratch.divisor);
        divide_back(s.normalize != 0, tile, scratch.met, scratch.kernel, scratch.divisor,
                    scratch.gradient);
        squared_distances(guide, tile, scratch.guide, scratch.kernel);
      }
      if (guide.kind == KPAC_GAUSSIAN) {
        to_kernel(guide.kind, guide.alpha, guide.exponent, count, scratch.kernel);
      }
      add_distance_gradient(guide, tile, scratch.guide, scratch.kernel, scratch.gradient,
                            guide_sums.sums, to_center, sums);
    };
    for (int wave = 0; wave < 2 && !only_count; ++wave) {
      run_parallel(parallel_for, groups.count, [&](int64_t group, int32_t worker) {
        groups.for_each_strip(plan, group, wave, [&](const Strip& strip, int64_t image) {
          for_each_tile<kLanes<A>>(plan, strip, image, [&](const Tile& tile) {
            pass_back(tile, scratches[worker], exponent_sums + 2 * group);
          });
        });
      });
    }
  }
  if (only_count) return arena.used();
  guide_sums.finish(parallel_for);
  center_sums.finish(parallel_for);
  add_groups(exponent_sums, groups.count, values, static_cast<A*>(gradients.alpha),
             static_cast<A*>(gradients.exponent));
  return 0;
}

}  // namespace KPAC_ISA
}  // namespace kpac
