// Full filters: the sum and its gradients of x and K as products of tiles.
//
// A block has 128 pixels p of one phase (see Phases) and N columns. For every tap t that this phase
// meets something with, and for `kDepth` channels d at a time, it gathers rows
//
//                     p               row of a, from source q(p, t)     b           c
//   kForward          output pixel i  K_it x_j(i,t)[d]                  W_t[d, o]   y_i[o]
//   kInputGradient    input pixel j   K_it u_i[d]  where j(i, t) = j    W_t[c, d]   dx_j[c]
//   kAdaptingGradient output pixel i  u_i[d], one tap a block           W_t[c, d]   W_t u_i
//
// and from the last of these takes dK_it = <x_j(i,t), W_t u_i> at once.
//
// K is looked up, or computed from the guide, once for each pixel and tap of a block, 8 taps at a
// time. Two buffers: while one is multiplied the next is filled.
#pragma once

#include "simple_sum.cuh"
#include "tile.cuh"

namespace kpac::cuda {

enum Product { kForward, kInputGradient, kAdaptingGradient };

template <typename T, int N, Product Mode, typename Out = T>
struct GatherProduct {
  using W = float;
  using Tile = typename TileOf<T, N, false, Mode == kForward>::type;
  static constexpr int kThreads = Tile::kThreads, kRows = Tile::kRows, kDepth = Tile::kDepth;
  static constexpr int kTaps = 8;
  static constexpr int kAQuads = kRows * kDepth / 4 / kThreads;
  static constexpr int kBQuads = N * kDepth / 4 / kThreads;

  Sum<T> sum;
  Out* out;    // y (P, O) or dx (N, H, W, C)
  W* partial;  // (column tiles, P, T): terms of dK
  Phases phases;
  const T* source;  // x or upstream, (pixels, depth)
  int64_t depth, columns, chunks, row_tiles, column_tiles;
  bool source_aligned, filter_aligned;

  static GatherProduct of(const Sum<T>& sum, Out* out, W* partial) {
    const kpac_sizes& s = sum.s;
    GatherProduct p;
    p.sum = sum;
    p.out = out;
    p.partial = partial;
    p.phases = Mode == kInputGradient ? phases_of(s.input_size, s.strides)
                                      : phases_of(s.output_size, s.input_dilation);
    p.source = Mode == kForward ? sum.x : sum.upstream;
    p.depth = Mode == kForward ? s.input_channels : s.output_channels;
    p.columns = Mode == kForward ? s.output_channels : s.input_channels;
    p.chunks = ceil_divide(p.depth, kDepth);
    p.row_tiles = ceil_divide(s.batch * p.phases.grid[0] * p.phases.grid[1], kRows);
    p.column_tiles = ceil_divide(p.columns, N);
    p.source_aligned = quads_aligned(p.source, p.depth);
    p.filter_aligned = quads_aligned(sum.filter, s.output_channels);
    return p;
  }
  int64_t blocks() const {
    return phases.count() * row_tiles * column_tiles *
           (Mode == kAdaptingGradient ? taps(sum.s) : 1);
  }

  struct Shared {
    union {
      struct {
        typename Tile::Operands operands[2];
        W factor[kTaps][kRows];
        int64_t met[kTaps][kRows];  // q(p, t), or -1
      };
      alignas(32) W c[kRows * Tile::kC];
    };
    Pixel pixel[kRows];
    int64_t tap[kTaps];
    ActiveTaps down, across;
    int64_t column_tile, steps;
  };
  struct Registers {
    typename Tile::Accumulator acc;
    int64_t tap, chunk;  // of the next fetch; the same in all threads
  };

  KPAC_HD ActiveTaps active(int axis, int64_t phase) const {
    const kpac_sizes& s = sum.s;
    if (Mode == kInputGradient) {
      return active_taps(phase * s.input_dilation[axis] + s.padding[axis], -s.dilation[axis],
                         s.strides[axis], s.kernel_size[axis]);
    }
    return active_taps(phase * s.strides[axis] - s.padding[axis], s.dilation[axis],
                       s.input_dilation[axis], s.kernel_size[axis]);
  }

