// Windowed sums for every filter and type, an element of a result at a time: pooling and shared
// filters, and full filters in float64. The other full filters go through products of tiles.
//
// P = N * OH * OW output pixels i; the rest as in keras_pac.h.
#pragma once

#include "adapting.cuh"

namespace kpac::cuda {

// What all windowed sums and their gradients read.
template <typename T>
struct Sum {
  using W = Wide<T>;
  kpac_sizes s;
  const T* x;          // (N, H, W, C)
  const T* upstream;   // (N, OH, OW, O), or NULL
  const T* filter;     // (T, C, O), (T,) or NULL
  const T* bias;       // (O,), or (P, O) if bias_image, or NULL
  Values<T> adapting;  // (P, T), or (P, T, C) if channel_wise; unless K is computed on the way
  Features<T> features;

  KPAC_HD bool full() const { return s.filter_type == KPAC_FULL; }
  // w_t, if the filter is not full
  KPAC_HD W weight(int64_t t) const {
    return s.filter_type == KPAC_SHARED ? widen(filter[t]) : W(1);
  }
  // K_it[c], unless it is computed on the way
  KPAC_HD W known(int64_t i, int64_t t, int64_t c) const {
    int64_t pair = i * taps(s) + t;
    return s.channel_wise ? adapting[pair * s.input_channels + c] : adapting[pair];
  }
  // (W_t u_i)[c], or w_t u_i[c]
  KPAC_HD W passed_back(int64_t i, int64_t t, int64_t c) const {
    if (!full()) return weight(t) * widen(upstream[i * s.output_channels + c]);
    W sum = 0;
    for (int64_t o = 0; o < s.output_channels; ++o) {
      sum += widen(filter[(t * s.input_channels + c) * s.output_channels + o]) *
             widen(upstream[i * s.output_channels + o]);
    }
    return sum;
  }
  // What is added to y_i[o]
  KPAC_HD W bias_of(int64_t i, int64_t o) const {
    if (bias == nullptr) return 0;
    return widen(bias[s.bias_image ? i * s.output_channels + o : o]);
  }
  KPAC_HD bool computes_adapting() const {
    return adapting.given == nullptr && adapting.stored == nullptr;
  }
};

template <typename T>
Sum<T> sum_of(const kpac_call& call) {
  const kpac_inputs& in = call.inputs;
  return {call.sizes,
          static_cast<const T*>(in.x),
          static_cast<const T*>(in.upstream),
          static_cast<const T*>(in.filter),
          static_cast<const T*>(in.bias),
          {static_cast<const T*>(in.adapting_kernel), nullptr},
          features_of<T>(call)};
}

// y. A block has 16 pixels and 64 channels; K is looked up or computed once for each pixel and tap
// of it, 8 taps at a time.
template <typename T, typename Out>
struct SimpleSum {
  using W = Wide<T>;
  static constexpr int kThreads = 256, kPixels = 16, kLanes = 16, kEach = 4, kTaps = 8;
  Sum<T> sum;
  Out* y;  // (P, O)
  int64_t tiles;

  static SimpleSum of(const Sum<T>& sum, Out* y) {
    return {sum, y, ceil_divide(sum.s.output_channels, kLanes * kEach)};
  }
  int64_t blocks() const { return ceil_divide(output_pixels(sum.s), kPixels) * tiles; }

  struct Shared {
    W factor[kTaps][kPixels];
    int64_t source[kTaps][kPixels];
    int64_t first_pixel, first_channel;
  };
  struct Registers {
    W sum[kEach];
  };

  KPAC_HD void begin(int64_t block, int thread, Shared& shared, Registers& r) const {
    if (thread == 0) {
      int64_t tile = divide(block, tiles);
      shared.first_pixel = tile * kPixels;
      shared.first_channel = (block - tile * tiles) * (kLanes * kEach);
    }
    for (int e = 0; e < kEach; ++e) r.sum[e] = 0;
  }
  KPAC_HD int64_t rounds(const Shared&) const { return ceil_divide(taps(sum.s), kTaps); }
  KPAC_HD bool wants_prepare(int64_t, const Registers&) const { return true; }

  KPAC_HD void prepare(int64_t round, int thread, Shared& shared, Registers&) const {
    int slot = thread / kPixels, row = thread % kPixels;
    int64_t t = round * kTaps + slot, i = shared.first_pixel + row;
    if (slot >= kTaps || t >= taps(sum.s)) return;
    int64_t source = -1;
    if (i < output_pixels(sum.s)) {
      Pixel pixel = pixel_at(i, sum.s.output_size);
      Tap tap = tap_at(t, sum.s);
      source = input_met(sum.s, pixel, tap);
      if (source >= 0 && !sum.s.channel_wise) {
        shared.factor[slot][row] =
            sum.weight(t) *
            (sum.computes_adapting() ? sum.features.similarity(pixel, tap, 0) : sum.known(i, t, 0));
      }
    }
    shared.source[slot][row] = source;
  }

