// How a problem is cut into strips and tiles, and what memory they take. The cut depends on the
// sizes alone, never on the number of threads, so every sum has one order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "lattice.h"
#include "types.h"
#include "vector.h"

namespace kpac::KPAC_ISA {

constexpr int64_t kTileRows = 8, kTileColumns = 64;
constexpr int64_t kPlanePadding = kVectorBytes / 4;
constexpr int64_t kTilePlane = kTileRows * kTileColumns + kPlanePadding;
// Guide channels whose planes are in the cache at a time.
constexpr int64_t kPlanes = 16;

// Where a tile keeps the pixels of the guide, or of the input, that a lattice reads on one axis.
// Taps whose pixels overlap share a group of consecutive ones (a step apart).
struct Packing {
  struct Group {
    int64_t first;   // in the image, for output 0 of the lattice
    int64_t offset;  // in the tile
    int64_t extent;  // for `outputs` outputs
  };
  std::vector<Group> groups;
  std::vector<int64_t> position;  // of each tap's pixel for the first output of the tile
  int64_t center = -1;            // of the centre in the guide, if a tap meets it
  int64_t step;                   // in the image, from one packed pixel to the next
  int64_t extent = 0;
  int64_t outputs = 0;  // of the largest tile
};

// `pixel` is Tap::guide or Tap::input, `step` the one of the lattice there.
inline Packing pack_axis(const Lattice& lattice, int64_t outputs, int64_t Tap::* pixel,
                         int64_t step) {
  Packing packing;
  packing.outputs = outputs;
  packing.step = step;
  std::vector<size_t> group_of;
  std::map<int64_t, size_t> last_group;  // of each residue modulo the step
  for (const Tap& tap : lattice.taps) {  // in ascending order
    const int64_t at = tap.*pixel;
    const auto [found, is_new] =
        last_group.try_emplace((at % step + step) % step, packing.groups.size());
    size_t& g = found->second;
    if (!is_new && (at - packing.groups[g].first) / step > packing.groups[g].extent) {
      g = packing.groups.size();
    }
    if (g == packing.groups.size()) packing.groups.push_back({at, 0, outputs});
    auto& group = packing.groups[g];
    group.extent = std::max(group.extent, (at - group.first) / step + outputs);
    group_of.push_back(g);
  }
  for (auto& group : packing.groups) {
    group.offset = packing.extent;
    packing.extent += group.extent;
  }
  for (size_t t = 0; t < lattice.taps.size(); ++t) {
    const auto& group = packing.groups[group_of[t]];
    packing.position.push_back(group.offset + (lattice.taps[t].*pixel - group.first) / step);
  }
  return packing;
}

struct AxisPart {
  Lattice lattice;
  Packing guide, input;

  AxisPart(Lattice from, int64_t most_outputs) : lattice(std::move(from)) {
    const int64_t outputs = std::min(most_outputs, lattice.count);
    guide = pack_axis(lattice, outputs, &Tap::guide, lattice.guide_step);
    input = pack_axis(lattice, outputs, &Tap::input, lattice.input_step);
    for (size_t t = 0; t < lattice.taps.size(); ++t) {
      if (lattice.taps[t].guide == lattice.center) guide.center = guide.position[t];
    }
  }
};

// Some rows of one class of one image.
struct Strip {
  int64_t row_class, first, last;
  int wave;  // strips of one wave write to different pixels of the input and the guide
};

// Outputs of one row lattice and one column lattice.
struct Tile {
  int64_t image;
  const AxisPart* rows;
  const AxisPart* columns;
  int64_t phase;  // which filter the taps make up
  int64_t row, column, height, width;
  int64_t stride;  // between rows of a plane of the tile: the width in whole vectors

