// Gradients of the core in float64 against finite differences of its own forward functions, for
// every element of every input.
#pragma once

#include "run.h"

namespace fuzz {

// sum of upstream * result.
inline double weighted_result(const Problem& p, const Data& data, std::string* error) {
  Results results;
  Core(p, data, {Order::kOneRange, 1, 1}).forward(&results);
  *error = results.error;
  double sum = 0;
  for (size_t i = 0; i < data.upstream.size(); ++i)
    sum += data.upstream[i] * results.buffers.at("result").get(static_cast<int64_t>(i));
  return sum;
}

inline std::string compare_differences(Random& random, Problem p) {
  for (int input = 0; input < INPUTS; ++input) p.wanted[input] = p.has_gradient(input);
  p.sizes.softmax = 0;  // its gradient is the caller's
  Data data = draw_data(random, p);
  Results gradients;
  Core(p, data, {Order::kOneRange, 1, 1}).backward(&gradients);
  std::string error = gradients.error;
  for (int input = 0; input < INPUTS && error.empty(); ++input) {
    if (!p.wanted[input]) continue;
    const Buffer& gradient = gradients.buffers.at(std::string("gradient of ") + kInputNames[input]);
    Buffer& buffer = data.buffers[input];
    double largest = 1;
    for (int64_t i = 0; i < gradient.count(); ++i)
      largest = std::max(largest, std::abs(gradient.get(i)));
    for (int64_t i = 0; i < gradient.count() && error.empty(); ++i) {
      const double start = buffer.get(i), step = 1e-4;
      const auto slope = [&](double h) {
        buffer.set(i, start + h);
        const double above = weighted_result(p, data, &error);
        buffer.set(i, start - h);
        return (above - weighted_result(p, data, &error)) / (2 * h);
      };
      // Richardson's extrapolation: without the error of second order.
      const double expected = (4 * slope(step) - slope(2 * step)) / 3;
      buffer.set(i, start);
      if (std::abs(gradient.get(i) - expected) <= 1e-6 * largest) continue;
      char text[200];
      std::snprintf(text, sizeof text, "gradient of %s[%lld] is %.12g, by differences %.12g",
                    kInputNames[input], static_cast<long long>(i), gradient.get(i), expected);
      error = text;
    }
  }
  return error;
}

}  // namespace fuzz
