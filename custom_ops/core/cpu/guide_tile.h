// The similarities k of one tile, tap by tap, and their gradient.
//
// A tile keeps each guide channel as a plane. A vector then holds one channel of neighbouring
// pixels, and no sum runs across a vector.
#pragma once

#include "elementary.h"
#include "plan.h"

namespace kpac::KPAC_ISA {

template <typename A>
constexpr A kInverseEpsilon = static_cast<A>(KPAC_INVERSE_EPSILON);

// The guide of a problem, and how it is compared.
template <typename T>
struct Guide {
  using A = Wide<T>;
  const T* guide;
  const T* center;  // or the guide itself
  int64_t height, width, channels;
  bool gaussian, asymmetric;
  const A *alpha, *exponent;  // (V,), of the inverse kernel

  Guide(const kpac_sizes& s, const kpac_inputs& in)
      : guide(static_cast<const T*>(in.guide)),
        center(in.center == nullptr ? guide : static_cast<const T*>(in.center)),
        height(s.guide_size[0]),
        width(s.guide_size[1]),
        channels(s.guide_channels),
        gaussian(s.kernel_type == KPAC_GAUSSIAN),
        asymmetric(s.asymmetric != 0),
        alpha(static_cast<const A*>(in.alpha)),
        exponent(static_cast<const A*>(in.exponent)) {}
};

// What a worker keeps of a tile.
template <typename A>
struct GuideScratch {
  A* planes;           // [channel][packed row][packed column]
  A* center;           // [channel][row][column]
  A* planes_gradient;  // the same, where gradients are wanted
  A* center_gradient;
  int64_t plane;  // elements between channels

