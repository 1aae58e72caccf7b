// The adapting kernel and its gradients, one element of a result at a time.
//
// (N, OH, OW) are output pixels i, T taps t, V values v of K (G if channel_wise, else 1); the
// formulae are those of keras_pac.h. W is float, or double for double.
#pragma once

#include "geometry.cuh"

namespace kpac::cuda {

// An array of T that was given, or else one of W in the workspace.
template <typename T>
struct Values {
  const T* given;
  const Wide<T>* stored;

  KPAC_HD Wide<T> operator[](int64_t index) const {
    return given != nullptr ? widen(given[index]) : stored[index];
  }
};

// Everything that k_it is computed from.
template <typename T>
struct Features {
  using W = Wide<T>;
  kpac_sizes s;
  const T* guide;     // (N, GH, GW, G)
  const T* center;    // the same; the guide itself if there is none
  const W* alpha;     // (V,)
  const W* exponent;  // (V,)
  bool aligned;       // for load_quad

  KPAC_HD int64_t values() const { return s.channel_wise ? s.guide_channels : 1; }

  // d for guide pixel n and centre c, either -1 outside
  KPAC_HD W difference(int64_t n, int64_t c, int64_t g) const {
    W d = (n < 0 ? W(0) : widen(guide[n * s.guide_channels + g])) -
          (c < 0 ? W(0) : widen(center[c * s.guide_channels + g]));
    return s.asymmetric ? max0(d) : d;
  }

  // s of one pair of pixels
  KPAC_HD W distance(int64_t n, int64_t c, int64_t v) const {
    if (s.channel_wise) {
      W d = difference(n, c, v);
      return d * d;
    }
    int64_t channels = s.guide_channels;
    const T* near = guide + (n < 0 ? 0 : n) * channels;
    const T* middle = center + (c < 0 ? 0 : c) * channels;
    W sum = 0;
    for (int64_t g = 0; g < channels; g += 4) {
      Quad<T> a = load_quad(near, g, n < 0 ? 0 : channels, aligned);
      Quad<T> b = load_quad(middle, g, c < 0 ? 0 : channels, aligned);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        W d = widen(a.value[e]) - widen(b.value[e]);
        if (s.asymmetric) d = max0(d);
        sum += d * d;
      }
    }
    return sum;
  }

  // k of a distance
  KPAC_HD W similarity(W distance, int64_t v) const {
    using std::exp;
    using std::pow;
    if (s.kernel_type == KPAC_GAUSSIAN) return exp(distance * W(-0.5));
    return alpha[v] + pow(distance + W(KPAC_INVERSE_EPSILON), exponent[v] / 2);
  }

  KPAC_HD W similarity(Pixel i, Tap t, int64_t v) const {
    return similarity(distance(guide_met(s, i, t), center_met(s, i), v), v);
  }
};

template <typename T>
Features<T> features_of(const kpac_call& call) {
  using W = Wide<T>;
  const kpac_sizes& s = call.sizes;
  const kpac_inputs& in = call.inputs;
  const T* guide = static_cast<const T*>(in.guide);
  const T* center = in.center != nullptr ? static_cast<const T*>(in.center) : guide;
  return {s,
          guide,
          center,
          static_cast<const W*>(in.alpha),
          static_cast<const W*>(in.exponent),
          quads_aligned(guide, s.guide_channels) && quads_aligned(center, s.guide_channels)};
}

// m_it, and the divisor D_i of K_it = m_it k_it / D_i; see keras_pac.h.
template <typename T>
struct Divisor {
  using W = Wide<T>;
  Features<T> features;
  const T* valid_mask;  // (N, H, W), or NULL

  // m_it, and whether a tap is in the image at all
  KPAC_HD W mask(Pixel i, Tap t, bool* in_image) const {
    int64_t j = input_met(features.s, i, t);
    *in_image = j >= 0;
    return j < 0 ? W(0) : valid_mask == nullptr ? W(1) : widen(valid_mask[j]);
  }
  KPAC_HD bool divides() const { return features.s.normalize || valid_mask != nullptr; }

