// Draws valid problems and their data.
#pragma once

#include <initializer_list>

#include "problem.h"

namespace fuzz {

// splitmix64: the same numbers everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  int64_t between(int64_t first, int64_t last) {
    return first + static_cast<int64_t>(next() % static_cast<uint64_t>(last - first + 1));
  }
  double uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53;
  }
  bool chance(double probability) { return uniform(0, 1) < probability; }
  int64_t pick(std::initializer_list<int64_t> choices) {
    return choices.begin()[between(0, static_cast<int64_t>(choices.size()) - 1)];
  }

 private:
  uint64_t state_;
};

// What a drawn problem may cost; wide ones reach partial tiles of a blocked implementation.
struct Limits {
  double cost = 3e4;
  bool wide = false;
  bool tiny = false;  // for finite differences
};

inline int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0); }

inline int64_t random_channels(Random& random, const Limits& limits) {
  if (limits.tiny) return random.between(1, 3);
  if (limits.wide && random.chance(0.5)) return random.between(1, 70);
  return random.chance(0.05) ? random.between(9, 40) : random.between(1, 8);
}

inline void draw_window(Random& random, const Limits& limits, kpac_sizes* s) {
  const bool square = random.chance(0.5);
  for (int axis = 0; axis < 2; ++axis) {
    s->kernel_size[axis] = random.pick({1, 3, 3, 3, 3, 5, 5, 7});
    if (limits.tiny) s->kernel_size[axis] = random.pick({1, 3, 3, 5});
    s->dilation[axis] = random.pick({1, 1, 1, 1, 1, 2, 2, 3, 4, 16});
    s->strides[axis] = random.pick({1, 1, 1, 1, 2, 2, 3, 4});
    s->input_dilation[axis] = 1;
    if (s->strides[axis] == 1) s->input_dilation[axis] = random.pick({1, 1, 1, 2, 2, 3, 4});
    if (axis == 1 && square) {
      s->kernel_size[1] = s->kernel_size[0];
      s->dilation[1] = s->dilation[0];
      s->strides[1] = s->strides[0];
      s->input_dilation[1] = s->input_dilation[0];
    }
  }
}

inline void draw_sizes(Random& random, const Limits& limits, kpac_sizes* s) {
  s->batch = random.pick({1, 1, 1, 2, 3});
  if (random.chance(0.03)) s->batch = 0;
  const bool as_layers = random.chance(0.7), tall = limits.wide && random.chance(0.1);
  for (int axis = 0; axis < 2; ++axis) {
    int64_t& in = s->input_size[axis];
    in = random.between(1, limits.tiny ? 4 : 12);
    if (random.chance(0.1)) in = random.pick({1, 13, 17, 19, 23});
    if (limits.wide && random.chance(axis ? 0.7 : 0.25)) in = random.between(20, 150);
    if (tall) in = axis ? random.between(1, 3) : random.between(150, 400);
    if (limits.tiny) in = std::min<int64_t>(in, 5);
    const int64_t reach = (s->kernel_size[axis] - 1) * s->dilation[axis];
    s->padding[axis] = random.chance(0.6) ? reach / 2 : random.between(-3, reach + 3);
    s->guide_padding[axis] = s->padding[axis];
    s->guide_size[axis] = in;
    const int64_t stuffed = (in - 1) * s->input_dilation[axis] + 1;
    const int64_t positions = stuffed + 2 * s->padding[axis] + random.between(-1, 1) - reach - 1;
    s->output_size[axis] = std::max<int64_t>(floor_divide(positions, s->strides[axis]) + 1, 0);
    if (s->input_dilation[axis] > 1 || !as_layers) {
      s->guide_size[axis] = s->output_size[axis];
      s->guide_padding[axis] = s->dilation[axis] * (s->kernel_size[axis] / 2);
    }
    if (as_layers) continue;
    const int64_t largest = limits.tiny ? 4 : 9;
    if (random.chance(0.3)) s->output_size[axis] = random.between(1, largest);
    if (random.chance(0.3)) s->guide_size[axis] = random.between(1, largest);
    if (random.chance(0.3)) s->guide_padding[axis] = random.between(-3, reach + 3);
    if (random.chance(0.02)) s->output_size[axis] = 0;
    if (random.chance(0.02)) s->input_size[axis] = 0;
    if (random.chance(0.02)) s->guide_size[axis] = 0;
    const int64_t far = int64_t{1} << random.between(8, 40), sign = random.pick({-1, 1});
    if (random.chance(0.02)) s->padding[axis] = sign * far;
    if (random.chance(0.02)) s->guide_padding[axis] = sign * far;
    if (random.chance(0.02)) s->dilation[axis] = far;
    if (random.chance(0.02)) (s->strides[axis] > 1 ? s->strides : s->input_dilation)[axis] = far;
  }
  // Without outputs nothing may take time or memory in proportion to an axis.
  for (int axis = 0; axis < 2; ++axis) {
    const bool empty = s->batch == 0 || s->output_size[1 - axis] == 0;
    if (empty && random.chance(0.3)) s->output_size[axis] = int64_t{1} << random.between(8, 27);
  }
}