  int64_t taps() const {
    return static_cast<int64_t>(rows->lattice.taps.size() * columns->lattice.taps.size());
  }
  // How many rows fill the columns of the largest tile: those of narrow images go together.
  int64_t rows_together() const { return std::max<int64_t>(1, kTileColumns / width); }
  // Elements between planes: a vector more than they have, else they would all fall into the same
  // few sets of the cache.
  int64_t plane() const { return height * stride + kPlanePadding; }
  int64_t output_row(int64_t m) const {
    return rows->lattice.first + (row + m) * rows->lattice.step;
  }
  int64_t output_column(int64_t p) const {
    return columns->lattice.first + (column + p) * columns->lattice.step;
  }
  // In the input (guide) for the first output of the tile; inside or not.
  int64_t input_row(const Tap& tap, int64_t m) const {
    return tap.input + (row + m) * rows->lattice.input_step;
  }
  int64_t input_column(const Tap& tap, int64_t p) const {
    return tap.input + (column + p) * columns->lattice.input_step;
  }
  int64_t center_row(int64_t m) const {
    return rows->lattice.center + (row + m) * rows->lattice.guide_step;
  }
  int64_t center_column(int64_t p) const {
    return columns->lattice.center + (column + p) * columns->lattice.guide_step;
  }
};

struct Plan {
  std::vector<std::vector<AxisPart>> rows;  // by class
  std::vector<AxisPart> columns;
  std::vector<Strip> strips;   // of one image
  int64_t largest_taps = 0;    // of a tile
  int64_t largest_planes = 0;  // elements of a packed guide of one channel
  int64_t largest_input = 0;   // elements of a packed input of one channel
};

inline Plan make_plan(const kpac_sizes& s, bool input_dilated) {
  Plan plan;
  // Where one axis is 0, another may be too long to list.
  if (s.batch == 0 || s.output_size[0] == 0 || s.output_size[1] == 0) return plan;
  for (auto& phases : make_axis(s, 1, input_dilated, false)) {
    for (auto& lattice : phases) {
      plan.columns.emplace_back(std::move(lattice), kTileColumns);
    }
  }
  for (auto& phases : make_axis(s, 0, input_dilated, true)) {
    const int64_t height = std::max(kTileRows, independent_height(phases));
    int64_t count = 0;
    for (const auto& lattice : phases) count = std::max(count, lattice.count);
    const int64_t row_class = static_cast<int64_t>(plan.rows.size());
    for (int64_t first = 0; first < count; first += height) {
      plan.strips.push_back({row_class, first, std::min(first + height, count),
                             static_cast<int>(first / height % 2)});
    }
    plan.rows.emplace_back();
    for (auto& lattice : phases) {
      plan.rows.back().emplace_back(std::move(lattice), kTileRows);
    }
  }
  for (const auto& phases : plan.rows) {
    for (const auto& rows : phases) {
      for (const auto& columns : plan.columns) {
        plan.largest_taps =
            std::max(plan.largest_taps,
                     static_cast<int64_t>(rows.lattice.taps.size() * columns.lattice.taps.size()));
        plan.largest_planes =
            std::max(plan.largest_planes, rows.guide.extent * columns.guide.extent);
        plan.largest_input = std::max(plan.largest_input, rows.input.extent * columns.input.extent);
      }
    }
  }
  return plan;
}

// Calls use(tile) for the tiles of a strip, in a fixed order.
template <int lanes, typename Use>
void for_each_tile(const Plan& plan, const Strip& strip, int64_t image, const Use& use) {
  Tile tile;
  tile.image = image;
  tile.phase = 0;
  for (const auto& rows : plan.rows[strip.row_class]) {
    tile.rows = &rows;
    const int64_t last = std::min(strip.last, rows.lattice.count);
    for (const auto& columns : plan.columns) {
      tile.columns = &columns;
      const int64_t outputs = columns.lattice.count;
      const int64_t parts = ceil_divide(outputs, kTileColumns);
      for (tile.row = strip.first; tile.row < last; tile.row += kTileRows) {
        tile.height = std::min(kTileRows, last - tile.row);
        for (int64_t part = 0; part < parts; ++part) {
          tile.column = outputs * part / parts;
          tile.width = outputs * (part + 1) / parts - tile.column;
          tile.stride = round_up(tile.width, lanes);
          use(tile);
        }
      }
      ++tile.phase;
    }
  }
}

// Hands out pieces of memory for vectors; without memory it only counts.
class Arena {
 public:
  explicit Arena(void* memory) : memory_(static_cast<char*>(memory)) {}

  template <typename A>
  A* take(int64_t count) {
    char* piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += round_up(count * static_cast<int64_t>(sizeof(A)), 64);
    return reinterpret_cast<A*>(piece);
  }
  int64_t used() const { return used_; }

 private:
  char* memory_;
  int64_t used_ = 0;
};

}  // namespace kpac::KPAC_ISA