  // D_i; and sum_t m_it k_it u_it if there are u (from the first tap of i and value v on).
  KPAC_HD W divisor(Pixel i, int64_t v, const Values<T>* upstream, int64_t first, W* dot) const {
    const kpac_sizes& s = features.s;
    W sum = 0, in_image_taps = 0;
    for (int64_t t = 0; t < taps(s); ++t) {
      bool in_image;
      W m = mask(i, tap_at(t, s), &in_image);
      in_image_taps += in_image ? 1 : 0;
      if (s.normalize && m != 0) {
        m *= features.similarity(i, tap_at(t, s), v);
        if (upstream != nullptr) *dot += m * (*upstream)[first + t * features.values()];
      }
      sum += m;
    }
    return s.normalize || in_image_taps == 0 ? sum : sum / in_image_taps;
  }
};

// K_it = k_it; index: (N, OH, OW, T, V).
template <typename T, typename Out>
struct PlainAdapting {
  Features<T> features;
  Out* out;  // (N, OH, OW, T, V)

  KPAC_HD void operator()(int64_t index) const {
    const kpac_sizes& s = features.s;
    int64_t pair = divide(index, features.values());
    int64_t i = divide(pair, taps(s));
    out[index] =
        narrow<Out>(features.similarity(pixel_at(i, s.output_size), tap_at(pair - i * taps(s), s),
                                        index - pair * features.values()));
  }
};

// K_it = m_it k_it / D_i; index: (N, OH, OW, V).
template <typename T>
struct DividedAdapting {
  Divisor<T> divisor;
  T* out;  // (N, OH, OW, T, V)

  KPAC_HD void operator()(int64_t index) const {
    using W = Wide<T>;
    const Features<T>& features = divisor.features;
    const kpac_sizes& s = features.s;
    int64_t pixel = divide(index, features.values());
    int64_t v = index - pixel * features.values();
    Pixel i = pixel_at(pixel, s.output_size);
    W total = divisor.divisor(i, v, nullptr, 0, nullptr);
    for (int64_t t = 0; t < taps(s); ++t) {
      bool in_image;
      W m = divisor.mask(i, tap_at(t, s), &in_image);
      W k = m == 0 || total == 0 ? W(0) : m * features.similarity(i, tap_at(t, s), v) / total;
      out[(pixel * taps(s) + t) * features.values() + v] = narrow<T>(k);
    }
  }
};

// 1 where D_i is not 0 (for a value of K at least), else 0; index: (N, OH, OW).
template <typename T>
struct OutputMask {
  Divisor<T> divisor;
  T* out;  // (N, OH, OW)

  KPAC_HD void operator()(int64_t index) const {
    const kpac_sizes& s = divisor.features.s;
    Pixel i = pixel_at(index, s.output_size);
    int64_t values = s.normalize ? divisor.features.values() : 1;
    bool any = false;
    for (int64_t v = 0; v < values && !any; ++v) {
      any = divisor.divisor(i, v, nullptr, 0, nullptr) != 0;
    }
    out[index] = narrow<T>(any ? 1 : 0);
  }
};

// ds_it for every tap, and sum_t of the terms of dalpha and dexponent; index: (N, OH, OW, V).
template <typename T>
struct DistanceGradient {
  using W = Wide<T>;
  Divisor<T> divisor;
  Values<T> upstream;  // (N, OH, OW, T, V)
  W* distance;         // (N, OH, OW, T, V)
  W* alpha;            // (N, OH, OW, V), or NULL
  W* exponent;         // (N, OH, OW, V), or NULL

