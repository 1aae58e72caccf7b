// Elements of the four types, in memory of exactly their size.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "keras_pac.h"

namespace fuzz {

inline int64_t bytes_of(int32_t type) {
  return type == KPAC_FLOAT64 ? 8 : type == KPAC_FLOAT32 ? 4 : 2;
}

inline int32_t wide(int32_t type) { return type == KPAC_FLOAT64 ? KPAC_FLOAT64 : KPAC_FLOAT32; }

// Unit of rounding to nearest.
inline double unit(int32_t type) {
  switch (type) {
    case KPAC_FLOAT16: return std::ldexp(1, -11);
    case KPAC_BFLOAT16: return std::ldexp(1, -8);
    case KPAC_FLOAT32: return std::ldexp(1, -24);
    default: return std::ldexp(1, -53);
  }
}

inline uint16_t to_float16(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  value = std::abs(value);
  if (std::isnan(value)) return 0x7e00;
  if (value == 0) return sign;
  const int exponent = std::max(std::isinf(value) ? 16 : std::ilogb(value), -14);
  // The integer of steps of the last place; one that carries into the next exponent is right too.
  const double steps = std::nearbyint(std::ldexp(value, 10 - exponent));
  if (exponent > 15 || (exponent == 15 && steps == 2048)) return sign | 0x7c00;
  return sign | static_cast<uint16_t>((exponent + 14) * 1024 + static_cast<int>(steps));
}

inline double from_float16(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double value =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31)
    value = fraction ? std::numeric_limits<double>::quiet_NaN()
                     : std::numeric_limits<double>::infinity();
  return bits & 0x8000 ? -value : value;
}

inline uint16_t to_bfloat16(double value) {
  const float single = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &single, 4);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline double from_bfloat16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float single;
  std::memcpy(&single, &bits, 4);
  return single;
}

// malloc'ed with its exact size, so that AddressSanitizer sees the first byte beyond; starts as
// NaN in every type.
class Buffer {
 public:
  Buffer(int32_t type, int64_t count)
      : type_(type), count_(count), data_(std::malloc(bytes()), std::free) {
    std::memset(data_.get(), 0xff, bytes());
  }

  Buffer(int32_t type, const std::vector<double>& values) : Buffer(type, values.size()) {
    for (int64_t i = 0; i < count_; ++i) set(i, values[i]);
  }

  void* data() const { return data_.get(); }
  int64_t count() const { return count_; }
  int64_t bytes() const { return count_ * bytes_of(type_); }
  int32_t type() const { return type_; }

  double get(int64_t i) const {
    switch (type_) {
      case KPAC_FLOAT16: return from_float16(at<uint16_t>(i));
      case KPAC_BFLOAT16: return from_bfloat16(at<uint16_t>(i));
      case KPAC_FLOAT32: return at<float>(i);
      default: return at<double>(i);
    }
  }

  void set(int64_t i, double value) {
    switch (type_) {
      case KPAC_FLOAT16: at<uint16_t>(i) = to_float16(value); break;
      case KPAC_BFLOAT16: at<uint16_t>(i) = to_bfloat16(value); break;
      case KPAC_FLOAT32: at<float>(i) = static_cast<float>(value); break;
      default: at<double>(i) = value;
    }
  }

 private:
  template <typename T>
  T& at(int64_t i) const {
    return static_cast<T*>(data_.get())[i];
  }

  int32_t type_;
  int64_t count_;
  std::unique_ptr<void, void (*)(void*)> data_;
};

}  // namespace fuzz