  KPAC_HD void advance(int64_t round, int thread, Shared& shared, Registers& r) const {
    const kpac_sizes& s = sum.s;
    int row = thread / kLanes;
    for (int slot = 0; slot < kTaps && round * kTaps + slot < taps(s); ++slot) {
      int64_t j = shared.source[slot][row], t = round * kTaps + slot;
      if (j < 0) continue;
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        int64_t o = shared.first_channel + thread % kLanes + e * kLanes;
        if (o >= s.output_channels) continue;
        if (sum.full()) {
          const T* filter = sum.filter + t * s.input_channels * s.output_channels + o;
          W product = 0;
          for (int64_t c = 0; c < s.input_channels; ++c) {
            product +=
                widen(sum.x[j * s.input_channels + c]) * widen(filter[c * s.output_channels]);
          }
          r.sum[e] += shared.factor[slot][row] * product;
        } else {
          W factor = s.channel_wise ? sum.weight(t) * sum.known(shared.first_pixel + row, t, o)
                                    : shared.factor[slot][row];
          r.sum[e] += factor * widen(sum.x[j * s.input_channels + o]);
        }
      }
    }
  }

  KPAC_HD void spill(int, Shared&, Registers&) const {}
  KPAC_HD void finish(int thread, Shared& shared, Registers& r) const {
    int64_t i = shared.first_pixel + thread / kLanes;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      int64_t o = shared.first_channel + thread % kLanes + e * kLanes;
      if (i >= output_pixels(sum.s) || o >= sum.s.output_channels) continue;
      y[i * sum.s.output_channels + o] = narrow<Out>(r.sum[e] + sum.bias_of(i, o));
    }
  }
};

// The softmax over the channels; index: (P,). May be in place.
template <typename T>
struct Softmax {
  using W = Wide<T>;
  const W* sums;  // (P, O)
  T* y;           // (P, O)
  int64_t channels;

  KPAC_HD void operator()(int64_t index) const {
    const W* from = sums + index * channels;
    T* to = y + index * channels;
    using std::exp;
    W largest = from[0], total = 0;
    for (int64_t o = 1; o < channels; ++o) largest = from[o] > largest ? from[o] : largest;
    for (int64_t o = 0; o < channels; ++o) total += exp(from[o] - largest);
    for (int64_t o = 0; o < channels; ++o) to[o] = narrow<T>(exp(from[o] - largest) / total);
  }
};

// dx; index: (N, H, W, C).
template <typename T>
struct SimpleInputGradient {
  Sum<T> sum;
  T* out;  // (N, H, W, C)

  KPAC_HD void operator()(int64_t index) const {
    using W = Wide<T>;
    const kpac_sizes& s = sum.s;
    int64_t pixel = divide(index, s.input_channels), c = index - pixel * s.input_channels;
    Pixel j = pixel_at(pixel, s.input_size);
    W total = 0;
    for (int64_t t = 0; t < taps(s); ++t) {
      int64_t i = output_meeting_input(s, j, tap_at(t, s));
      if (i < 0) continue;
      total += sum.known(i, t, c) * sum.passed_back(i, t, c);
    }
    out[index] = narrow<T>(total);
  }
};

// dK; index: (P, T), or (P, T, C) if channel_wise.
template <typename T, typename Out>
struct SimpleAdaptingGradient {
  Sum<T> sum;
  Out* out;  // (P, T) or (P, T, C)

  KPAC_HD void operator()(int64_t index) const {
    using W = Wide<T>;
    const kpac_sizes& s = sum.s;
    int64_t values = s.channel_wise ? s.input_channels : 1;
    int64_t pair = divide(index, values), i = divide(pair, taps(s)), t = pair - i * taps(s);
    int64_t first = index - pair * values;
    int64_t last = s.channel_wise ? first + 1 : s.input_channels;
    int64_t j = input_met(s, pixel_at(i, s.output_size), tap_at(t, s));
    W total = 0;
    for (int64_t c = first; j >= 0 && c < last; ++c) {
      total += widen(sum.x[j * s.input_channels + c]) * sum.passed_back(i, t, c);
    }
    out[index] = narrow<Out>(total);
  }
};

// Terms of dw or dW of `length` output pixels; index: (ceil(P / length), filter).
template <typename T>
struct SimpleFilterGradient {
  using W = Wide<T>;
  Sum<T> sum;
  W* out;  // (ceil(P / length), T) or (ceil(P / length), T, C, O)
  int64_t length;

  KPAC_HD void operator()(int64_t index) const {
    const kpac_sizes& s = sum.s;
    int64_t each = sum.full() ? s.input_channels * s.output_channels : 1;
    int64_t chunk = divide(index, taps(s) * each);
    int64_t element = index - chunk * taps(s) * each;
    int64_t t = divide(element, each), c = divide(element - t * each, s.output_channels);
    int64_t o = element - t * each - c * s.output_channels;
    int64_t end = (chunk + 1) * length < output_pixels(s) ? (chunk + 1) * length : output_pixels(s);
    W total = 0;
    for (int64_t i = chunk * length; i < end; ++i) {
      int64_t j = input_met(s, pixel_at(i, s.output_size), tap_at(t, s));
      if (j >= 0) total += sum.full() ? term(i, j, t, c, o) : terms(i, j, t);
    }
    out[index] = total;
  }

  KPAC_HD W term(int64_t i, int64_t j, int64_t t, int64_t c, int64_t o) const {
    return sum.known(i, t, 0) * widen(sum.x[j * sum.s.input_channels + c]) *
           widen(sum.upstream[i * sum.s.output_channels + o]);
  }
  KPAC_HD W terms(int64_t i, int64_t j, int64_t t) const {
    W total = 0;
    for (int64_t c = 0; c < sum.s.input_channels; ++c) {
      total += sum.known(i, t, c) * widen(sum.x[j * sum.s.input_channels + c]) *
               widen(sum.upstream[i * sum.s.output_channels + c]);
    }
    return total;
  }
};

}  // namespace kpac::cuda