  KPAC_HD void operator()(int64_t index) const {
    using std::log;
    using std::pow;
    const Features<T>& features = divisor.features;
    const kpac_sizes& s = features.s;
    int64_t values = features.values();
    int64_t pixel = divide(index, values);
    int64_t v = index - pixel * values;
    int64_t first = pixel * taps(s) * values + v;
    Pixel i = pixel_at(pixel, s.output_size);
    int64_t c = center_met(s, i);
    bool divides = divisor.divides();
    W dot = 0, total = 1, sum_alpha = 0, sum_exponent = 0;
    if (divides) {
      total = divisor.divisor(i, v, &upstream, first, &dot);
      if (total != 0) dot /= total;  // sum_t u_it K_it
    }
    for (int64_t t = 0; t < taps(s); ++t) {
      W u = upstream[first + t * values];
      if (divides) {
        bool in_image;
        W m = divisor.mask(i, tap_at(t, s), &in_image);
        u = m == 0 || total == 0 ? W(0) : m * (u - dot) / total;  // dot is 0 if not normalize
      }
      W r = features.distance(guide_met(s, i, tap_at(t, s)), c, v);
      W gradient;
      if (s.kernel_type == KPAC_GAUSSIAN) {
        gradient = u * features.similarity(r, v) * W(-0.5);
      } else {
        r += W(KPAC_INVERSE_EPSILON);
        W half = features.exponent[v] / 2, power = pow(r, half);
        gradient = u * half * pow(r, half - 1);
        sum_alpha += u;
        sum_exponent += u * power * log(r) / 2;
      }
      distance[first + t * values] = gradient;
    }
    if (alpha != nullptr) alpha[index] = sum_alpha;
    if (exponent != nullptr) exponent[index] = sum_exponent;
  }
};

// ds_it where the Gaussian K_it = k_it is in the workspace already; index: (N, OH, OW, T).
template <typename T>
struct GaussianDistanceGradient {
  const Wide<T>* adapting;  // (N, OH, OW, T)
  Wide<T>* gradient;        // the same: dK, which ds takes the place of

  KPAC_HD void operator()(int64_t index) const {
    gradient[index] *= adapting[index] * Wide<T>(-0.5);
  }
};

// dguide and dcenter; index: (N, GH, GW, G).
template <typename T>
struct GuideGradient {
  using W = Wide<T>;
  Features<T> features;
  const W* distance;  // (N, OH, OW, T, V)
  T* guide;           // (N, GH, GW, G), or NULL
  T* center;          // the same
  bool has_center;    // else dcenter is added to dguide

  KPAC_HD void operator()(int64_t index) const {
    const kpac_sizes& s = features.s;
    int64_t pixel = divide(index, s.guide_channels);
    int64_t g = index - pixel * s.guide_channels;
    Pixel n = pixel_at(pixel, s.guide_size);
    W as_neighbour = 0, as_center = 0;
    if (guide != nullptr) {
      for (int64_t t = 0; t < taps(s); ++t) {
        Pixel i = output_meeting_guide(s, n, tap_at(t, s));
        if (i.n < 0) continue;
        as_neighbour += 2 * features.difference(pixel, center_met(s, i), g) * gradient(i, t, g);
      }
    }
    if (center != nullptr || !has_center) {
      Pixel i = output_meeting_guide(s, n, {s.kernel_size[0] / 2, s.kernel_size[1] / 2});
      for (int64_t t = 0; i.n >= 0 && t < taps(s); ++t) {
        as_center -=
            2 * features.difference(guide_met(s, i, tap_at(t, s)), pixel, g) * gradient(i, t, g);
      }
    }
    if (center != nullptr) center[index] = narrow<T>(as_center);
    if (guide != nullptr)
      guide[index] = narrow<T>(has_center ? as_neighbour : as_neighbour + as_center);
  }

  KPAC_HD W gradient(Pixel i, int64_t t, int64_t g) const {
    const kpac_sizes& s = features.s;
    int64_t pair = index_of(i, s.output_size) * taps(s) + t;
    return s.channel_wise ? distance[pair * s.guide_channels + g] : distance[pair];
  }
};

}  // namespace kpac::cuda
