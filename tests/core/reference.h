// The mathematics of custom_ops/core/keras_pac.h in float64, as plainly as it can be written: one
// loop over all meetings of an output pixel and a tap; gradients scatter. For tests only.
#pragma once

#include <cstdint>
#include <vector>

#include "keras_pac.h"
#include "number.h"

namespace reference {

using Numbers = std::vector<Number>;

// Stated again, so that another one in the header fails here.
constexpr double kEpsilon = 1e-4;

// As kpac_inputs, in float64.
struct Inputs {
  const double *x, *adapting_kernel, *guide, *center, *valid_mask, *alpha, *exponent, *filter,
      *bias;
};

// Empty where the input is NULL.
struct Gradients {
  Numbers x, adapting_kernel, guide, center, alpha, exponent, filter, bias;
};

// What output pixel `pixel` and tap `tap` meet: pixel indices over the batch, or -1 for nothing.
struct Meeting {
  int64_t pixel, tap, input, guide, center;
};

inline int64_t taps(const kpac_sizes& s) { return s.kernel_size[0] * s.kernel_size[1]; }

inline int64_t pixels(const kpac_sizes& s, const int64_t size[2]) {
  return s.batch * size[0] * size[1];
}

inline int64_t input_coordinate(const kpac_sizes& s, int axis, int64_t i, int64_t t) {
  const int64_t position = i * s.strides[axis] + t * s.dilation[axis] - s.padding[axis];
  if (position < 0 || position % s.input_dilation[axis] != 0) return -1;
  const int64_t j = position / s.input_dilation[axis];
  return j < s.input_size[axis] ? j : -1;
}

inline int64_t guide_coordinate(const kpac_sizes& s, int axis, int64_t i, int64_t t) {
  const int64_t n = i * s.strides[axis] + t * s.dilation[axis] - s.guide_padding[axis];
  return n >= 0 && n < s.guide_size[axis] ? n : -1;
}

inline int64_t pixel_index(int64_t image, const int64_t size[2], int64_t row, int64_t column) {
  return row < 0 || column < 0 ? -1 : (image * size[0] + row) * size[1] + column;
}

template <typename Visit>
void for_each_meeting(const kpac_sizes& s, Visit visit) {
  const int64_t middle[2] = {s.kernel_size[0] / 2, s.kernel_size[1] / 2};
  if (pixels(s, s.output_size) == 0) return;
  for (int64_t image = 0; image < s.batch; ++image)
    for (int64_t row = 0; row < s.output_size[0]; ++row)
      for (int64_t column = 0; column < s.output_size[1]; ++column)
        for (int64_t tap = 0; tap < taps(s); ++tap) {
          const int64_t t[2] = {tap / s.kernel_size[1], tap % s.kernel_size[1]};
          visit(Meeting{pixel_index(image, s.output_size, row, column), tap,
                        pixel_index(image, s.input_size, input_coordinate(s, 0, row, t[0]),
                                    input_coordinate(s, 1, column, t[1])),
                        pixel_index(image, s.guide_size, guide_coordinate(s, 0, row, t[0]),
                                    guide_coordinate(s, 1, column, t[1])),
                        pixel_index(image, s.guide_size, guide_coordinate(s, 0, row, middle[0]),
                                    guide_coordinate(s, 1, column, middle[1]))});
        }
}

// d of one channel.
inline Number difference(const kpac_sizes& s, const Inputs& in, const Meeting& at, int64_t g) {
  const double* center = in.center ? in.center : in.guide;
  const Number neighbour = at.guide < 0 ? 0.0 : in.guide[at.guide * s.guide_channels + g];
  const Number middle = at.center < 0 ? 0.0 : center[at.center * s.guide_channels + g];
  const Number d = neighbour - middle;
  return s.asymmetric ? positive_part(d) : d;
}

// All intermediate results of the adapting kernel. `values` is V; index(i, t, v).
struct AdaptingKernel {
  int64_t taps, values;
  Numbers distance, similarity, adapting;  // s, k and K
  std::vector<double> mask;                // m, without v
  Numbers divisor;                         // D, without t

