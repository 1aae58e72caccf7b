// From TensorFlow's attributes and tensors to a call of the core.
#pragma once

#include <vector>

#include "../core/keras_pac.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace keras_pac {

// What the kernels of all ops and devices share. A tensor of shape [0] stands for one that isn't
// there.
class PacOpBase : public tensorflow::OpKernel {
 protected:
  PacOpBase(tensorflow::OpKernelConstruction* construction, kpac_function function);

  // Fills in all but the outputs. Each pointer of call->inputs has as many elements behind it as
  // call->sizes say; what else the core relies on is for kpac_check.
  absl::Status ReadInputs(tensorflow::OpKernelContext* context, kpac_call* call) const;

  // Fills in the outputs, after kpac_check.
  absl::Status AllocateOutputs(tensorflow::OpKernelContext* context, kpac_call* call) const;

 private:
  struct Input {
    const char* name;
    const void* kpac_inputs::* data;
    int index = 0;
  };
  struct Output {
    const char* name;
    const char* like;  // a tensor of the same shape
    void* kpac_outputs::* data;
    const void* kpac_inputs::* needs;  // the input without which it isn't there
    int index = 0;
  };

  absl::Status ReadAttributes(tensorflow::OpKernelConstruction* construction);
  absl::Status ReadSizes(tensorflow::OpKernelContext* context, kpac_sizes* sizes) const;

  bool is_sum_, transposed_;
  kpac_call call_ = {};  // the function, and of the sizes what the attributes say
  std::vector<Input> inputs_;
  std::vector<Output> outputs_;
};

}  // namespace keras_pac