  // Only tap t of those that are active
  static KPAC_HD ActiveTaps only(const ActiveTaps& active, int64_t t) {
    int64_t past = t - active.first;
    bool is_one = active.count > 0 && past >= 0 && past % active.period == 0;
    return {t, 1, is_one ? 1 : 0};
  }

  KPAC_HD void begin(int64_t block, int thread, Shared& shared, Registers& r) const {
    const kpac_sizes& s = sum.s;
    int64_t tile = divide(block, column_tiles), t = 0;
    int64_t column_tile = block - tile * column_tiles;
    if (Mode == kAdaptingGradient) {
      int64_t rest = divide(tile, taps(s));
      t = tile - rest * taps(s);
      tile = rest;
    }
    int64_t phase = divide(tile, row_tiles);
    for (int row = thread; row < kRows; row += kThreads) {
      shared.pixel[row] = phases.pixel(s.batch, phase, (tile - phase * row_tiles) * kRows + row);
    }
    if (thread == 0) {
      int64_t phase_y = divide(phase, phases.modulus[1]);
      shared.down = active(0, phase_y);
      shared.across = active(1, phase - phase_y * phases.modulus[1]);
      if (Mode == kAdaptingGradient) {
        Tap only_one = tap_at(t, s);
        shared.down = only(shared.down, only_one.y);
        shared.across = only(shared.across, only_one.x);
        shared.tap[0] = t;
      }
      shared.column_tile = column_tile;
      shared.steps = shared.down.count * shared.across.count * chunks;
    }
    r.tap = r.chunk = 0;
    Tile::clear(thread, r.acc);
  }

  // A round fetches one step and multiplies the one before.
  KPAC_HD int64_t rounds(const Shared& shared) const {
    return shared.steps == 0 ? 0 : shared.steps + 1;
  }
  KPAC_HD bool wants_prepare(int64_t, const Registers& r) const {
    return r.chunk == 0 && r.tap % kTaps == 0;
  }

  KPAC_HD void prepare(int64_t, int thread, Shared& shared, Registers& r) const {
    const kpac_sizes& s = sum.s;
    for (int e = thread; e < kTaps * kRows; e += kThreads) {
      int slot = e / kRows, row = e % kRows;
      int64_t a = r.tap + slot;
      if (a >= shared.down.count * shared.across.count) break;
      int64_t a_y = divide(a, shared.across.count), a_x = a - a_y * shared.across.count;
      Tap tap = {shared.down.first + a_y * shared.down.period,
                 shared.across.first + a_x * shared.across.period};
      int64_t t = tap.y * s.kernel_size[1] + tap.x, met = -1;
      Pixel p = shared.pixel[row];
      W factor = 0;
      if (p.n >= 0 && Mode == kForward) {
        met = input_met(s, p, tap);
        if (met >= 0) {
          factor = sum.computes_adapting() ? sum.features.similarity(p, tap, 0)
                                           : sum.known(index_of(p, s.output_size), t, 0);
        }
      } else if (p.n >= 0 && Mode == kInputGradient) {
        met = output_meeting_input(s, p, tap);
        if (met >= 0) factor = sum.known(met, t, 0);
      } else if (p.n >= 0) {
        met = index_of(p, s.output_size);
        factor = 1;
      }
      shared.factor[slot][row] = factor;
      shared.met[slot][row] = met;
      if (row == 0) shared.tap[slot] = t;
    }
  }

  KPAC_HD Quad<T> fetch_a(int e, const Shared& shared, const Registers& r) const {
    int row = e / (kDepth / 4), slot = static_cast<int>(r.tap % kTaps);
    int64_t met = shared.met[slot][row];
    Quad<T> quad =
        load_quad(source + (met < 0 ? 0 : met) * depth, r.chunk * kDepth + e % (kDepth / 4) * 4,
                  met < 0 ? 0 : depth, source_aligned);
    if (Mode != kAdaptingGradient) {
      W factor = shared.factor[slot][row];
#pragma unroll
      for (int k = 0; k < 4; ++k) quad.value[k] = narrow<T>(widen(quad.value[k]) * factor);
    }
    return quad;
  }

