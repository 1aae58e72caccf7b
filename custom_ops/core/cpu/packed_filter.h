// A full filter, laid out for its products with patches: in blocks of taps, each of them in panels.
#pragma once

#include <vector>

#include "matmul.h"
#include "plan.h"

namespace kpac::KPAC_ISA {

// Some taps of a tile whose patches fit into the first cache, and their part of the filter.
struct TapBlock {
  int64_t first, last;      // taps of the tile
  int64_t depth;            // taps times channels
  int64_t forward_offset;   // of the (depth, filters) panels
  int64_t back_offset;      // of the (filters, depth) panels
  int64_t gradient_offset;  // of the (depth, gradient_stride) gradient
};

// Elements of the patch of one output in a block of taps.
constexpr int64_t kMostDepth = 96;

// As few blocks as keep patches within kMostDepth (if one tap does), with little left over in the
// last vector of a block.
template <typename A>
int64_t number_of_blocks(int64_t taps, int64_t channels) {
  const int64_t fewest = ceil_divide(taps * channels, kMostDepth);
  int64_t best = std::min(fewest, taps), best_size = INT64_MAX;
  for (int64_t blocks = best; blocks <= std::min(2 * best, taps); ++blocks) {
    int64_t size = 0;
    for (int64_t i = 0; i < blocks; ++i) {
      size += round_up((taps * (i + 1) / blocks - taps * i / blocks) * channels, kLanes<A>);
    }
    if (size < best_size) {
      best = blocks;
      best_size = size;
    }
  }
  return best;
}

template <typename A>
struct PackedFilter {
  int64_t channels, filters, kernel_columns;
  std::vector<std::vector<TapBlock>> blocks;  // of each phase; empty if the filter is not full
  int64_t largest_depth = 0;
  int64_t gradient_stride, forward_size = 0, back_size = 0, gradient_size = 0;
  A* forward = nullptr;
  A* back = nullptr;

  // With memory for the panels of the forward function, or of the way back.
  PackedFilter(const Plan& plan, const kpac_sizes& s, Arena& arena, bool has_forward, bool has_back)
      : channels(s.input_channels),
        filters(s.output_channels),
        kernel_columns(s.kernel_size[1]),
        gradient_stride(round_up(s.output_channels, kLanes<A>)) {
    if (plan.rows.empty() || s.filter_type != KPAC_FULL) return;
    for (const auto& rows : plan.rows[0]) {
      for (const auto& columns : plan.columns) {
        const int64_t taps =
            static_cast<int64_t>(rows.lattice.taps.size() * columns.lattice.taps.size());
        blocks.emplace_back();
        const int64_t count = number_of_blocks<A>(taps, channels);
        for (int64_t i = 0; i < count; ++i) {
          const int64_t first = taps * i / count, last = taps * (i + 1) / count;
          const int64_t depth = (last - first) * channels;
          blocks.back().push_back({first, last, depth, forward_size, back_size, gradient_size});
          forward_size += panels_size<A>(depth, filters);
          back_size += panels_size<A>(filters, depth);
          gradient_size += depth * gradient_stride;
          largest_depth = std::max(largest_depth, depth);
        }
      }
    }
    if (has_forward) forward = arena.take<A>(forward_size);
    if (has_back) back = arena.take<A>(back_size);
  }

  // Calls use(block, row of the block's filter, row of the whole filter) for every tap and channel.
  template <typename Use>
  void for_each_row(const Plan& plan, const Use& use) const {
    if (blocks.empty()) return;
    size_t phase = 0;
    for (const auto& rows : plan.rows[0]) {
      for (const auto& columns : plan.columns) {
        const auto &row_taps = rows.lattice.taps, &column_taps = columns.lattice.taps;
        for (const TapBlock& block : blocks[phase]) {
          int64_t row = 0;
          for (int64_t t = block.first; t < block.last; ++t) {
            const int64_t tap = row_taps[t / column_taps.size()].index * kernel_columns +
                                column_taps[t % column_taps.size()].index;
            for (int64_t c = 0; c < channels; ++c) use(block, row++, tap * channels + c);
          }
        }
        ++phase;
      }
    }
  }

  // Lays out W (T, C, O) as the panels that there is memory for.
  template <typename T>
  void pack(const Plan& plan, const T* filter) const {
    constexpr int64_t panel = kPanel<A>;
    if (forward != nullptr) std::fill(forward, forward + forward_size, A{0});
    if (back != nullptr) std::fill(back, back + back_size, A{0});
    for_each_row(plan, [&](const TapBlock& block, int64_t row, int64_t whole_row) {
      const T* from = filter + whole_row * filters;
      if (forward != nullptr) {
        A* to = forward + block.forward_offset + row * panel;
        for (int64_t o = 0; o < filters; ++o) {
          to[o / panel * block.depth * panel + o % panel] = widen(from[o]);
        }
      }
      if (back != nullptr) {
        A* to = back + block.back_offset + row / panel * filters * panel + row % panel;
        for (int64_t o = 0; o < filters; ++o) to[o * panel] = widen(from[o]);
      }
    });
  }
};

}  // namespace kpac::KPAC_ISA
