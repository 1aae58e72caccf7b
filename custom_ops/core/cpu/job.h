// What all four functions share: work for many threads, and memory for it.
#pragma once

#include <algorithm>
#include <vector>

#include "guide_tile.h"
#include "normalization.h"
#include "plan.h"

namespace kpac {
namespace KPAC_ISA {

// Calls work(index, worker) for all indices.
template <typename Work>
void run_parallel(const kpac_parallel_for& parallel_for, int64_t count, const Work& work) {
  if (count == 0) return;
  parallel_for.run(
      parallel_for.context, count,
      [](void* job, int64_t begin, int64_t end, int32_t worker) {
        for (int64_t i = begin; i < end; ++i) (*static_cast<const Work*>(job))(i, worker);
      },
      const_cast<Work*>(&work));
}

// Strips of all images, in groups: a group adds to sums of its own, in a fixed order, and the
// groups' sums are added in their order at the end.
struct Groups {
  int64_t strips_per_image, strips, count;

  Groups(const Plan& plan, int64_t batch, int64_t most)
      : strips_per_image(static_cast<int64_t>(plan.strips.size())),
        strips(strips_per_image * batch),
        count(std::min(strips, most)) {}

  // Calls use(strip, image) for the strips of a group that belong to a wave.
  template <typename Use>
  void for_each_strip(const Plan& plan, int64_t group, int wave, const Use& use) const {
    for (int64_t i = strips * group / count; i < strips * (group + 1) / count; ++i) {
      const Strip& strip = plan.strips[static_cast<size_t>(i % strips_per_image)];
      if (strip.wave == wave) use(strip, i / strips_per_image);
    }
  }
};

// A gradient that many tiles add to: in place, or beside it where its type is too narrow to sum in.
template <typename T>
struct Accumulator {
  using A = Wide<T>;
  T* result;
  int64_t size;
  A* sums;

  Accumulator(void* result, int64_t size, Arena& arena)
      : result(static_cast<T*>(result)), size(size), sums(nullptr) {
    if (result == nullptr) return;
    if constexpr (std::is_same<T, A>::value) {
      sums = static_cast<A*>(result);
    } else {
      sums = arena.take<A>(size);
    }
  }

  static constexpr int64_t kChunk = 1 << 16;

  void clear(const kpac_parallel_for& parallel_for) const {
    if (result == nullptr) return;
    run_parallel(parallel_for, ceil_divide(size, kChunk), [&](int64_t i, int32_t) {
      std::fill(sums + i * kChunk, sums + std::min(size, (i + 1) * kChunk), A{0});
    });
  }