  int64_t index(int64_t pixel, int64_t tap, int64_t v) const {
    return (pixel * taps + tap) * values + v;
  }
};

inline AdaptingKernel adapting_kernel(const kpac_sizes& s, const Inputs& in) {
  AdaptingKernel a;
  a.taps = taps(s);
  a.values = s.channel_wise ? s.guide_channels : 1;
  const int64_t outputs = pixels(s, s.output_size);
  a.distance.resize(outputs * a.taps * a.values);
  a.similarity = a.adapting = a.distance;
  a.mask.resize(outputs * a.taps);
  a.divisor.resize(outputs * a.values);
  std::vector<double> valid(outputs), in_image(outputs);

  for_each_meeting(s, [&](const Meeting& at) {
    for (int64_t g = 0; g < s.guide_channels; ++g) {
      const Number d = difference(s, in, at, g);
      a.distance[a.index(at.pixel, at.tap, s.channel_wise ? g : 0)] += d * d;
    }
    double& m = a.mask[at.pixel * a.taps + at.tap];
    m = at.input < 0 ? 0 : in.valid_mask ? in.valid_mask[at.input] : 1;
    valid[at.pixel] += m;
    in_image[at.pixel] += at.input >= 0;
    for (int64_t v = 0; v < a.values; ++v) {
      const int64_t itv = a.index(at.pixel, at.tap, v);
      const Number distance = a.distance[itv];
      a.similarity[itv] =
          s.kernel_type == KPAC_GAUSSIAN
              ? exp(Number(-0.5) * distance)
              : in.alpha[v] + power(distance + kEpsilon, Number(in.exponent[v] / 2));
      if (s.normalize) a.divisor[at.pixel * a.values + v] += m * a.similarity[itv];
    }
  });
  const bool divided = s.normalize || in.valid_mask;
  for (int64_t pixel = 0; pixel < outputs; ++pixel)
    for (int64_t v = 0; v < a.values; ++v) {
      Number& divisor = a.divisor[pixel * a.values + v];
      if (!divided) divisor = 1.0;
      if (divided && !s.normalize && in_image[pixel] > 0)
        divisor = Number(valid[pixel]) / in_image[pixel];
    }
  for_each_meeting(s, [&](const Meeting& at) {
    double& m = a.mask[at.pixel * a.taps + at.tap];
    if (!divided) m = 1;
    for (int64_t v = 0; v < a.values; ++v) {
      const int64_t itv = a.index(at.pixel, at.tap, v);
      const Number divisor = a.divisor[at.pixel * a.values + v];
      if (!divided) a.adapting[itv] = a.similarity[itv];
      if (divided && divisor.value != 0) a.adapting[itv] = m * a.similarity[itv] / divisor;
    }
  });
  return a;
}

inline Numbers output_mask(const AdaptingKernel& a) {
  Numbers mask(a.divisor.size() / a.values);
  for (size_t pixel = 0; pixel < mask.size(); ++pixel)
    mask[pixel] = a.divisor[pixel * a.values].value != 0 ? 1.0 : 0.0;
  return mask;
}

// Fills guide, center, alpha and exponent of `gradients`; u is dL/dK.
inline void adapting_kernel_gradient(const kpac_sizes& s, const Inputs& in, const AdaptingKernel& a,
                                     const Numbers& u, Gradients* gradients) {
  const int64_t guide_elements = pixels(s, s.guide_size) * s.guide_channels;
  gradients->guide.resize(guide_elements);
  if (in.center) gradients->center.resize(guide_elements);
  if (in.alpha) gradients->alpha.resize(a.values);
  if (in.exponent) gradients->exponent.resize(a.values);
  Numbers& center_gradient = in.center ? gradients->center : gradients->guide;

  Numbers weighted(a.divisor.size());  // sum_t u_it K_it
  if (s.normalize)
    for_each_meeting(s, [&](const Meeting& at) {
      for (int64_t v = 0; v < a.values; ++v) {
        const int64_t itv = a.index(at.pixel, at.tap, v);
        weighted[at.pixel * a.values + v] += u[itv] * a.adapting[itv];
      }
    });
  for_each_meeting(s, [&](const Meeting& at) {
    for (int64_t v = 0; v < a.values; ++v) {
      const int64_t itv = a.index(at.pixel, at.tap, v);
      const int64_t iv = at.pixel * a.values + v;
      if (a.divisor[iv].value == 0) continue;
      const Number through = s.normalize ? u[itv] - weighted[iv] : u[itv];
      const Number dk = a.mask[at.pixel * a.taps + at.tap] * through / a.divisor[iv];
      Number ds;
      if (s.kernel_type == KPAC_GAUSSIAN) {
        ds = Number(-0.5) * a.similarity[itv] * dk;
      } else {
        const Number base = a.distance[itv] + kEpsilon;
        const Number half = in.exponent[v] / 2;
        ds = half * power(base, half - 1.0) * dk;
        gradients->alpha[v] += dk;
        gradients->exponent[v] += dk * log(base) * Number(0.5) * power(base, half);
      }
      for (int64_t g = 0; g < s.guide_channels; ++g) {
        if (s.channel_wise && g != v) continue;
        const Number term = Number(2) * difference(s, in, at, g) * ds;
        if (at.guide >= 0) gradients->guide[at.guide * s.guide_channels + g] += term;
        if (at.center >= 0) center_gradient[at.center * s.guide_channels + g] += Number(-1) * term;
      }
    }
  });
}

// K of a windowed sum as given or from the guide. The copy of the guide's intermediate results is
// for the gradient.
struct SumKernel {
  bool guided;
  AdaptingKernel of_guide;
  Numbers adapting;
  int64_t taps, values;