  void take(Arena& arena, const Plan& plan, bool gradients) {
    // Vectors may reach beyond the last pixel of a row, also of the last row.
    plane = round_up(plan.largest_planes + 2 * kLanes<A>, kLanes<A>);
    const int64_t channels = kPlanes;
    planes = arena.take<A>(channels * plane);
    center = arena.take<A>(channels * kTilePlane);
    planes_gradient = gradients ? arena.take<A>(channels * plane) : nullptr;
    center_gradient = gradients ? arena.take<A>(channels * kTilePlane) : nullptr;
  }
};

// Calls use(position in the tile, pixels, row, column) for runs of packed pixels of one row of the
// image; its columns are a step apart. A run may leave the image.
template <typename Use>
void for_each_packed_run(const Tile& tile, const Packing& rows, const Packing& columns,
                         const Use& use) {
  for (const auto& row_group : rows.groups) {
    const int64_t row_count = row_group.extent - (rows.outputs - tile.height);
    for (int64_t r = 0; r < row_count; ++r) {
      const int64_t row = row_group.first + (tile.row + r) * rows.step;
      for (const auto& group : columns.groups) {
        use((row_group.offset + r) * columns.extent + group.offset,
            group.extent - (columns.outputs - tile.width), row,
            group.first + tile.column * columns.step);
      }
    }
  }
}

// Copies `count` pixels of an image row (height, width, channels), zero outside, to planes.
template <typename T>
void to_planes(const T* image, int64_t height, int64_t width, int64_t all_channels, int64_t row,
               int64_t column, int64_t step, int64_t count, int64_t channels, Wide<T>* to,
               int64_t plane) {
  int64_t first = 0, last = 0;
  if (row >= 0 && row < height) clip(column, step, count, width, &first, &last);
  for (int64_t c = 0; c < channels; ++c) {
    std::fill_n(to + c * plane, first, Wide<T>{0});
    std::fill_n(to + c * plane + last, count - last, Wide<T>{0});
  }
  if (first >= last) return;
  const T* from = image + (row * width + column) * all_channels;
  const int64_t apart = step * all_channels;
  transpose_matrix(from + first * apart, apart, last - first, channels, to + first, plane);
}

// Adds planes to an image row, leaving out what lies outside.
template <typename A>
void add_from_planes(A* image, int64_t height, int64_t width, int64_t all_channels, int64_t row,
                     int64_t column, int64_t step, int64_t count, int64_t channels, const A* from,
                     int64_t plane) {
  if (row < 0 || row >= height) return;
  int64_t first, last;
  clip(column, step, count, width, &first, &last);
  constexpr int lanes = kLanes<A>;
  A* const start = image + (row * width + column) * all_channels;
  const int64_t apart = step * all_channels;
  if (channels < kPlanes) {
    for (int64_t i = first; i < last; ++i) {
      for (int64_t c = 0; c < channels; ++c) start[i * apart + c] += from[c * plane + i];
    }
    return;
  }
  for (int64_t i = first; i < last; i += lanes) {
    const int64_t pixels = std::min<int64_t>(lanes, last - i);
    for (int64_t c = 0; c < kPlanes; c += lanes) {
      Vector<A> block[lanes];
#pragma GCC unroll 16
      for (int j = 0; j < lanes; ++j) block[j] = load(from + (c + j) * plane + i);
      transpose<A>(block);
      for (int64_t j = 0; j < pixels; ++j) {
        A* to = start + (i + j) * apart + c;
        store(to, load<A>(to) + block[j]);
      }
    }
  }
}

template <typename T>
void pack_guide(const Guide<T>& guide, const Tile& tile, int64_t first_channel, int64_t channels,
                const GuideScratch<Wide<T>>& scratch) {
  const int64_t image = tile.image * guide.height * guide.width * guide.channels + first_channel;
  const Packing &rows = tile.rows->guide, &columns = tile.columns->guide;
  for_each_packed_run(
      tile, rows, columns, [&](int64_t position, int64_t count, int64_t row, int64_t column) {
        to_planes(guide.guide + image, guide.height, guide.width, guide.channels, row, column,
                  columns.step, count, channels, scratch.planes + position, scratch.plane);
      });
  const bool packed = guide.center == guide.guide && rows.center >= 0 && columns.center >= 0;
  for (int64_t m = 0; m < tile.height; ++m) {
    if (packed) {
      const int64_t at = (rows.center + m) * columns.extent + columns.center;
      for (int64_t c = 0; c < channels; ++c) {
        std::copy_n(scratch.planes + c * scratch.plane + at, tile.width,
                    scratch.center + c * tile.plane() + m * tile.stride);
      }
    } else {
      to_planes(guide.center + image, guide.height, guide.width, guide.channels, tile.center_row(m),
                tile.center_column(0), tile.columns->lattice.guide_step, tile.width, channels,
                scratch.center + m * tile.stride, tile.plane());
    }
    // Vectors reach beyond the last pixel: NaN or infinity there would outlive a product with 0.
    for (int64_t c = 0; c < channels; ++c) {
      Wide<T>* center = scratch.center + c * tile.plane() + m * tile.stride;
      std::fill(center + tile.width, center + tile.stride, Wide<T>{0});
    }
  }
}

template <typename A>
inline Vector<A> difference(Vector<A> neighbor, Vector<A> center, bool asymmetric) {
  const Vector<A> d = neighbor - center;
  return asymmetric ? (d < 0 ? Vector<A>{} : d) : d;  // NaN stays NaN
}

// Adds the squared differences over `channels` planes to [vectors] sums.
template <typename A, int vectors>
inline void add_squares(const A* planes, int64_t plane, const A* center, int64_t center_plane,
                        int64_t channels, bool asymmetric, A* sums) {
  Vector<A> total[vectors];
  for (int v = 0; v < vectors; ++v) total[v] = load(sums + v * kLanes<A>);
  for (int64_t c = 0; c < channels; ++c) {
    for (int v = 0; v < vectors; ++v) {
      const Vector<A> d =
          difference<A>(load(planes + c * plane + v * kLanes<A>),
                        load(center + c * center_plane + v * kLanes<A>), asymmetric);
      total[v] += d * d;
    }
  }
  for (int v = 0; v < vectors; ++v) store(sums + v * kLanes<A>, total[v]);
}

// sums[tap][row][column] = squared distance of the features, over all channels.
template <typename T>
void squared_distances(const Guide<T>& guide, const Tile& tile,
                       const GuideScratch<Wide<T>>& scratch, Wide<T>* sums) {
  using A = Wide<T>;
  std::fill(sums, sums + tile.taps() * tile.plane(), A{0});
  const auto &rows = tile.rows->guide.position, &columns = tile.columns->guide.position;
  for (int64_t channel = 0; channel < guide.channels; channel += kPlanes) {
    const int64_t channels = std::min(kPlanes, guide.channels - channel);
    pack_guide(guide, tile, channel, channels, scratch);
    for (int64_t m = 0; m < tile.height; ++m) {
      A* tap_sums = sums + m * tile.stride;
      for (int64_t row : rows) {
        for (int64_t column : columns) {
          const A* planes = scratch.planes + (row + m) * tile.columns->guide.extent + column;
          const A* center = scratch.center + m * tile.stride;
          int64_t i = 0;
          for (; i + 4 * kLanes<A> <= tile.stride; i += 4 * kLanes<A>) {
            add_squares<A, 4>(planes + i, scratch.plane, center + i, tile.plane(), channels,
                              guide.asymmetric, tap_sums + i);
          }
          for (; i < tile.stride; i += kLanes<A>) {
            add_squares<A, 1>(planes + i, scratch.plane, center + i, tile.plane(), channels,
                              guide.asymmetric, tap_sums + i);
          }
          tap_sums += tile.plane();
        }
      }
    }
  }
}

// As many as a vector of A has lanes.
template <typename A>
using Doubles = Vector<double, kLanes<A>>;

// The inverse kernel, of a squared distance s.
template <typename A>
struct InverseKernel {
  A alpha, exponent;

