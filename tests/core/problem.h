// A problem: a function, its sizes, which inputs it has and which gradients are wanted of it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "buffer.h"
#include "keras_pac.h"
#include "reference.h"

namespace fuzz {

// In the order of kpac_inputs, without upstream.
enum Input { X, ADAPTING_KERNEL, GUIDE, CENTER, VALID_MASK, ALPHA, EXPONENT, FILTER, BIAS, INPUTS };

constexpr const char* kInputNames[INPUTS] = {
    "x", "adapting_kernel", "guide", "center", "valid_mask", "alpha", "exponent", "filter", "bias"};

struct Problem {
  uint64_t seed = 0;
  bool sum = true;  // a windowed sum, else an adapting kernel
  kpac_sizes sizes{};
  bool has[INPUTS] = {};
  bool wanted[INPUTS] = {};  // gradients

  kpac_function forward() const { return sum ? KPAC_WINDOWED_SUM : KPAC_ADAPTING_KERNEL; }
  kpac_function backward() const {
    return sum ? KPAC_WINDOWED_SUM_GRADIENT : KPAC_ADAPTING_KERNEL_GRADIENT;
  }
  bool is_guided() const { return !sum || !has[ADAPTING_KERNEL]; }
  // The core leaves the gradient by an image to its caller.
  bool has_gradient(int input) const {
    return has[input] && input != VALID_MASK && !(input == BIAS && sizes.bias_image);
  }
  int64_t adapting_values() const {
    return !sizes.channel_wise ? 1 : sum ? sizes.input_channels : sizes.guide_channels;
  }
};

inline int64_t outputs(const Problem& p) { return reference::pixels(p.sizes, p.sizes.output_size); }

// Elements of the result of the forward function.
inline int64_t result_elements(const Problem& p) {
  return outputs(p) *
         (p.sum ? p.sizes.output_channels : reference::taps(p.sizes) * p.adapting_values());
}

inline int64_t elements(const Problem& p, int input) {
  const kpac_sizes& s = p.sizes;
  switch (input) {
    case X: return reference::pixels(s, s.input_size) * s.input_channels;
    case ADAPTING_KERNEL: return outputs(p) * reference::taps(s) * p.adapting_values();
    case GUIDE:
    case CENTER: return reference::pixels(s, s.guide_size) * s.guide_channels;
    case VALID_MASK: return reference::pixels(s, s.input_size);
    case ALPHA:
    case EXPONENT: return p.adapting_values();
    case FILTER:
      return reference::taps(s) *
             (s.filter_type == KPAC_FULL ? s.input_channels * s.output_channels : 1);
    default: return s.bias_image ? outputs(p) * s.output_channels : s.output_channels;
  }
}

inline int32_t type_of(const Problem& p, int input) {
  return input == ALPHA || input == EXPONENT ? wide(p.sizes.type) : p.sizes.type;
}

// Multiplications of the forward function, and all elements touched.
inline double cost(const Problem& p) {
  const kpac_sizes& s = p.sizes;
  double work = 0;
  if (p.sum)
    work += double(s.input_channels) * (s.filter_type == KPAC_FULL ? s.output_channels : 1);
  if (p.is_guided()) work += 8 + double(s.guide_channels);
  work *= double(outputs(p)) * reference::taps(s);
  for (int input = 0; input < INPUTS; ++input)
    if (p.has[input]) work += elements(p, input);
  return work + result_elements(p);
}

inline std::string describe(const Problem& p) {
  const kpac_sizes& s = p.sizes;
  std::string text = p.sum ? "windowed_sum" : "adapting_kernel";
  char line[200];
  const auto one = [&](const char* name, int64_t value) {
    std::snprintf(line, sizeof line, " %s=%lld", name, static_cast<long long>(value));
    text += line;
  };
  const auto two = [&](const char* name, const int64_t* value) {
    std::snprintf(line, sizeof line, " %s=(%lld,%lld)", name, static_cast<long long>(value[0]),
                  static_cast<long long>(value[1]));
    text += line;
  };
  one("type", s.type), one("kernel_type", s.kernel_type);
  one("filter_type", s.filter_type), one("batch", s.batch);
  two("input_size", s.input_size), two("guide_size", s.guide_size);
  two("output_size", s.output_size), one("input_channels", s.input_channels);
  one("guide_channels", s.guide_channels), one("output_channels", s.output_channels);
  two("kernel_size", s.kernel_size), two("strides", s.strides);
  two("input_dilation", s.input_dilation), two("dilation", s.dilation);
  two("padding", s.padding), two("guide_padding", s.guide_padding);
  one("asymmetric", s.asymmetric), one("channel_wise", s.channel_wise);
  one("normalize", s.normalize), one("bias_image", s.bias_image), one("softmax", s.softmax);
  text += "; inputs";
  for (int input = 0; input < INPUTS; ++input)
    if (p.has[input]) text += std::string(" ") + kInputNames[input];
  text += "; gradients";
  for (int input = 0; input < INPUTS; ++input)
    if (p.wanted[input]) text += std::string(" ") + kInputNames[input];
  return text;
}

}  // namespace fuzz
