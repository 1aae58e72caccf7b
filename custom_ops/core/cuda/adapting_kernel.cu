#include "functions.cuh"

namespace kpac {
namespace cuda {

template <typename T>
void adapting_kernel(Stream stream, const kpac_sizes& s, const kpac_inputs& in, T* kernel,
                     T* output_mask) {
  Divisor<T> divisor = {features_of<T>(s, in), static_cast<const T*>(in.valid_mask)};
  int64_t rows = output_pixels(s) * divisor.features.values();
  if (divisor.divides()) {
    for_each(stream, rows, DividedKernel<T>{divisor, kernel});
  } else {
    for_each(stream, rows * taps(s), PlainKernel<T, T>{divisor.features, kernel});
  }
  if (in.valid_mask != nullptr && output_mask != nullptr) {
    for_each(stream, output_pixels(s), OutputMask<T>{divisor, output_mask});
  }
}

template <typename T>
void store_kernel(Stream stream, const kpac_sizes& s, const kpac_inputs& in, Wide<T>* kernel) {
  for_each(stream, output_pixels(s) * taps(s),
           PlainKernel<T, Wide<T>>{features_of<T>(s, in), kernel});
}

template <typename T>
void adapting_kernel_gradient(Stream stream, const kpac_sizes& s, const kpac_inputs& in,
                              Values<T> upstream, bool in_place, const Wide<T>* kernel,
                              const kpac_gradients& gradients, Workspace& workspace) {
  using W = Wide<T>;
  Divisor<T> divisor = {features_of<T>(s, in), static_cast<const T*>(in.valid_mask)};
  int64_t values = divisor.features.values(), rows = output_pixels(s) * values;
  W* distance = in_place ? const_cast<W*>(upstream.stored) : workspace.take<W>(rows * taps(s));
  W* alpha = gradients.alpha == nullptr ? nullptr : workspace.take<W>(rows);
  W* exponent = gradients.exponent == nullptr ? nullptr : workspace.take<W>(rows);
  if (!workspace.measuring) {
    if (in_place && s.kind == KPAC_GAUSSIAN) {
      for_each(stream, rows * taps(s), GaussianDistanceGradient<T>{kernel, distance});
    } else {
      for_each(stream, rows, DistanceGradient<T>{divisor, upstream, distance, alpha, exponent});
    }
    if (gradients.guide != nullptr || gradients.center != nullptr) {
      for_each(stream, guide_pixels(s) * s.guide_channels,
               GuideGradient<T>{divisor.features, distance, static_cast<T*>(gradients.guide),
                                static_cast<T*>(gradients.center), in.center != nullptr});
    }
  }
  if (gradients.alpha != nullptr) {
    sum_rows(stream, workspace, static_cast<const W*>(alpha), output_pixels(s), values,
             static_cast<W*>(gradients.alpha));
  }
  if (gradients.exponent != nullptr) {
    sum_rows(stream, workspace, static_cast<const W*>(exponent), output_pixels(s), values,
             static_cast<W*>(gradients.exponent));
  }
}

#define KPAC_INSTANCE(T)                                                                   \
  template void adapting_kernel<T>(Stream, const kpac_sizes&, const kpac_inputs&, T*, T*); \
  template void store_kernel<T>(Stream, const kpac_sizes&, const kpac_inputs&, Wide<T>*);  \
  template void adapting_kernel_gradient<T>(Stream, const kpac_sizes&, const kpac_inputs&, \
                                            Values<T>, bool, const Wide<T>*,               \
                                            const kpac_gradients&, Workspace&);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace cuda
}  // namespace kpac
