// The softmax of the channels of one output.
#pragma once

#include <limits>

#include "sum_tile.h"

namespace kpac::KPAC_ISA {

// y[o] = exp(sums[o]) / sum of exp(sums). Changes the sums, which have room for whole vectors.
template <typename T>
inline void softmax(Wide<T>* sums, int64_t channels, T* y) {
  using A = Wide<T>;
  constexpr int lanes = kLanes<A>;
  const int64_t last = (channels - 1) / lanes * lanes;
  // What follows the last channel does not count. To store it there would take longer: a vector that
  // was just stored in parts is loaded late.
  Vector<A> number;
  for (int i = 0; i < lanes; ++i) number[i] = static_cast<A>(i);
  const Vector<A> nothing = Vector<A>{} - std::numeric_limits<A>::infinity();
  Vector<A> end = number < static_cast<A>(channels - last) ? load(sums + last) : nothing;
  Vector<A> largest = end;
  for (int64_t o = 0; o < last; o += lanes) {
    const Vector<A> value = load(sums + o);
    largest = value > largest ? value : largest;
  }
  const A most = max<A>(largest);
  end = exp_nonpositive(end - most);
  Vector<A> totals = end;
  for (int64_t o = 0; o < last; o += lanes) {
    const Vector<A> value = exp_nonpositive(load(sums + o) - most);
    store(sums + o, value);
    totals += value;
  }
  store(sums + last, end);

  const A factor = 1 / sum<A>(totals);
  if constexpr (std::is_same<T, A>::value) {
    scale(sums, factor, channels, y);
  } else {
    for (int64_t o = 0; o < channels; ++o) y[o] = narrow<T>(sums[o] * factor);
  }
}

}  // namespace kpac::KPAC_ISA
