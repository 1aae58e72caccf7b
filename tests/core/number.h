// Numbers of the reference: a float64 value and what rounding may have touched on the way to it.
#pragma once

#include <algorithm>
#include <cmath>

namespace reference {

// `size` bounds the magnitude of all rounded intermediate results, carried to this value. Code that
// computes the same with rounding unit u may differ by a moderate multiple of u * size. Inputs are
// exact: size 0.
struct Number {
  double value = 0;
  double size = 0;

  Number() = default;
  Number(double value) : value(value) {}
  Number(double value, double size) : value(value), size(size) {}

  Number& operator+=(const Number& term) {
    value += term.value;
    size += std::max(term.size, std::abs(term.value));
    return *this;
  }
};

inline Number rounded(double value, double size) { return {value, size + std::abs(value)}; }

inline Number operator+(const Number& a, const Number& b) {
  return rounded(a.value + b.value, a.size + b.size);
}

inline Number operator-(const Number& a, const Number& b) {
  return rounded(a.value - b.value, a.size + b.size);
}

inline Number operator*(const Number& a, const Number& b) {
  return rounded(a.value * b.value, a.size * std::abs(b.value) + std::abs(a.value) * b.size);
}

inline Number operator/(const Number& a, const Number& b) {
  const double ratio = a.value / b.value;
  return rounded(ratio, (a.size + std::abs(ratio) * b.size) / std::abs(b.value));
}

inline Number exp(const Number& a) {
  const double value = std::exp(a.value);
  return rounded(value, value * a.size);
}

inline Number log(const Number& a) {
  return rounded(std::log(a.value), a.size / std::abs(a.value));
}

inline Number power(const Number& base, const Number& exponent) {
  return exp(exponent * log(base));
}

inline Number positive_part(const Number& a) { return a.value > 0 ? a : Number(); }

}  // namespace reference
