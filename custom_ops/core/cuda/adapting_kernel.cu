// The adapting kernel, and its gradients by guide, center, alpha and exponent.
#include "functions.cuh"

namespace kpac::cuda {

template <typename T>
void adapting_kernel(Launcher& launcher, const kpac_call& call) {
  const kpac_sizes& s = call.sizes;
  Divisor<T> divisor = {features_of<T>(call), static_cast<const T*>(call.inputs.valid_mask)};
  T* adapting = static_cast<T*>(call.outputs.adapting_kernel);
  T* output_mask = static_cast<T*>(call.outputs.output_mask);
  int64_t rows = output_pixels(s) * divisor.features.values();
  if (divisor.divides()) {
    launcher.for_each(rows, DividedAdapting<T>{divisor, adapting});
  } else {
    launcher.for_each(rows * taps(s), PlainAdapting<T, T>{divisor.features, adapting});
  }
  if (divisor.valid_mask != nullptr && output_mask != nullptr) {
    launcher.for_each(output_pixels(s), OutputMask<T>{divisor, output_mask});
  }
}

template <typename T>
void store_similarity(Launcher& launcher, const kpac_call& call, Wide<T>* similarity) {
  launcher.for_each(output_pixels(call.sizes) * taps(call.sizes),
                    PlainAdapting<T, Wide<T>>{features_of<T>(call), similarity});
}

template <typename T>
void adapting_kernel_gradient(Launcher& launcher, const kpac_call& call, Values<T> upstream,
                              Wide<T>* distance, const Wide<T>* similarity) {
  using W = Wide<T>;
  const kpac_sizes& s = call.sizes;
  const kpac_outputs& out = call.outputs;
  Divisor<T> divisor = {features_of<T>(call), static_cast<const T*>(call.inputs.valid_mask)};
  int64_t values = divisor.features.values(), rows = output_pixels(s) * values;
  W* alpha = out.alpha == nullptr ? nullptr : launcher.take<W>(rows);
  W* exponent = out.exponent == nullptr ? nullptr : launcher.take<W>(rows);
  if (similarity != nullptr && s.kernel_type == KPAC_GAUSSIAN) {
    launcher.for_each(rows * taps(s), GaussianDistanceGradient<T>{similarity, distance});
  } else {
    launcher.for_each(rows, DistanceGradient<T>{divisor, upstream, distance, alpha, exponent});
  }
  if (out.guide != nullptr || out.center != nullptr) {
    launcher.for_each(guide_pixels(s) * s.guide_channels,
                      GuideGradient<T>{divisor.features, distance, static_cast<T*>(out.guide),
                                       static_cast<T*>(out.center), call.inputs.center != nullptr});
  }
  if (out.alpha != nullptr) {
    sum_rows<W>(launcher, alpha, output_pixels(s), values, static_cast<W*>(out.alpha));
  }
  if (out.exponent != nullptr) {
    sum_rows<W>(launcher, exponent, output_pixels(s), values, static_cast<W*>(out.exponent));
  }
}

#define KPAC_INSTANCE(T)                                                                      \
  template void adapting_kernel<T>(Launcher&, const kpac_call&);                              \
  template void store_similarity<T>(Launcher&, const kpac_call&, Wide<T>*);                   \
  template void adapting_kernel_gradient<T>(Launcher&, const kpac_call&, Values<T>, Wide<T>*, \
                                            const Wide<T>*);
KPAC_FOR_TYPES(KPAC_INSTANCE)

}  // namespace kpac::cuda
