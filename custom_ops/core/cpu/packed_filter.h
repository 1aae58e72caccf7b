// A full filter, laid out for its products with patches: in blocks of taps, each of them in panels.
#pragma once

#include <vector>

#include "job.h"
#include "matmul.h"

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

  // Lays out W (T, C, O) as the panels that there is memory for; 0 where they have more columns.
  template <typename T>
  void pack(const Plan& plan, const T* filter, const kpac_parallel_for& parallel_for) const {
    constexpr int64_t panel = kPanel<A>;
    // Those of one panel of the way back.
    struct Rows {
      const TapBlock* block;
      int64_t first, count;
      int64_t whole[panel];  // their numbers in the whole filter
    };
    std::vector<Rows> all;
    for_each_row(plan, [&](const TapBlock& block, int64_t row, int64_t whole_row) {
      if (row % panel == 0) all.push_back({&block, row, 0, {}});
      all.back().whole[all.back().count++] = whole_row;
    });
    run_parallel(parallel_for, static_cast<int64_t>(all.size()), [&](int64_t i, int32_t) {
      const Rows& rows = all[static_cast<size_t>(i)];
      for (int64_t o = 0; back != nullptr && o < filters; ++o) {
        A* const to = back + rows.block->back_offset + rows.first * filters + o * panel;
        for (int64_t r = 0; r < rows.count; ++r) to[r] = widen(filter[rows.whole[r] * filters + o]);
        std::fill(to + rows.count, to + panel, A{0});
      }
      for (int64_t o = 0; forward != nullptr && o < filters; o += panel) {
        const int64_t columns = std::min(panel, filters - o);
        A* to = forward + rows.block->forward_offset + o * rows.block->depth + rows.first * panel;
        for (int64_t r = 0; r < rows.count; ++r, to += panel) {
          const T* from = filter + rows.whole[r] * filters + o;
          for (int64_t j = 0; j < columns; ++j) to[j] = widen(from[j]);
          std::fill(to + columns, to + panel, A{0});
        }
      }
    });
  }
};

}  // namespace kpac::KPAC_ISA
