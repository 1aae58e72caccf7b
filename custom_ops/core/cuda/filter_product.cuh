// The gradient of a full filter as products of tiles.
//
// A block has 128 rows r = (t, c) of dW (T C, O), N columns o and a range of output pixels i, of
// which it sums K_it x_j(i,t)[c] u_i[o], kDepth pixels at a time. The ranges' sums go to the
// workspace; sum_rows adds them up. Two buffers: while one is multiplied the next is filled.
#pragma once

#include "simple_sum.cuh"
#include "tile.cuh"

namespace kpac::cuda {

template <typename T, int N>
struct FilterProduct {
  using W = float;
  using Tile = typename TileOf<T, N, true, true>::type;
  static constexpr int kThreads = Tile::kThreads, kRows = Tile::kRows, kDepth = Tile::kDepth;
  static constexpr int kLanes = kThreads / kDepth;  // threads that share a pixel
  static constexpr int kAQuads = kRows / 4 / kLanes;
  static constexpr int kBQuads = N * kDepth / 4 / kThreads;

  Sum<T> sum;
  W* partial;  // (ranges, T, C, O)
  int64_t rows, row_tiles, column_tiles, length, ranges;
  bool x_aligned, upstream_aligned;

  // Enough ranges to fill a large GPU, of 256 pixels or more; from the sizes alone, so that results
  // don't depend on the device.
  static FilterProduct of(const Sum<T>& sum) {
    const kpac_sizes& s = sum.s;
    FilterProduct p;
    p.sum = sum;
    p.partial = nullptr;
    p.rows = taps(s) * s.input_channels;
    p.row_tiles = ceil_divide(p.rows, kRows);
    p.column_tiles = ceil_divide(s.output_channels, N);
    int64_t wanted = ceil_divide(1024, p.row_tiles * p.column_tiles);
    int64_t length = ceil_divide(output_pixels(s), wanted);
    p.length = (length < 256 ? 256 : length + kDepth - 1) / kDepth * kDepth;
    p.ranges = ceil_divide(output_pixels(s), p.length);
    p.x_aligned = quads_aligned(sum.x, s.input_channels);
    p.upstream_aligned = quads_aligned(sum.upstream, s.output_channels);
    return p;
  }
  int64_t blocks() const { return ranges * row_tiles * column_tiles; }
  KPAC_HD int64_t elements() const { return rows * sum.s.output_channels; }

  struct Row {
    Tap tap;
    int64_t t, c;  // t is -1 past the last row
  };
  struct Shared {
    union {
      typename Tile::Operands operands[2];
      alignas(32) W c[kRows * Tile::kC];
    };
    Row row[kRows];
    int64_t range, first_row, first_column, begin, end;
  };
  struct Registers {
    typename Tile::Accumulator acc;
    int64_t i;  // the pixel that this thread fetches next for a
    Pixel pixel;
  };

  KPAC_HD void begin(int64_t block, int thread, Shared& shared, Registers& r) const {
    const kpac_sizes& s = sum.s;
    int64_t tile = divide(block, column_tiles), range = divide(tile, row_tiles);
    int64_t first_row = (tile - range * row_tiles) * kRows, first = range * length;
    if (thread == 0) {
      shared.range = range;
      shared.first_row = first_row;
      shared.first_column = (block - tile * column_tiles) * N;
      shared.begin = first;
      shared.end = first + length < output_pixels(s) ? first + length : output_pixels(s);
    }
    for (int k = thread; k < kRows; k += kThreads) {
      int64_t t = divide(first_row + k, s.input_channels);
      shared.row[k] = {tap_at(t, s), first_row + k < rows ? t : -1,
                       first_row + k - t * s.input_channels};
    }
    r.i = first + thread / kLanes;
    r.pixel = pixel_at(r.i, s.output_size);
    Tile::clear(thread, r.acc);
  }