  A similarity(A s) const { return alpha + std::pow(s + kInverseEpsilon<A>, exponent / 2); }
  Vector<A> similarity(Vector<A> s) const {
    Vector<A> log;
    return alpha + power(s + kInverseEpsilon<A>, exponent / 2, &log);
  }

  // Twice the gradient by s, from that by k; adds those by alpha and exponent to their sums.
  A distance_gradient(A s, A gradient, double* alpha_sum, double* exponent_sum) const {
    const A base = s + kInverseEpsilon<A>, power = std::pow(base, exponent / 2);
    *alpha_sum += gradient;
    *exponent_sum += gradient * std::log(base) / 2 * power;
    return exponent * std::pow(base, exponent / 2 - 1) * gradient;
  }
  Vector<A> distance_gradient(Vector<A> s, Vector<A> gradient, Doubles<A>* alpha_sums,
                              Doubles<A>* exponent_sums) const {
    Vector<A> log;
    const Vector<A> base = s + kInverseEpsilon<A>;
    const Vector<A> k_gradient = gradient * power(base, exponent / 2, &log);
    *alpha_sums += __builtin_convertvector(gradient, Doubles<A>);
    *exponent_sums += __builtin_convertvector(k_gradient * log / 2, Doubles<A>);
    return exponent * k_gradient / base;
  }
};

// Turns squared distances into k. Not for channel-wise kernels, as the functions below.
template <typename T>
void to_similarity(const Guide<T>& guide, int64_t count, Wide<T>* values) {
  using A = Wide<T>;
  if (guide.gaussian) {
    for (int64_t i = 0; i < count; i += kLanes<A>) {
      store(values + i, exp_nonpositive(load(values + i) * static_cast<A>(-0.5)));
    }
    return;
  }
  const InverseKernel<A> inverse = {*guide.alpha, *guide.exponent};
  for (int64_t i = 0; i < count; i += kLanes<A>) {
    store(values + i, inverse.similarity(load(values + i)));
  }
}

template <typename T>
void similarity_tile(const Guide<T>& guide, const Tile& tile, const GuideScratch<Wide<T>>& scratch,
                     Wide<T>* similarity) {
  squared_distances(guide, tile, scratch, similarity);
  to_similarity(guide, tile.taps() * tile.plane(), similarity);
}

// Turns the gradient by k into twice that by the squared distance s, and adds those by alpha and
// exponent to two sums. `values` holds k for the gaussian kernel, s for the inverse one.
template <typename T>
void to_distance_gradient(const Guide<T>& guide, int64_t count, const Wide<T>* values,
                          Wide<T>* gradient, double* exponent_sums) {
  using A = Wide<T>;
  if (guide.gaussian) {
    for (int64_t i = 0; i < count; i += kLanes<A>) {
      store(gradient + i, -load(values + i) * load(gradient + i));
    }
    return;
  }
  const InverseKernel<A> inverse = {*guide.alpha, *guide.exponent};
  Doubles<A> alpha_sums{}, sums{};
  for (int64_t i = 0; i < count; i += kLanes<A>) {
    store(gradient + i,
          inverse.distance_gradient(load(values + i), load<A>(gradient + i), &alpha_sums, &sums));
  }
  for (int i = 0; i < kLanes<A>; ++i) {
    exponent_sums[0] += alpha_sums[i];
    exponent_sums[1] += sums[i];
  }
}

// The gradients of some channels (planes) from `first` on, in some vectors from i on of row m of a
// tile. The vectors of neighbouring taps overlap, so one tap reads what the one before it wrote. To
// read it just after would stall the processor: the other channels and vectors come in between.
template <typename A, int channels, int vectors>
void add_gradient_at(const Tile& tile, const GuideScratch<A>& scratch, const A* weights, int64_t m,
                     int64_t i, int64_t first, bool asymmetric) {
  constexpr int lanes = kLanes<A>;
  Vector<A> totals[channels][vectors] = {};
  const int64_t center = first * tile.plane() + m * tile.stride + i;
  const A* weight = weights + m * tile.stride + i;
  for (int64_t row : tile.rows->guide.position) {
    for (int64_t column : tile.columns->guide.position) {
      const int64_t start =
          first * scratch.plane + (row + m) * tile.columns->guide.extent + column + i;
#pragma GCC unroll 16
      for (int c = 0; c < channels; ++c) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          const int64_t at = start + c * scratch.plane + v * lanes;
          const Vector<A> d =
              load(weight + v * lanes) *
              difference<A>(load(scratch.planes + at),
                            load(scratch.center + center + c * tile.plane() + v * lanes),
                            asymmetric);
          store(scratch.planes_gradient + at, load<A>(scratch.planes_gradient + at) + d);
          totals[c][v] -= d;
        }
      }
      weight += tile.plane();
    }
  }
  for (int c = 0; c < channels; ++c) {
    for (int v = 0; v < vectors; ++v) {
      store(scratch.center_gradient + center + c * tile.plane() + v * lanes, totals[c][v]);
    }
  }
}

