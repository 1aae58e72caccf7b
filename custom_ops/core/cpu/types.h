// The types that tensors are stored in, and the wider ones that everything is computed in.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace kpac::KPAC_ISA {

struct BFloat16 {
  uint16_t bits;
};

template <typename T>
using Wide = std::conditional_t<std::is_same<T, double>::value, double, float>;

template <typename T>
inline Wide<T> widen(T value) {
  return static_cast<Wide<T>>(value);
}

inline float widen(BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof(wide));
  return wide;
}

template <typename T>
inline T narrow(Wide<T> value) {
  return static_cast<T>(value);
}

// To the nearest, ties to even.
template <>
inline BFloat16 narrow<BFloat16>(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (value != value) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

}  // namespace kpac::KPAC_ISA
