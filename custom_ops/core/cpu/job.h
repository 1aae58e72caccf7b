// What all functions share: a plan, workspace, and loops for many threads.
//
// Each function is a class derived from Job. Its constructor takes the workspace, or only counts it,
// and reads no tensor; `run` computes.
#pragma once

#include <algorithm>
#include <vector>

#include "plan.h"

namespace kpac::KPAC_ISA {

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

// Enough groups of strips for many threads, where each needs sums of its own.
constexpr int64_t kMostGroups = 32;

struct Job {
  const kpac_sizes& s;
  const kpac_inputs& in;
  const kpac_outputs& out;
  const kpac_parallel_for& parallel_for;
  const Plan plan;
  Arena arena;

  // `meets_input`: it matters which taps meet an input pixel.
  Job(const kpac_call& call, void* workspace, const kpac_parallel_for& parallel_for,
      bool meets_input)
      : s(call.sizes),
        in(call.inputs),
        out(call.outputs),
        parallel_for(parallel_for),
        plan(make_plan(s, meets_input)),
        arena(workspace) {}

  // A Scratch(arena, plan, arguments...) for each worker.
  template <typename Scratch, typename... Arguments>
  std::vector<Scratch> make_scratches(const Arguments&... arguments) {
    std::vector<Scratch> scratches;
    for (int32_t i = 0; i < parallel_for.workers; ++i) {
      scratches.emplace_back(arena, plan, arguments...);
    }
    return scratches;
  }

  // Strips of all images.
  int64_t strips() const { return strips_per_image() * s.batch; }
  int64_t strips_per_image() const { return static_cast<int64_t>(plan.strips.size()); }

  // Calls use(tile, worker, group) for the tiles of all images. The strips are cut into groups,
  // which run at the same time; a group may add to sums of its own, in a fixed order. With two
  // waves, no two strips that run at the same time touch the same pixel of the input or the guide.
  template <int lanes, typename Use>
  void run_tiles(int64_t groups, int waves, const Use& use) const {
    if (groups == 0) return;
    const int64_t each = strips() / groups, rest = strips() % groups;
    const auto first_strip = [&](int64_t group) { return each * group + rest * group / groups; };
    for (int wave = 0; wave < waves; ++wave) {
      run_parallel(parallel_for, groups, [&](int64_t group, int32_t worker) {
        for (int64_t i = first_strip(group); i < first_strip(group + 1); ++i) {
          const Strip& strip = plan.strips[static_cast<size_t>(i % strips_per_image())];
          if (waves > 1 && strip.wave != wave) continue;
          for_each_tile<lanes>(plan, strip, i / strips_per_image(),
                               [&](const Tile& tile) { use(tile, worker, group); });
        }
      });
    }
  }
};

// A gradient that many tiles add to. Where its type is too narrow to sum in, the sums are in the
// workspace.
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

}  // namespace kpac::KPAC_ISA