  SumKernel(const kpac_sizes& s, const Inputs& in)
      : guided(!in.adapting_kernel),
        taps(reference::taps(s)),
        values(s.channel_wise ? s.input_channels : 1) {
    if (guided) {
      of_guide = adapting_kernel(s, in);
      adapting = of_guide.adapting;
    } else {
      adapting.assign(in.adapting_kernel,
                      in.adapting_kernel + pixels(s, s.output_size) * taps * values);
    }
  }

  int64_t index(const Meeting& at, int64_t channel) const {
    return (at.pixel * taps + at.tap) * values + (values > 1 ? channel : 0);
  }
};

// W_t[c, o], whatever the filter.
inline double filter_value(const kpac_sizes& s, const Inputs& in, int64_t tap, int64_t c,
                           int64_t o) {
  if (s.filter_type == KPAC_FULL)
    return in.filter[(tap * s.input_channels + c) * s.output_channels + o];
  return c != o ? 0 : s.filter_type == KPAC_SHARED ? in.filter[tap] : 1;
}

// visit(c, o) for the pairs of channels that the filter connects.
template <typename Visit>
void for_each_connection(const kpac_sizes& s, Visit visit) {
  for (int64_t c = 0; c < s.input_channels; ++c) {
    const bool full = s.filter_type == KPAC_FULL;
    for (int64_t o = full ? 0 : c; o < (full ? s.output_channels : c + 1); ++o) visit(c, o);
  }
}

// In place, for one output. What is small beside the largest may be lost.
inline void softmax(Number* y, int64_t channels) {
  double largest = y->value;
  for (int64_t o = 1; o < channels; ++o) largest = std::max(largest, y[o].value);
  Number total;
  for (int64_t o = 0; o < channels; ++o) total += y[o] = exp(y[o] - largest);
  for (int64_t o = 0; o < channels; ++o) y[o] = y[o] / total + Number(0, 1e-30);
}

inline Numbers windowed_sum(const kpac_sizes& s, const Inputs& in) {
  const SumKernel K(s, in);
  Numbers y(pixels(s, s.output_size) * s.output_channels);
  if (in.bias)
    for (size_t e = 0; e < y.size(); ++e) y[e] += in.bias[s.bias_image ? e : e % s.output_channels];
  for_each_meeting(s, [&](const Meeting& at) {
    if (at.input < 0) return;
    for_each_connection(s, [&](int64_t c, int64_t o) {
      y[at.pixel * s.output_channels + o] += K.adapting[K.index(at, c)] *
                                             in.x[at.input * s.input_channels + c] *
                                             filter_value(s, in, at.tap, c, o);
    });
  });
  if (s.softmax)
    for (size_t e = 0; e < y.size(); e += s.output_channels) softmax(&y[e], s.output_channels);
  return y;
}

inline Gradients windowed_sum_gradient(const kpac_sizes& s, const Inputs& in,
                                       const double* upstream) {
  const SumKernel K(s, in);
  Gradients gradients;
  gradients.x.resize(pixels(s, s.input_size) * s.input_channels);
  if (s.filter_type == KPAC_FULL)
    gradients.filter.resize(taps(s) * s.input_channels * s.output_channels);
  if (s.filter_type == KPAC_SHARED) gradients.filter.resize(taps(s));
  if (in.bias) gradients.bias.resize(s.output_channels);
  Numbers dK(K.adapting.size());
  for_each_meeting(s, [&](const Meeting& at) {
    if (in.bias && at.tap == 0)
      for (int64_t o = 0; o < s.output_channels; ++o)
        gradients.bias[o] += upstream[at.pixel * s.output_channels + o];
    if (at.input < 0) return;
    for_each_connection(s, [&](int64_t c, int64_t o) {
      const Number k = K.adapting[K.index(at, c)];
      const Number x = in.x[at.input * s.input_channels + c];
      const Number w = filter_value(s, in, at.tap, c, o);
      const Number u = upstream[at.pixel * s.output_channels + o];
      gradients.x[at.input * s.input_channels + c] += k * w * u;
      dK[K.index(at, c)] += x * w * u;
      if (s.filter_type == KPAC_FULL)
        gradients.filter[(at.tap * s.input_channels + c) * s.output_channels + o] += k * x * u;
      if (s.filter_type == KPAC_SHARED) gradients.filter[at.tap] += k * x * u;
    });
  });
  if (K.guided)
    adapting_kernel_gradient(s, in, K.of_guide, dK, &gradients);
  else
    gradients.adapting_kernel = dK;
  return gradients;
}

}  // namespace reference
