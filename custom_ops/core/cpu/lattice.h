// Which outputs meet pixels with the same taps, and where: arithmetic on one axis.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../keras_pac.h"

namespace kpac::KPAC_ISA {

inline int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_divide(a, b) * b; }

// One tap as the outputs of a lattice see it: the m-th reads input[input + input_step * m] and
// guide[guide + guide_step * m].
struct Tap {
  int64_t index;
  int64_t input;
  int64_t guide;
};

// The outputs first + step * m, 0 <= m < count, which see the same taps. The centre of the m-th is
// guide[center + guide_step * m].
struct Lattice {
  int64_t first, step, count;
  int64_t input_step, guide_step, center;
  std::vector<Tap> taps;
};

// An output axis as classes of lattices. Lattices of different classes read different inputs and
// guide pixels; those of one class (the phases of a transposed window) may read the same ones.
using Classes = std::vector<std::vector<Lattice>>;

// `split` makes every residue modulo the dilation a class of its own (stride 1 only): in it the
// dilation is gone.
inline Classes make_axis(const kpac_sizes& s, int axis, bool input_dilated, bool split) {
  const int64_t outputs = s.output_size[axis], kernel_size = s.kernel_size[axis];
  const int64_t stride = s.strides[axis], dilation = s.dilation[axis];
  const int64_t zeros = input_dilated ? s.input_dilation[axis] : 1;
  const int64_t middle = kernel_size / 2 * dilation - s.guide_padding[axis];
  const int64_t step = zeros > 1 ? zeros : split && stride == 1 ? dilation : 1;
  Classes classes;
  std::vector<Lattice> phases;
  for (int64_t first = 0; first < std::min(step, std::max<int64_t>(outputs, 1)); ++first) {
    Lattice lattice;
    lattice.first = first;
    lattice.step = step;
    lattice.count = outputs > first ? ceil_divide(outputs - first, step) : 0;
    lattice.input_step = zeros > 1 ? 1 : stride * step;
    lattice.guide_step = stride * step;
    lattice.center = first * stride + middle;
    for (int64_t tap = 0; tap < kernel_size; ++tap) {
      const int64_t position = first * stride + tap * dilation - s.padding[axis];
      if (zeros > 1 && position % zeros != 0) continue;
      lattice.taps.push_back(
          {tap, position / zeros, first * stride + tap * dilation - s.guide_padding[axis]});
    }
    phases.push_back(std::move(lattice));
    if (zeros == 1) {
      classes.push_back(std::move(phases));
      phases.clear();
    }
  }
  if (zeros > 1) classes.push_back(std::move(phases));
  return classes;
}

// Which of `count` pixels, from `start` on and `step` apart, are inside: [first, last).
inline void clip(int64_t start, int64_t step, int64_t count, int64_t size, int64_t* first,
                 int64_t* last) {
  *first = start >= 0 ? 0 : std::min(count, ceil_divide(-start, step));
  // Most are inside, and divisions take long.
  if (start + (count - 1) * step < size) {
    *last = count;
  } else {
    *last = start >= size ? 0 : std::min(count, ceil_divide(size - start, step));
  }
  *last = std::max(*first, *last);
}

// How many outputs of a lattice a strip needs, so that the strip after the next touches no input or
// guide pixel that it touches.
inline int64_t independent_height(const std::vector<Lattice>& phases) {
  int64_t low_input = INT64_MAX, high_input = INT64_MIN, low_guide = INT64_MAX,
          high_guide = INT64_MIN, height = 1;
  for (const Lattice& lattice : phases) {
    low_guide = std::min(low_guide, lattice.center);
    high_guide = std::max(high_guide, lattice.center);
    for (const Tap& tap : lattice.taps) {
      low_input = std::min(low_input, tap.input);
      high_input = std::max(high_input, tap.input);
      low_guide = std::min(low_guide, tap.guide);
      high_guide = std::max(high_guide, tap.guide);
    }
    height = std::max(height, (high_guide - low_guide) / lattice.guide_step);
    if (low_input <= high_input) {
      height = std::max(height, (high_input - low_input) / lattice.input_step);
    }
  }
  return height;
}

}  // namespace kpac::KPAC_ISA
