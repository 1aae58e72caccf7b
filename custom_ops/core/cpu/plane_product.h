// The windowed sum of a row of a tile with a plane for each channel, so that a vector holds one
// channel of neighbouring outputs: for filters that would leave much of a vector of channels empty.
#pragma once

#include "matmul.h"
#include "sum_tile.h"

namespace kpac::KPAC_ISA {

// More elements of x in planes are no longer in the second cache.
constexpr int64_t kMostInputPlanes = 1 << 17;
// What patches in planes cost, as that many filters (measured).
constexpr int64_t kPatchFilters = 5;

template <typename A>
struct PlaneScratch {
  A* x = nullptr;     // [channel][packed row][packed column], or NULL
  A *patches, *sums;  // [tap of a block][channel][column]; [filter][column]
  int64_t plane;      // elements between channels of x

  void take(Arena& arena, const Plan& plan, const PackedFilter<A>& filter) {
    // Vectors may reach beyond the last pixel of a row, also of the last row.
    plane = round_up(plan.largest_input + 2 * kLanes<A>, kLanes<A>);
    if (!saves(filter, kTileColumns) || plane * filter.channels > kMostInputPlanes) return;
    x = arena.take<A>(plane * filter.channels);
    patches = arena.take<A>(filter.largest_depth * kTileColumns);
    sums = arena.take<A>(filter.filters * kTileColumns);
  }

  bool pay(const PackedFilter<A>& filter, int64_t width) const {
    return x != nullptr && saves(filter, width);
  }

  // Whether vectors of `width` outputs are fewer than those of filters.
  static bool saves(const PackedFilter<A>& filter, int64_t width) {
    return filter.filters <= kPanel<A> &&
           ceil_divide(width, kLanes<A>) * (filter.filters + kPatchFilters) <
               width * ceil_divide(filter.filters, kLanes<A>);
  }
};

template <typename T>
void pack_input(const Image<T>& x, const Tile& tile, const PlaneScratch<Wide<T>>& scratch) {
  const T* const image = x.pixels + tile.image * x.height * x.width * x.channels;
  const Packing &rows = tile.rows->input, &columns = tile.columns->input;
  for_each_packed_run(tile, rows, columns,
                      [&](int64_t position, int64_t count, int64_t row, int64_t column) {
                        to_planes(image, x.height, x.width, x.channels, row, column, columns.step,
                                  count, x.channels, scratch.x + position, scratch.plane);
                      });
}

// patch[c][p] = K_p x_c(p) for outputs p in whole vectors, where they meet pixels.
// Not inline: in a larger function there are too few registers.
template <typename A>
__attribute__((noinline)) void modulated_planes(const A* pixels, int64_t plane, const A* adapting,
                                                const TapRun& run, int64_t channels, int64_t stride,
                                                A* patch) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t p = 0; p < stride; p += kLanes<A>) {
      store(patch + p, load(pixels + p) * load(adapting + p));
    }
    // K may be infinite where there is no pixel.
    for (int64_t p = 0; p < run.first; ++p) patch[p] = 0;
    for (int64_t p = run.last; p < stride; ++p) patch[p] = 0;
    pixels += plane;
    patch += stride;
  }
}

// Adds to the sums of row m of a tile, after pack_input. They lie pixel by pixel.
template <typename T>
void add_plane_row(const Image<T>& x, const Tile& tile, const PackedFilter<Wide<T>>& filter,
                   int64_t m, const Wide<T>* adapting, const PlaneScratch<Wide<T>>& scratch,
                   RowOf<Wide<T>> sums) {
  using A = Wide<T>;
  const int64_t stride = tile.stride, columns = tile.columns->lattice.taps.size();
  transpose_matrix(sums.first, sums.step, tile.width, filter.filters, scratch.sums, stride);
  for (const TapBlock& block : filter.blocks[tile.phase]) {
    A* patch = scratch.patches;
    for_each_run(x, tile, block.first, block.last, m, [&](const TapRun& run) {
      const int64_t row = tile.rows->input.position[run.tap / columns] + m;
      const A* pixels = scratch.x + row * tile.columns->input.extent +
                        tile.columns->input.position[run.tap % columns];
      modulated_planes(pixels, scratch.plane, adapting + run.at, run, x.channels, stride, patch);
      patch += x.channels * stride;
    });
    multiply<Order::kByColumn>(filter.filters, tile.width, block.depth,
                               filter.forward + block.forward_offset, kPanel<A>, scratch.patches,
                               stride, kPanel<A>, scratch.sums, stride, true);
  }
  transpose_matrix(scratch.sums, stride, filter.filters, tile.width, sums.first, sums.step);
}

}  // namespace kpac::KPAC_ISA