template <typename A, int channels, int vectors>
void add_row_gradient(const Tile& tile, const GuideScratch<A>& scratch, const A* weights, int64_t m,
                      int64_t first, bool asymmetric) {
  int64_t i = 0;
  for (; i + vectors * kLanes<A> <= tile.stride; i += vectors * kLanes<A>) {
    add_gradient_at<A, channels, vectors>(tile, scratch, weights, m, i, first, asymmetric);
  }
  for (; i < tile.stride; i += kLanes<A>) {
    add_gradient_at<A, channels, 1>(tile, scratch, weights, m, i, first, asymmetric);
  }
}

// Adds the gradient by the guide and the centre, given 2 ds (0 beyond the width of the tile), after
// squared_distances of the same tile. Both gradients may be the same image.
template <typename T>
void add_guide_gradient(const Guide<T>& guide, const Tile& tile,
                        const GuideScratch<Wide<T>>& scratch, const Wide<T>* weights,
                        Wide<T>* guide_gradient, Wide<T>* center_gradient) {
  using A = Wide<T>;
  const int64_t image = tile.image * guide.height * guide.width * guide.channels;
  const int64_t step = tile.columns->lattice.guide_step;
  for (int64_t channel = 0; channel < guide.channels; channel += kPlanes) {
    const int64_t channels = std::min(kPlanes, guide.channels - channel);
    // If one pack holds all channels, it is still there from squared_distances.
    if (guide.channels > kPlanes) pack_guide(guide, tile, channel, channels, scratch);
    std::fill(scratch.planes_gradient, scratch.planes_gradient + channels * scratch.plane, A{0});
    for (int64_t m = 0; m < tile.height; ++m) {
      int64_t c = 0;
      for (; c + 16 <= channels; c += 16) {
        add_row_gradient<A, 16, 1>(tile, scratch, weights, m, c, guide.asymmetric);
      }
      for (; c + 3 <= channels; c += 3) {
        add_row_gradient<A, 3, 4>(tile, scratch, weights, m, c, guide.asymmetric);
      }
      for (; c < channels; ++c) {
        add_row_gradient<A, 1, 4>(tile, scratch, weights, m, c, guide.asymmetric);
      }
    }
    if (guide_gradient != nullptr) {
      for_each_packed_run(tile, tile.rows->guide, tile.columns->guide,
                          [&](int64_t position, int64_t count, int64_t row, int64_t column) {
                            add_from_planes(guide_gradient + image + channel, guide.height,
                                            guide.width, guide.channels, row, column, step, count,
                                            channels, scratch.planes_gradient + position,
                                            scratch.plane);
                          });
    }
    if (center_gradient != nullptr) {
      for (int64_t m = 0; m < tile.height; ++m) {
        add_from_planes(center_gradient + image + channel, guide.height, guide.width,
                        guide.channels, tile.center_row(m), tile.center_column(0), step, tile.width,
                        channels, scratch.center_gradient + m * tile.stride, tile.plane());
      }
    }
  }
}

}  // namespace kpac::KPAC_ISA
