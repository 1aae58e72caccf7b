// What the windowed sum and its gradient share: where K comes from, and the memory of a worker.
#pragma once

#include "direct_product.h"
#include "plane_product.h"
#include "pooling.h"

namespace kpac::KPAC_ISA {

// K of a tile, from a tensor or from the guide.
template <typename T>
struct AdaptingSource {
  const kpac_sizes& s;
  const T* given;
  const Guide<T> guide;

  AdaptingSource(const kpac_sizes& s, const kpac_inputs& in)
      : s(s), given(static_cast<const T*>(in.adapting_kernel)), guide(s, in) {}

  bool guided() const { return given == nullptr; }

  void compute(const Tile& tile, const GuideScratch<Wide<T>>& scratch, Wide<T>* adapting) const {
    if (guided()) {
      similarity_tile(guide, tile, scratch, adapting);
    } else {
      load_window(s, tile, given, adapting);
    }
  }
};

template <typename T>
struct SumScratch {
  using A = Wide<T>;
  GuideScratch<A> guide;
  A *adapting = nullptr, *adapting_gradient = nullptr;  // planes of a tile
  A *patches = nullptr, *outputs = nullptr;             // of a row of a tile
  A *row, *dropped;                                     // of one output
  RowScratch<DirectTap<A>> direct;
  PlaneScratch<A> planes;
  PoolScratch<A> pooling;
  int64_t patches_stride, outputs_stride;

  SumScratch(Arena& arena, const Plan& plan, const kpac_sizes& s, const PackedFilter<A>& filter,
             bool guided, bool gradients) {
    if (guided) guide.take(arena, plan, gradients);
    if (!s.channel_wise) {
      adapting = arena.take<A>(plan.largest_taps * kTilePlane);
      if (gradients) adapting_gradient = arena.take<A>(plan.largest_taps * kTilePlane);
    }
    patches_stride = round_up(filter.largest_depth, kLanes<A>);
    outputs_stride = round_up(s.output_channels, kLanes<A>);
    if (s.filter_type == KPAC_FULL) {
      patches = arena.take<A>(kTileColumns * patches_stride);
      direct.take(arena, plan.largest_taps);
      if (!gradients) planes.take(arena, plan, filter);
    } else if (!gradients) {
      pooling.take(arena, plan.largest_taps);
    }
    outputs = arena.take<A>(kTileColumns * outputs_stride);
    row = arena.take<A>(std::max(s.input_channels, outputs_stride));
    dropped = arena.take<A>(s.input_channels);
  }
};

}  // namespace kpac::KPAC_ISA
