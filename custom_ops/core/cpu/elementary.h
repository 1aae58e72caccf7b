// Exponentials, logarithms and powers of vectors.
#pragma once

#include <cmath>

#include "vector.h"

namespace kpac::KPAC_ISA {

typedef int32_t Integers __attribute__((vector_size(kVectorBytes)));

constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer

inline Integers bits_of(Vector<float> x) {
  Integers bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

inline Vector<float> of_bits(Integers bits) {
  Vector<float> x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

// exp(r) for |r| <= ln(2) / 2.
inline Vector<float> exp_small(Vector<float> r) {
  Vector<float> y = r * (1.0f / 5040) + 1.0f / 720;
  y = y * r + 1.0f / 120;
  y = y * r + 1.0f / 24;
  y = y * r + 1.0f / 6;
  y = y * r + 0.5f;
  y = y * r + 1.0f;
  return y * r + 1.0f;
}

// 2^n, given n + kRound.
inline Vector<float> power_of_2(Vector<float> shifted) {
  return of_bits((bits_of(shifted) + (127 - 0x4B400000)) << 23);
}

// exp(x) for x <= 0, to about 2 units in the last place; 0 where it is no normal number.
inline Vector<float> exp_nonpositive(Vector<float> x) {
  constexpr float kLog2e = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  const Vector<float> safe = x < -87.0f ? Vector<float>{} - 87.0f : x;
  const Vector<float> shifted = safe * kLog2e + kRound;
  const Vector<float> n = shifted - kRound;
  const Vector<float> y = exp_small(safe - n * kLn2High - n * kLn2Low) * power_of_2(shifted);
  return x < -87.0f ? Vector<float>{} : y;
}

inline Vector<double> exp_nonpositive(Vector<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = std::exp(x[i]);
  return x;
}

// log2(x) of positive normal numbers, as a whole number and a rest within [-1/2, 1/2].
inline Vector<float> log2_rest(Vector<float> x, Vector<float>* whole) {
  constexpr int32_t kSqrtHalf = 0x3F3504F3;
  const Integers above = bits_of(x) - kSqrtHalf;
  *whole = __builtin_convertvector(above >> 23, Vector<float>);
  const Vector<float> m = of_bits((above & 0x7FFFFF) + kSqrtHalf);
  // log(m) = 2 artanh(f)
  const Vector<float> f = (m - 1.0f) / (m + 1.0f), square = f * f;
  Vector<float> y = square * (1.0f / 9) + 1.0f / 7;
  y = y * square + 0.2f;
  y = y * square + 1.0f / 3;
  y = y * square + 1.0f;
  return y * f * 2.88539008f;  // 2 / ln(2)
}

// base^exponent, and log(base), as std::pow and std::log to about 6 units in the last place. No lane
// depends on the others.
inline Vector<float> power(Vector<float> base, float exponent, Vector<float>* log) {
  constexpr float kLn2 = 0.693147181f;
  Vector<float> whole;
  const Vector<float> rest = log2_rest(base, &whole), result = exponent * (whole + rest);
  *log = (whole + rest) * kLn2;
  // The exponent in two parts: the larger one times a whole number is exact, and rounded away before
  // the rest is added.
  int32_t bits;
  std::memcpy(&bits, &exponent, sizeof(bits));
  bits &= ~0xFFF;
  float larger;
  std::memcpy(&larger, &bits, sizeof(bits));
  const Vector<float> exact = larger * whole, first = exact + kRound - kRound;
  const Vector<float> small = (exact - first) + ((exponent - larger) * whole + exponent * rest);
  const Vector<float> second = small + kRound;
  Vector<float> y = exp_small((small - (second - kRound)) * kLn2) * power_of_2(first + second);
  // Infinite, NaN, too large or too small.
  const Vector<float> zero = {}, least = zero + 1e-37f, most = zero + 1e38f, limit = zero + 125.0f;
  const Vector<float> unusual =
      base > least && base < most && result > -limit && result < limit ? zero : zero + 1.0f;
  if (sum<float>(unusual) > 0) {
    for (int i = 0; i < kLanes<float>; ++i) {
      if (unusual[i] == 0) continue;
      y[i] = std::pow(base[i], exponent);
      (*log)[i] = std::log(base[i]);
    }
  }
  return y;
}

inline Vector<double> power(Vector<double> base, double exponent, Vector<double>* log) {
  Vector<double> y;
  for (int i = 0; i < kLanes<double>; ++i) {
    y[i] = std::pow(base[i], exponent);
    (*log)[i] = std::log(base[i]);
  }
  return y;
}

}  // namespace kpac::KPAC_ISA
