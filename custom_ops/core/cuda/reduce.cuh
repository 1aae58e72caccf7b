// Sums over the rows of a matrix in an order that depends on its size alone: stages of 64 rows.
#pragma once

#include "launch.cuh"

namespace kpac::cuda {

constexpr int64_t kStage = 64;

// out[r, c] = sum of in[q, c] over q = 64 r ... 64 r + 63
template <typename In, typename Out>
struct SumStage {
  const In* in;  // (rows, columns)
  Out* out;      // (ceil(rows / 64) or 1, columns)
  int64_t rows, columns;

  KPAC_HD void operator()(int64_t index) const {
    int64_t r = divide(index, columns);
    int64_t end = (r + 1) * kStage < rows ? (r + 1) * kStage : rows;
    Wide<Out> sum = 0;
    const In* value = in + r * kStage * columns + (index - r * columns);
#pragma unroll 8
    for (int64_t q = r * kStage; q < end; ++q, value += columns) sum += widen(*value);
    out[index] = narrow<Out>(sum);
  }
};

// out (columns) = sum of in (rows, columns); zero if there are no rows.
template <typename In, typename Out>
void sum_rows(Launcher& launcher, const In* in, int64_t rows, int64_t columns, Out* out) {
  if (rows <= kStage) {
    return launcher.for_each(columns, SumStage<In, Out>{in, out, rows, columns});
  }
  using W = Wide<Out>;
  int64_t left = ceil_divide(rows, kStage);
  W* partial = launcher.take<W>(left * columns);
  launcher.for_each(left * columns, SumStage<In, W>{in, partial, rows, columns});
  sum_rows<W>(launcher, partial, left, columns, out);
}

}  // namespace kpac::cuda
