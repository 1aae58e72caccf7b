// The gradients by guide, center, alpha and exponent, which all tiles add to.
#pragma once

#include "guide_tile.h"
#include "job.h"

namespace kpac::KPAC_ISA {

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

template <typename T>
class GuideGradients {
 public:
  using A = Wide<T>;

  // `values` is V.
  GuideGradients(Job& job, int64_t groups, int64_t values)
      : job_(job),
        groups_(groups),
        values_(values),
        guide_(job.out.guide, guide_size(job), job.arena),
        center_(job.in.center == nullptr ? nullptr : job.out.center, guide_size(job), job.arena),
        exponent_sums_(job.arena.take<double>(2 * values * groups)) {}

  A* guide() const { return guide_.sums; }
  A* center() const { return job_.in.center == nullptr ? guide_.sums : center_.sums; }
  // [alpha, exponent][V] of a group.
  double* exponent_sums(int64_t group) const { return exponent_sums_ + 2 * values_ * group; }

  void clear() const {
    guide_.clear(job_.parallel_for);
    center_.clear(job_.parallel_for);
    std::fill(exponent_sums_, exponent_sums(groups_), 0.0);
  }

  // Passes dL/dk (`gradient`) of a tile on, given its k if gaussian, else its squared distances
  // (`values`). Both are overwritten. Not for channel-wise kernels.
  void add_tile(const Guide<T>& guide, const Tile& tile, const GuideScratch<A>& scratch, A* values,
                A* gradient, int64_t group) const {
    clear_margin(tile, gradient);
    clear_margin(tile, values);
    to_distance_gradient(guide, tile.taps() * tile.plane(), values, gradient, exponent_sums(group));
    clear_margin(tile, gradient);
    add_guide_gradient(guide, tile, scratch, gradient, this->guide(), center());
  }

  void finish() const {
    guide_.finish(job_.parallel_for);
    center_.finish(job_.parallel_for);
    A* results[] = {static_cast<A*>(job_.out.alpha), static_cast<A*>(job_.out.exponent)};
    for (int j = 0; j < 2; ++j) {
      for (int64_t v = 0; results[j] != nullptr && v < values_; ++v) {
        double total = 0;
        for (int64_t group = 0; group < groups_; ++group) {
          total += exponent_sums(group)[j * values_ + v];
        }
        results[j][v] = static_cast<A>(total);
      }
    }
  }

 private:
  static int64_t guide_size(const Job& job) {
    if (job.in.guide == nullptr) return 0;
    return job.s.batch * job.s.guide_size[0] * job.s.guide_size[1] * job.s.guide_channels;
  }

  const Job& job_;
  int64_t groups_, values_;
  Accumulator<T> guide_, center_;
  double* exponent_sums_;
};

}  // namespace kpac::KPAC_ISA