  KPAC_HD int64_t rounds(const Shared& shared) const {
    return ceil_divide(shared.end - shared.begin, kDepth) + 1;
  }
  KPAC_HD bool wants_prepare(int64_t, const Registers&) const { return false; }
  KPAC_HD void prepare(int64_t, int, Shared&, Registers&) const {}

  // K_it and j(i, t) of a row, for the pixel in r.
  KPAC_HD W factor(const Row& row, const Registers& r, int64_t* j) const {
    *j = row.t < 0 ? -1 : input_met(sum.s, r.pixel, row.tap);
    return *j < 0 ? 0 : sum.known(r.i, row.t, 0);
  }

  KPAC_HD Quad<T> fetch_a(int first, const Shared& shared, const Registers& r) const {
    Quad<T> quad;
    int64_t j = -1, channels = sum.s.input_channels;
    bool inside = r.i < shared.end;
    if (x_aligned) {  // then all four rows are of one tap
      const Row& row = shared.row[first];
      W k = inside ? factor(row, r, &j) : 0;
      quad = load_quad(sum.x + (j < 0 ? 0 : j) * channels, row.c, j < 0 ? 0 : channels, true);
#pragma unroll
      for (int e = 0; e < 4; ++e) quad.value[e] = narrow<T>(widen(quad.value[e]) * k);
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const Row& row = shared.row[first + e];
        W k = inside ? factor(row, r, &j) : 0;
        quad.value[e] = narrow<T>(j < 0 ? W(0) : widen(sum.x[j * channels + row.c]) * k);
      }
    }
    return quad;
  }

  KPAC_HD Quad<T> fetch_b(int64_t round, int e, const Shared& shared) const {
    int64_t i = shared.begin + round * kDepth + e / (N / 4), outputs = sum.s.output_channels;
    bool inside = i < shared.end;
    return load_quad(sum.upstream + (inside ? i : 0) * outputs,
                     shared.first_column + e % (N / 4) * 4, inside ? outputs : 0, upstream_aligned);
  }

  KPAC_HD void advance(int64_t round, int thread, Shared& shared, Registers& r) const {
    const int64_t* size = sum.s.output_size;
    Quad<T> a[kAQuads], b[kBQuads];
    bool fetches = shared.begin + round * kDepth < shared.end;
    if (fetches) {
#pragma unroll
      for (int q = 0; q < kAQuads; ++q) {
        a[q] = fetch_a((thread % kLanes + q * kLanes) * 4, shared, r);
      }
#pragma unroll
      for (int q = 0; q < kBQuads; ++q) b[q] = fetch_b(round, thread + q * kThreads, shared);
      r.i += kDepth;
      for (r.pixel.x += kDepth; r.pixel.x >= size[1]; r.pixel.x -= size[1]) {
        if (++r.pixel.y == size[0]) {
          r.pixel.y = 0;
          ++r.pixel.n;
        }
      }
    }
    if (round > 0) Tile::multiply(thread, shared.operands[(round - 1) & 1], r.acc);
    if (!fetches) return;
    typename Tile::Operands& operands = shared.operands[round & 1];
#pragma unroll
    for (int q = 0; q < kAQuads; ++q) {
      Tile::put_a(operands, (thread % kLanes + q * kLanes) * 4, thread / kLanes, a[q]);
    }
#pragma unroll
    for (int q = 0; q < kBQuads; ++q) {
      int e = thread + q * kThreads;
      Tile::put_b(operands, e / (N / 4), e % (N / 4) * 4, b[q]);
    }
  }

  KPAC_HD void spill(int thread, Shared& shared, Registers& r) const {
    Tile::spill(thread, r.acc, shared.c);
  }

  KPAC_HD void finish(int thread, Shared& shared, Registers&) const {
    for (int e = thread; e < kRows * N; e += kThreads) {
      int64_t row = shared.first_row + e / N, column = shared.first_column + e % N;
      if (row >= rows || column >= sum.s.output_channels) continue;
      partial[shared.range * elements() + row * sum.s.output_channels + column] =
          shared.c[e / N * Tile::kC + e % N];
    }
  }
};

}  // namespace kpac::cuda