inline void draw_options(Random& random, Problem* p) {
  kpac_sizes& s = p->sizes;
  s.kernel_type = static_cast<int32_t>(random.pick({KPAC_GAUSSIAN, KPAC_INVERSE}));
  s.asymmetric = random.chance(0.3);
  s.filter_type =
      static_cast<int32_t>(random.pick({KPAC_POOLING, KPAC_SHARED, KPAC_FULL, KPAC_FULL}));
  if (p->sum) {
    p->has[X] = true;
    p->has[ADAPTING_KERNEL] = random.chance(0.5);
    p->has[FILTER] = s.filter_type != KPAC_POOLING;
    p->has[BIAS] = random.chance(0.5);
    s.bias_image = p->has[BIAS] && random.chance(0.4);
    s.softmax = random.chance(0.3);
    if (p->has[ADAPTING_KERNEL] && s.filter_type != KPAC_FULL) s.channel_wise = random.chance(0.5);
  } else {
    s.filter_type = KPAC_POOLING;
    s.input_channels = random.between(0, 2);  // not used
    s.channel_wise = random.chance(0.3);
    s.normalize = random.chance(0.35);
    p->has[VALID_MASK] = random.chance(0.35);
  }
  if (s.filter_type != KPAC_FULL) s.output_channels = s.input_channels;
  if (p->is_guided()) {
    p->has[GUIDE] = true;
    p->has[CENTER] = random.chance(0.4);
    p->has[ALPHA] = p->has[EXPONENT] = s.kernel_type == KPAC_INVERSE;
  } else {
    s.guide_channels = random.between(0, 2);  // not used
  }
  const double share = random.pick({0, 5, 10, 10, 10}) / 10.0;
  for (int input = 0; input < INPUTS; ++input)
    p->wanted[input] = p->has_gradient(input) && random.chance(share);
}

inline Problem draw_problem(Random& random, const Limits& limits) {
  for (;;) {
    Problem p;
    p.sum = random.chance(0.65);
    p.sizes.type = static_cast<int32_t>(
        random.pick({KPAC_FLOAT32, KPAC_FLOAT32, KPAC_FLOAT64, KPAC_FLOAT16, KPAC_BFLOAT16}));
    if (limits.tiny) p.sizes.type = KPAC_FLOAT64;
    p.sizes.input_channels = random_channels(random, limits);
    p.sizes.guide_channels = random_channels(random, limits);
    p.sizes.output_channels = random_channels(random, limits);
    draw_window(random, limits, &p.sizes);
    draw_sizes(random, limits, &p.sizes);
    draw_options(random, &p);
    if (cost(p) <= limits.cost) return p;
  }
}

// Values of an input, already rounded to the problem's type.
inline std::vector<double> draw_values(Random& random, const Problem& p, int input) {
  std::vector<double> values(elements(p, input));
  const double channels = p.sizes.channel_wise ? 1 : static_cast<double>(p.sizes.guide_channels);
  const double guide_scale = random.uniform(0.5, 2) / std::sqrt(std::max(channels, 1.0));
  const bool fractions = random.chance(0.2);  // in a valid_mask
  for (double& value : values) {
    value = random.uniform(-1, 1);
    if (input == GUIDE || input == CENTER) value *= guide_scale;
    if (input == VALID_MASK)
      value = random.chance(0.4) ? 0 : fractions ? random.uniform(0.1, 1) : 1;
    // Far enough from a sum of K that is zero, where normalizing is ill-conditioned.
    if (input == ALPHA) value = random.uniform(0.1, 1);
    if (input == EXPONENT) value = random.uniform(-1.5, 1.5);
  }
  const Buffer buffer(type_of(p, input), values);
  for (size_t i = 0; i < values.size(); ++i) values[i] = buffer.get(i);
  return values;
}

}  // namespace fuzz