  void finish(const kpac_parallel_for& parallel_for) const {
    if constexpr (!std::is_same<T, A>::value) {
      if (result == nullptr) return;
      run_parallel(parallel_for, ceil_divide(size, kChunk), [&](int64_t i, int32_t) {
        for (int64_t j = i * kChunk; j < std::min(size, (i + 1) * kChunk); ++j) {
          result[j] = narrow<T>(sums[j]);
        }
      });
    }
  }
};

template <typename T>
Guide<T> guide_of(const kpac_sizes& s, const kpac_inputs& in) {
  using A = Wide<T>;
  Guide<T> guide;
  guide.guide = static_cast<const T*>(in.guide);
  guide.center = in.center == nullptr ? guide.guide : static_cast<const T*>(in.center);
  guide.height = s.guide_size[0];
  guide.width = s.guide_size[1];
  guide.channels = s.guide_channels;
  guide.kind = static_cast<kpac_kind>(s.kind);
  guide.asymmetric = s.asymmetric != 0;
  guide.alpha = guide.exponent = 0;
  if (guide.kind == KPAC_INVERSE && !s.channel_wise) {
    guide.alpha = *static_cast<const A*>(in.alpha);
    guide.exponent = *static_cast<const A*>(in.exponent);
  }
  return guide;
}

template <typename T>
Counted<T> counted_of(const kpac_sizes& s, const kpac_inputs& in) {
  return {static_cast<const T*>(in.valid_mask), s.input_size[0], s.input_size[1], s.normalize != 0};
}

inline int64_t output_index(const kpac_sizes& s, const Tile& tile, int64_t m, int64_t p) {
  return (tile.image * s.output_size[0] + tile.output_row(m)) * s.output_size[1] +
         tile.output_column(p);
}

// Calls use(position in the tile, values of the whole window) for every output of a tile whose
// tensor has `values` values an output.
template <typename T, typename Use>
void for_each_output(const kpac_sizes& s, const Tile& tile, int64_t values, T* tensor,
                     const Use& use) {
  for (int64_t m = 0; m < tile.height; ++m) {
    for (int64_t p = 0; p < tile.width; ++p) {
      use(m * tile.stride + p, tensor + output_index(s, tile, m, p) * values);
    }
  }
}

inline int64_t window_taps(const kpac_sizes& s) { return s.kernel_size[0] * s.kernel_size[1]; }

// The tap of the window that a tap of a tile is.
inline int64_t window_tap(const kpac_sizes& s, const Tile& tile, int64_t tap) {
  const auto &rows = tile.rows->lattice.taps, &columns = tile.columns->lattice.taps;
  const int64_t count = static_cast<int64_t>(columns.size());
  return rows[tap / count].index * s.kernel_size[1] + columns[tap % count].index;
}

// Calls use(tap of the tile, tap of the window).
template <typename Use>
void for_each_tap(const kpac_sizes& s, const Tile& tile, const Use& use) {
  int64_t tap = 0;
  for (const Tap& row_tap : tile.rows->lattice.taps) {
    for (const Tap& column_tap : tile.columns->lattice.taps) {
      use(tap++, row_tap.index * s.kernel_size[1] + column_tap.index);
    }
  }
}

// (N, OH, OW, T) as the planes of a tile.
template <typename T>
void load_window(const kpac_sizes& s, const Tile& tile, const T* tensor, Wide<T>* planes) {
  for_each_output(s, tile, window_taps(s), tensor, [&](int64_t at, const T* values) {
    for_each_tap(s, tile, [&](int64_t tap, int64_t window_tap) {
      planes[tap * tile.plane() + at] = widen(values[window_tap]);
    });
  });
}

// The reverse; 0 for the taps that are not the tile's.
template <typename T>
void store_window(const kpac_sizes& s, const Tile& tile, const Wide<T>* planes, T* tensor) {
  const int64_t taps = window_taps(s);
  for_each_output(s, tile, taps, tensor, [&](int64_t at, T* values) {
    if (tile.taps() < taps) std::fill(values, values + taps, narrow<T>(0));
    for_each_tap(s, tile, [&](int64_t tap, int64_t window_tap) {
      values[window_tap] = narrow<T>(planes[tap * tile.plane() + at]);
    });
  });
}

// Zeroes what lies beyond the width of a tile in its planes.
template <typename A>
void clear_margin(const Tile& tile, A* planes) {
  for (int64_t tap = 0; tap < tile.taps(); ++tap) {
    for (int64_t m = 0; m < tile.height; ++m) {
      A* row = planes + tap * tile.plane() + m * tile.stride;
      std::fill(row + tile.width, row + tile.stride, A{0});
    }
    std::fill_n(planes + (tap + 1) * tile.plane() - kPlanePadding, kPlanePadding, A{0});
  }
}

// Passes dL/dk (`gradient`) on, given the tile's k if gaussian, else its squared distances.
template <typename T>
void add_distance_gradient(const Guide<T>& guide, const Tile& tile,
                           const GuideScratch<Wide<T>>& scratch, Wide<T>* distances,
                           Wide<T>* gradient, Wide<T>* guide_gradient, Wide<T>* center_gradient,
                           double* exponent_sums) {
  const int64_t count = tile.taps() * tile.plane();
  clear_margin(tile, gradient);
  clear_margin(tile, distances);
  to_distance_gradient(guide.kind, guide.exponent, count, distances, gradient, &exponent_sums[0],
                       &exponent_sums[1]);
  clear_margin(tile, gradient);
  add_guide_gradient(guide, tile, scratch, gradient, guide_gradient, center_gradient);
}

// Adds the sums by alpha and exponent of all groups, [group][2][values].
template <typename A>
void add_groups(const double* sums, int64_t groups, int64_t values, A* alpha, A* exponent) {
  for (int64_t i = 0; i < values; ++i) {
    double totals[2] = {0, 0};
    for (int64_t group = 0; group < groups; ++group) {
      for (int j = 0; j < 2; ++j) totals[j] += sums[(2 * group + j) * values + i];
    }
    if (alpha != nullptr) alpha[i] = static_cast<A>(totals[0]);
    if (exponent != nullptr) exponent[i] = static_cast<A>(totals[1]);
  }
}

// How many groups: enough threads find work, and their sums stay small beside the images.
inline int64_t most_groups(int64_t image_bytes, int64_t sums_bytes) {
  return std::clamp<int64_t>(image_bytes / 8 / std::max<int64_t>(sums_bytes, 1), 4, 32);
}

}  // namespace KPAC_ISA
}  // namespace kpac
