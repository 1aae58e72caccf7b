// Which pixels meet: indices into (N, H, W) and the like, without channels; -1 where there is none.
#pragma once

#include "types.cuh"

namespace kpac::cuda {

struct Pixel {
  int64_t n, y, x;
};

struct Tap {
  int64_t y, x;
};

KPAC_HD Pixel pixel_at(int64_t index, const int64_t size[2]) {
  int64_t row = divide(index, size[1]);
  int64_t image = divide(row, size[0]);
  return {image, row - image * size[0], index - row * size[1]};
}

KPAC_HD int64_t index_of(Pixel p, const int64_t size[2]) {
  return (p.n * size[0] + p.y) * size[1] + p.x;
}

KPAC_HD Tap tap_at(int64_t t, const kpac_sizes& s) {
  int64_t y = divide(t, s.kernel_size[1]);
  return {y, t - y * s.kernel_size[1]};
}

KPAC_HD int64_t taps(const kpac_sizes& s) { return s.kernel_size[0] * s.kernel_size[1]; }

KPAC_HD int64_t output_pixels(const kpac_sizes& s) {
  return s.batch * s.output_size[0] * s.output_size[1];
}
KPAC_HD int64_t input_pixels(const kpac_sizes& s) {
  return s.batch * s.input_size[0] * s.input_size[1];
}
KPAC_HD int64_t guide_pixels(const kpac_sizes& s) {
  return s.batch * s.guide_size[0] * s.guide_size[1];
}

// position / step if it is one of 0 ... size - 1, else -1
KPAC_HD int64_t exact(int64_t position, int64_t step, int64_t size) {
  if (position < 0) return -1;
  int64_t quotient = step == 1 ? position : divide(position, step);
  return quotient * step == position && quotient < size ? quotient : -1;
}

// j(i, t)
KPAC_HD int64_t input_met(const kpac_sizes& s, Pixel i, Tap t) {
  int64_t y = exact(i.y * s.strides[0] + t.y * s.dilation[0] - s.padding[0], s.input_dilation[0],
                    s.input_size[0]);
  int64_t x = exact(i.x * s.strides[1] + t.x * s.dilation[1] - s.padding[1], s.input_dilation[1],
                    s.input_size[1]);
  return y < 0 || x < 0 ? -1 : index_of({i.n, y, x}, s.input_size);
}

// The i with j(i, t) = j: there is one at most.
KPAC_HD int64_t output_meeting_input(const kpac_sizes& s, Pixel j, Tap t) {
  int64_t y = exact(j.y * s.input_dilation[0] + s.padding[0] - t.y * s.dilation[0], s.strides[0],
                    s.output_size[0]);
  int64_t x = exact(j.x * s.input_dilation[1] + s.padding[1] - t.x * s.dilation[1], s.strides[1],
                    s.output_size[1]);
  return y < 0 || x < 0 ? -1 : index_of({j.n, y, x}, s.output_size);
}

// n(i, t)
KPAC_HD int64_t guide_met(const kpac_sizes& s, Pixel i, Tap t) {
  int64_t y =
      exact(i.y * s.strides[0] + t.y * s.dilation[0] - s.guide_padding[0], 1, s.guide_size[0]);
  int64_t x =
      exact(i.x * s.strides[1] + t.x * s.dilation[1] - s.guide_padding[1], 1, s.guide_size[1]);
  return y < 0 || x < 0 ? -1 : index_of({i.n, y, x}, s.guide_size);
}

// c(i)
KPAC_HD int64_t center_met(const kpac_sizes& s, Pixel i) {
  return guide_met(s, i, {s.kernel_size[0] / 2, s.kernel_size[1] / 2});
}

// The i with n(i, t) = n, as a pixel: i.n is -1 if there is none.
KPAC_HD Pixel output_meeting_guide(const kpac_sizes& s, Pixel n, Tap t) {
  int64_t y = exact(n.y + s.guide_padding[0] - t.y * s.dilation[0], s.strides[0], s.output_size[0]);
  int64_t x = exact(n.x + s.guide_padding[1] - t.x * s.dilation[1], s.strides[1], s.output_size[1]);
  return {y < 0 || x < 0 ? -1 : n.n, y, x};
}

// Pixels of a grid ordered by phase: first all whose coordinates are 0 modulo `modulus`, and so on.
// With an input dilation or a stride, all pixels of a phase meet something with the same taps only,
// so that a block of them can leave out the others. Each phase is filled up to the same count.
struct Phases {
  int64_t modulus[2];
  int64_t grid[2];  // pixels of a phase, (rows, columns) of one image
  int64_t size[2];

  KPAC_HD int64_t count() const { return modulus[0] * modulus[1]; }
  KPAC_HD Pixel pixel(int64_t batch, int64_t phase, int64_t q) const {
    Pixel p = pixel_at(q, grid);
    int64_t phase_y = divide(phase, modulus[1]);
    p.y = p.y * modulus[0] + phase_y;
    p.x = p.x * modulus[1] + phase - phase_y * modulus[1];
    if (p.n >= batch || p.y >= size[0] || p.x >= size[1]) p.n = -1;
    return p;
  }
};

inline Phases phases_of(const int64_t size[2], const int64_t modulus[2]) {
  Phases phases;
  for (int axis = 0; axis < 2; ++axis) {
    phases.modulus[axis] = modulus[axis];
    phases.size[axis] = size[axis];
    phases.grid[axis] = ceil_divide(size[axis], modulus[axis]);
  }
  return phases;
}

// The taps t = first, first + period, ... (`count` of them) with (position + t * step) a multiple
// of modulus: those that a phase meets something with, on one axis.
struct ActiveTaps {
  int64_t first, period, count;
};

KPAC_HD ActiveTaps active_taps(int64_t position, int64_t step, int64_t modulus, int64_t size) {
  ActiveTaps active = {0, 1, 0};
  for (int64_t t = 0; t < size; ++t) {
    if ((position + t * step) % modulus != 0) continue;
    if (active.count == 0) active.first = t;
    if (active.count == 1) active.period = t - active.first;
    ++active.count;
  }
  return active;
}

}  // namespace kpac::cuda
