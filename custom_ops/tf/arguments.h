// From TensorFlow's tensors and attributes to the sizes and pointers of the core.
#pragma once

#include "../core/keras_pac.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace keras_pac {

// The attributes of an op.
struct Options {
  int64_t kernel_size[2];
  int64_t strides[2];
  int64_t dilation_rate[2];
  bool transposed;
  bool asymmetric;
  bool channel_wise;
  bool normalize;
  kpac_kind kind;
  kpac_type type;
};

absl::Status ReadOptions(tensorflow::OpKernelConstruction* construction, kpac_function function,
                         Options* options);

// What one call reads, checked against each other: each pointer of `inputs` has as many elements
// behind it as `sizes` say.
struct Arguments {
  kpac_sizes sizes;
  kpac_inputs inputs;
  const void* upstream;                     // for the gradients
  tensorflow::TensorShape adapting_kernel;  // (N, OH, OW, T, V)
  tensorflow::TensorShape output;           // of a windowed sum: (N, OH, OW, O)
};

absl::Status ReadArguments(tensorflow::OpKernelContext* context, kpac_function function,
                           const Options& options, Arguments* arguments);

// A tensor of shape [0] stands for one that isn't there.
inline bool Absent(const tensorflow::TensorShape& shape) {
  return shape.dims() == 1 && shape.dim_size(0) == 0;
}

}  // namespace keras_pac
