// Problems that kpac_check must refuse, and the rules, written from keras_pac.h, that say so.
#pragma once

#include <limits>

#include "random_problem.h"

namespace fuzz {

constexpr int64_t kLargestPadding = int64_t{1} << 40;
constexpr int64_t kLargestWindow = int64_t{1} << 20;  // taps
constexpr long double kLargestTensor = 0x1p60L;       // bytes
constexpr long double kLargestCoordinate = 0x1p62L;

inline const char* broken_pointer_rule(const Problem& p) {
  const kpac_sizes& s = p.sizes;
  const bool needs_guide = p.is_guided();
  if (p.sum && !p.has[X]) return "x is missing";
  if (p.sum && s.filter_type != KPAC_POOLING && !p.has[FILTER]) return "the filter is missing";
  if (p.sum && s.filter_type == KPAC_POOLING && p.has[FILTER]) return "pooling has no filter";
  if (needs_guide && !p.has[GUIDE]) return "there is neither a guide nor K";
  for (int input : {ALPHA, EXPONENT})
    if (needs_guide && p.has[input] != (s.kernel_type == KPAC_INVERSE))
      return "alpha and exponent belong to the inverse kernel";
  if (!p.sum && (s.bias_image || s.softmax)) return "bias_image and softmax belong to sums";
  if (s.bias_image && !p.has[BIAS]) return "there is no image of a bias";
  if (!p.sum) return nullptr;
  if (s.channel_wise && s.filter_type == KPAC_FULL) return "a full filter has no K per channel";
  if (needs_guide && s.channel_wise) return "K per channel is not computed in the same pass";
  if (needs_guide && s.normalize) return "a normalized K is not computed in the same pass";
  if (needs_guide && p.has[VALID_MASK]) return "a masked K is not computed in the same pass";
  return nullptr;
}

inline const char* broken_range_rule(const Problem& p) {
  const kpac_sizes& s = p.sizes;
  if (s.type < KPAC_FLOAT16 || s.type > KPAC_FLOAT64) return "type";
  if (s.kernel_type < KPAC_GAUSSIAN || s.kernel_type > KPAC_INVERSE) return "kernel_type";
  if (s.filter_type < KPAC_POOLING || s.filter_type > KPAC_FULL) return "filter_type";
  for (int32_t flag : {s.asymmetric, s.channel_wise, s.normalize, s.bias_image, s.softmax})
    if (flag != 0 && flag != 1) return "a flag that is neither 0 nor 1";
  if (s.batch < 0) return "batch";
  if (p.sum && (s.input_channels < 1 || s.output_channels < 1)) return "channels";
  if (p.is_guided() && s.guide_channels < 1) return "guide_channels";
  if (p.sum && s.filter_type != KPAC_FULL && s.input_channels != s.output_channels)
    return "output_channels differ from input_channels";
  for (int axis = 0; axis < 2; ++axis) {
    if (s.input_size[axis] < 0 || s.output_size[axis] < 0) return "a negative size";
    if (p.is_guided() && s.guide_size[axis] < 0) return "a negative guide_size";
    if (s.kernel_size[axis] < 1 || s.kernel_size[axis] % 2 == 0) return "kernel_size";
    if (s.kernel_size[axis] > kLargestWindow) return "too large a window";
    if (s.strides[axis] < 1 || s.dilation[axis] < 1 || s.input_dilation[axis] < 1)
      return "strides or dilations below 1";
    if (s.strides[axis] > 1 && s.input_dilation[axis] > 1) return "strides with input_dilation";
    for (int64_t padding : {s.padding[axis], p.is_guided() ? s.guide_padding[axis] : 0})
      if (padding < -kLargestPadding || padding > kLargestPadding) return "padding";
  }
  if (s.kernel_size[0] * s.kernel_size[1] > kLargestWindow) return "too large a window";
  return nullptr;
}

// Only for problems without an empty tensor, in sizes that no integer needs to hold.
inline const char* broken_size_rule(const Problem& p) {
  const kpac_sizes& s = p.sizes;
  const auto product = [](std::initializer_list<int64_t> sizes) {
    long double value = 1;
    for (int64_t size : sizes) value *= size;
    return value;
  };
  const long double images = s.batch, bytes = s.type < KPAC_FLOAT16 ? 0 : bytes_of(s.type);
  const long double input = images * product({s.input_size[0], s.input_size[1]});
  const long double guide = images * product({s.guide_size[0], s.guide_size[1]});
  const long double output = images * product({s.output_size[0], s.output_size[1]});
  const long double taps = product({s.kernel_size[0], s.kernel_size[1]});
  const bool from_guide = p.is_guided();
  if (output < 1 || (input < 1 && (p.sum || p.has[VALID_MASK])) || (guide < 1 && from_guide))
    return nullptr;
  long double largest = 0;
  const auto tensor = [&](bool exists, long double elements) {
    if (exists) largest = std::max(largest, elements * bytes);
  };
  tensor(p.sum, input * s.input_channels);
  tensor(p.sum, output * s.output_channels);
  tensor(!p.sum || p.has[ADAPTING_KERNEL], output * taps * p.adapting_values());
  tensor(from_guide, guide * s.guide_channels);
  tensor(p.has[VALID_MASK], input);
  tensor(p.sum && s.filter_type == KPAC_FULL,
         taps * product({s.input_channels, s.output_channels}));
  if (largest > kLargestTensor) return "a tensor of more than 2^60 bytes";
  for (int axis = 0; axis < 2; ++axis)
    if (product({s.output_size[axis] - 1, s.strides[axis]}) +
            product({s.kernel_size[axis] - 1, s.dilation[axis]}) >
        kLargestCoordinate)
      return "a coordinate beyond 2^62";
  return nullptr;
}

// Which rule a problem breaks, or NULL.
inline const char* broken_rule(const Problem& p) {
  const char* rule = broken_range_rule(p);
  if (!rule) rule = broken_pointer_rule(p);
  return rule ? rule : broken_size_rule(p);
}

inline int64_t extreme(Random& random) {
  const int64_t far = int64_t{1} << random.between(31, 62);
  switch (random.between(0, 5)) {
    case 0: return std::numeric_limits<int64_t>::min();
    case 1: return std::numeric_limits<int64_t>::max();
    case 2: return far;
    case 3: return far + random.pick({-1, 1});
    case 4: return -far;
    default: return random.between(-2, 2);
  }
}

// Changes one thing; mostly to something that breaks a rule.
inline void spoil(Random& random, Problem* p) {
  kpac_sizes& s = p->sizes;
  int64_t* const numbers[] = {
      &s.batch,          s.input_size,       s.input_size + 1,  s.guide_size,
      s.guide_size + 1,  s.output_size,      s.output_size + 1, &s.input_channels,
      &s.guide_channels, &s.output_channels, s.kernel_size,     s.kernel_size + 1,
      s.strides,         s.strides + 1,      s.input_dilation,  s.input_dilation + 1,
      s.dilation,        s.dilation + 1,     s.padding,         s.padding + 1,
      s.guide_padding,   s.guide_padding + 1};
  int32_t* const options[] = {&s.type,         &s.kernel_type, &s.filter_type, &s.asymmetric,
                              &s.channel_wise, &s.normalize,   &s.bias_image,  &s.softmax};
  const int64_t what = random.between(0, 9);
  if (what < 6) {
    *numbers[random.between(0, 21)] = extreme(random);
  } else if (what < 8) {
    const int64_t far = random.pick({std::numeric_limits<int32_t>::min(), -1, 2, 3, 4, 1 << 30,
                                     std::numeric_limits<int32_t>::max()});
    *options[random.between(0, 7)] =
        static_cast<int32_t>(random.chance(0.5) ? far : random.between(0, 1));
  } else {
    bool& has = p->has[random.between(0, INPUTS - 1)];
    has = !has;
  }
}

inline Problem draw_invalid_problem(Random& random, const Limits& limits, const char** rule) {
  for (;;) {
    Problem p = draw_problem(random, limits);
    if (random.chance(0.02)) {
      // Every size moderate, every product too large.
      for (int axis = 0; axis < 2; ++axis)
        p.sizes.input_size[axis] = p.sizes.output_size[axis] = p.sizes.guide_size[axis] =
            int64_t{1} << random.between(29, 33);
    }
    for (int64_t changes = random.between(1, 3); changes > 0; --changes) spoil(random, &p);
    *rule = broken_rule(p);
    if (*rule) return p;
  }
}

}  // namespace fuzz