  KPAC_HD Quad<T> fetch_b(int e, const Shared& shared, const Registers& r) const {
    const kpac_sizes& s = sum.s;
    int64_t t = shared.tap[r.tap % kTaps], c, o;
    if (Mode == kForward) {
      c = r.chunk * kDepth + e / (N / 4);
      o = shared.column_tile * N + e % (N / 4) * 4;
    } else {
      c = shared.column_tile * N + e / (kDepth / 4);
      o = r.chunk * kDepth + e % (kDepth / 4) * 4;
    }
    bool inside = c < s.input_channels;
    return load_quad(sum.filter + (t * s.input_channels + (inside ? c : 0)) * s.output_channels, o,
                     inside ? s.output_channels : 0, filter_aligned);
  }

  KPAC_HD void advance(int64_t round, int thread, Shared& shared, Registers& r) const {
    Quad<T> a[kAQuads], b[kBQuads];
    bool fetches = round < shared.steps;
    if (fetches) {
#pragma unroll
      for (int q = 0; q < kAQuads; ++q) a[q] = fetch_a(thread + q * kThreads, shared, r);
#pragma unroll
      for (int q = 0; q < kBQuads; ++q) b[q] = fetch_b(thread + q * kThreads, shared, r);
    }
    if (round > 0) Tile::multiply(thread, shared.operands[(round - 1) & 1], r.acc);
    if (!fetches) return;
    typename Tile::Operands& operands = shared.operands[round & 1];
#pragma unroll
    for (int q = 0; q < kAQuads; ++q) {
      int e = thread + q * kThreads;
      Tile::put_a(operands, e / (kDepth / 4), e % (kDepth / 4) * 4, a[q]);
    }
#pragma unroll
    for (int q = 0; q < kBQuads; ++q) {
      int e = thread + q * kThreads;
      if (Mode == kForward) {
        Tile::put_b(operands, e / (N / 4), e % (N / 4) * 4, b[q]);
      } else {
        Tile::put_b(operands, e % (kDepth / 4) * 4, e / (kDepth / 4), b[q]);
      }
    }
    if (++r.chunk == chunks) {
      r.chunk = 0;
      ++r.tap;
    }
  }

  KPAC_HD void spill(int thread, Shared& shared, Registers& r) const {
    Tile::spill(thread, r.acc, shared.c);
  }

  KPAC_HD void finish(int thread, Shared& shared, Registers&) const {
    if constexpr (Mode == kAdaptingGradient) {
      finish_adapting(thread, shared);
    } else {
      finish_pixels(thread, shared);
    }
  }

  KPAC_HD void finish_pixels(int thread, Shared& shared) const {
    for (int e = thread; e < kRows * N; e += kThreads) {
      int row = e / N;
      int64_t column = shared.column_tile * N + e % N;
      Pixel p = shared.pixel[row];
      if (p.n < 0 || column >= columns) continue;
      W value = shared.c[row * Tile::kC + e % N];
      int64_t pixel = index_of(p, phases.size);
      if (Mode == kForward) value += sum.bias_of(pixel, column);
      out[pixel * columns + column] = narrow<Out>(value);
    }
  }

  KPAC_HD void finish_adapting(int thread, Shared& shared) const {
    const kpac_sizes& s = sum.s;
    int64_t t = shared.tap[0], first = shared.column_tile * N;
    int count = static_cast<int>(columns - first < N ? columns - first : N);
    for (int row = thread; row < kRows; row += kThreads) {
      Pixel p = shared.pixel[row];
      if (p.n < 0) continue;
      int64_t j = input_met(s, p, tap_at(t, s));
      W total = 0;
      for (int c = 0; j >= 0 && c < count; ++c) {
        total += shared.c[row * Tile::kC + c] * widen(sum.x[j * columns + first + c]);
      }
      int64_t i = index_of(p, s.output_size);
      partial[(shared.column_tile * output_pixels(s) + i) * taps(s) + t] = total;
    }
  }
};

}  // namespace kpac::cuda
