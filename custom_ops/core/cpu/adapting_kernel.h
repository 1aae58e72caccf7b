// The functions KPAC_ADAPTING_KERNEL and KPAC_ADAPTING_KERNEL_GRADIENT, unless they are
// channel-wise.
#pragma once

#include "guide_gradients.h"
#include "normalization.h"
#include "window.h"

namespace kpac::KPAC_ISA {

template <typename T>
struct AdaptingKernelScratch {
  using A = Wide<T>;
  GuideScratch<A> guide;
  A *adapting, *met, *divisor, *gradient;

  AdaptingKernelScratch(Arena& arena, const Plan& plan, bool counted, bool gradients) {
    const int64_t window = plan.largest_taps * kTilePlane;
    guide.take(arena, plan, gradients);
    adapting = arena.take<A>(window);
    met = counted ? arena.take<A>(window) : nullptr;
    divisor = counted ? arena.take<A>(kTilePlane) : nullptr;
    gradient = gradients ? arena.take<A>(window) : nullptr;
  }
};

template <typename T>
class AdaptingKernel : public Job {
 public:
  AdaptingKernel(const kpac_call& call, void* workspace, const kpac_parallel_for& parallel_for)
      : Job(call, workspace, parallel_for, Counted<T>(call.sizes, call.inputs).any()),
        guide_(s, in),
        counted_(s, in),
        scratches_(make_scratches<Scratch>(counted_.any(), false)) {}

  void run() const {
    run_tiles<kLanes<Wide<T>>>(strips(), 1, [&](const Tile& tile, int32_t worker, int64_t) {
      compute(tile, scratches_[worker]);
    });
  }

 private:
  using Scratch = AdaptingKernelScratch<T>;

  void compute(const Tile& tile, const Scratch& scratch) const {
    similarity_tile(guide_, tile, scratch.guide, scratch.adapting);
    if (counted_.any()) {
      find_counted(counted_, tile, scratch.met, scratch.divisor);
      divide(counted_.normalize, tile, scratch.met, scratch.adapting, scratch.divisor);
    }
    store_window(s, tile, scratch.adapting, static_cast<T*>(out.adapting_kernel));
    if (out.output_mask == nullptr) return;
    for_each_output(s, tile, 1, static_cast<T*>(out.output_mask), [&](int64_t at, T* mask) {
      *mask = narrow<T>(tile.taps() > 0 && scratch.divisor[at] != 0 ? 1 : 0);
    });
  }

  const Guide<T> guide_;
  const Counted<T> counted_;
  const std::vector<Scratch> scratches_;
};

template <typename T>
class AdaptingKernelGradient : public Job {
 public:
  AdaptingKernelGradient(const kpac_call& call, void* workspace,
                         const kpac_parallel_for& parallel_for)
      : Job(call, workspace, parallel_for, Counted<T>(call.sizes, call.inputs).any()),
        guide_(s, in),
        counted_(s, in),
        groups_(std::min(strips(), kMostGroups)),
        gradients_(*this, groups_, 1),
        scratches_(make_scratches<Scratch>(counted_.any(), true)) {}

  void run() const {
    gradients_.clear();
    run_tiles<kLanes<Wide<T>>>(groups_, 2, [&](const Tile& tile, int32_t worker, int64_t group) {
      pass_back(tile, scratches_[worker], group);
    });
    gradients_.finish();
  }

 private:
  using Scratch = AdaptingKernelScratch<T>;

  void pass_back(const Tile& tile, const Scratch& scratch, int64_t group) const {
    const int64_t count = tile.taps() * tile.plane();
    load_window(s, tile, static_cast<const T*>(in.upstream), scratch.gradient);
    squared_distances(guide_, tile, scratch.guide, scratch.adapting);
    if (counted_.any()) {
      to_similarity(guide_, count, scratch.adapting);
      find_counted(counted_, tile, scratch.met, scratch.divisor);
      divide(counted_.normalize, tile, scratch.met, scratch.adapting, scratch.divisor);
      divide_back(counted_.normalize, tile, scratch.met, scratch.adapting, scratch.divisor,
                  scratch.gradient);
      squared_distances(guide_, tile, scratch.guide, scratch.adapting);
    }
    if (guide_.gaussian) to_similarity(guide_, count, scratch.adapting);
    gradients_.add_tile(guide_, tile, scratch.guide, scratch.adapting, scratch.gradient, group);
  }

  const Guide<T> guide_;
  const Counted<T> counted_;
  const int64_t groups_;
  const GuideGradients<T> gradients_;
  const std::vector<Scratch> scratches_;
};

}  // namespace kpac::KPAC_ISA
