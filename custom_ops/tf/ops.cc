// The four ops and the shapes of their outputs. A tensor of shape [0] stands for one that isn't
// there. For a transposed convolution, `padding` is that before the zero-stuffed input, and the
// guide has the size of the output.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

// The inputs of the ops in their order, as INPUT(name, type).
#define ADAPTING_KERNEL_INPUTS(INPUT) \
  INPUT(guide, T)                     \
  INPUT(center, T)                    \
  INPUT(valid_mask, T)                \
  INPUT(alpha, U)                     \
  INPUT(exponent, U)                  \
  INPUT(input_size, int64)            \
  INPUT(output_size, int64)           \
  INPUT(padding, int64)
#define WINDOWED_SUM_INPUTS(INPUT) \
  INPUT(x, T)                      \
  INPUT(adapting_kernel, T)        \
  INPUT(guide, T)                  \
  INPUT(center, T)                 \
  INPUT(alpha, U)                  \
  INPUT(exponent, U)               \
  INPUT(filter, T)                 \
  INPUT(bias, T)                   \
  INPUT(output_size, int64)        \
  INPUT(padding, int64)

namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Their numbers by their names.
#define NUMBER(name, type) name,
struct AdaptingKernelInput {
  enum { ADAPTING_KERNEL_INPUTS(NUMBER) };
};
struct WindowedSumInput {
  enum { WINDOWED_SUM_INPUTS(NUMBER) };
};

// (N, OH, OW) of the outputs, with N from a rank-4 image.
absl::Status OutputImage(InferenceContext* c, int output_size, ShapeHandle image,
                         ShapeHandle* result) {
  ShapeHandle size, batch;
  TF_RETURN_IF_ERROR(c->MakeShapeFromShapeTensor(output_size, &size));
  TF_RETURN_IF_ERROR(c->WithRank(size, 2, &size));
  TF_RETURN_IF_ERROR(c->Subshape(image, 0, 1, &batch));
  return c->Concatenate(batch, size, result);
}

absl::Status Taps(InferenceContext* c, DimensionHandle* taps) {
  std::vector<int64_t> kernel_size;
  TF_RETURN_IF_ERROR(c->GetAttr("kernel_size", &kernel_size));
  if (kernel_size.size() != 2) {
    return absl::InvalidArgumentError("kernel_size must have two values");
  }
  return c->Multiply(c->MakeDim(kernel_size[0]), c->MakeDim(kernel_size[1]), taps);
}

absl::Status AdaptingKernelShape(InferenceContext* c) {
  using Input = AdaptingKernelInput;
  ShapeHandle guide, image, adapting_kernel, output_mask;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(Input::guide), 4, &guide));
  TF_RETURN_IF_ERROR(OutputImage(c, Input::output_size, guide, &image));
  DimensionHandle taps;
  TF_RETURN_IF_ERROR(Taps(c, &taps));
  bool channel_wise;
  TF_RETURN_IF_ERROR(c->GetAttr("channel_wise", &channel_wise));
  const DimensionHandle values = channel_wise ? c->Dim(guide, 3) : c->MakeDim(1);
  TF_RETURN_IF_ERROR(c->Concatenate(image, c->MakeShape({taps, values}), &adapting_kernel));
  c->set_output(0, adapting_kernel);
  const ShapeHandle valid_mask = c->input(Input::valid_mask);
  if (!c->RankKnown(valid_mask)) {
    output_mask = c->UnknownShape();
  } else if (c->Rank(valid_mask) == 1) {
    output_mask = c->MakeShape({0});
  } else {
    TF_RETURN_IF_ERROR(c->Concatenate(image, c->MakeShape({1}), &output_mask));
  }
  c->set_output(1, output_mask);
  return absl::OkStatus();
}

absl::Status WindowedSumShape(InferenceContext* c) {
  using Input = WindowedSumInput;
  ShapeHandle x, image, y;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(Input::x), 4, &x));
  TF_RETURN_IF_ERROR(OutputImage(c, Input::output_size, x, &image));
  const ShapeHandle filter = c->input(Input::filter);
  DimensionHandle channels = c->UnknownDim();
  if (c->RankKnown(filter)) {
    const bool full = c->Rank(filter) == 4;
    if (!full) {
      channels = c->Dim(x, 3);
    } else if (c->ValueKnown(c->Dim(filter, 2)) && c->ValueKnown(c->Dim(filter, 3))) {
      const bool shared = c->Value(c->Dim(filter, 2)) == 1 && c->Value(c->Dim(filter, 3)) == 1;
      channels = shared ? c->Dim(x, 3) : c->Dim(filter, 3);
    }
  }
  TF_RETURN_IF_ERROR(c->Concatenate(image, c->MakeShape({channels}), &y));
  c->set_output(0, y);
  return absl::OkStatus();
}

// Gradients have the shapes of these inputs.
absl::Status ShapesOf(InferenceContext* c, std::initializer_list<int> inputs) {
  int output = 0;
  for (int input : inputs) c->set_output(output++, c->input(input));
  return absl::OkStatus();
}

absl::Status AdaptingKernelGradientShape(InferenceContext* c) {
  using Input = AdaptingKernelInput;
  return ShapesOf(c, {Input::guide, Input::center, Input::alpha, Input::exponent});
}

absl::Status WindowedSumGradientShape(InferenceContext* c) {
  using Input = WindowedSumInput;
  return ShapesOf(c, {Input::x, Input::adapting_kernel, Input::guide, Input::center, Input::alpha,
                      Input::exponent, Input::filter, Input::bias});
}

}  // namespace

#define INPUT(name, type) .Input(#name ": " #type)
#define REGISTER_PAC(name, inputs)                               \
  REGISTER_OP("KerasPac>" name)                                  \
  inputs(INPUT)                                                  \
      .Attr("kernel_size: list(int)")                            \
      .Attr("strides: list(int) = [1, 1]")                       \
      .Attr("dilation_rate: list(int) = [1, 1]")                 \
      .Attr("transposed: bool = false")                          \
      .Attr("kernel_type: {'gaussian', 'inverse'} = 'gaussian'") \
      .Attr("asymmetric: bool = false")                          \
      .Attr("channel_wise: bool = false")                        \
      .Attr("T: {half, bfloat16, float, double}")                \
      .Attr("U: {float, double}")

REGISTER_PAC("AdaptingKernel", ADAPTING_KERNEL_INPUTS)
    .Attr("normalize: bool = false")
    .Output("adapting_kernel: T")
    .Output("output_mask: T")
    .SetShapeFn(AdaptingKernelShape);

REGISTER_PAC("AdaptingKernelGrad", ADAPTING_KERNEL_INPUTS)
    .Attr("normalize: bool = false")
    .Input("upstream: T")
    .Output("guide_gradient: T")
    .Output("center_gradient: T")
    .Output("alpha_gradient: U")
    .Output("exponent_gradient: U")
    .SetShapeFn(AdaptingKernelGradientShape);

REGISTER_PAC("WindowedSum", WINDOWED_SUM_INPUTS)
    .Attr("softmax: bool = false")
    .Output("y: T")
    .SetShapeFn(WindowedSumShape);

REGISTER_PAC("WindowedSumGrad", WINDOWED_SUM_INPUTS)
    .Input("upstream: T")
    .Output("x_gradient: T")
    .Output("adapting_kernel_gradient: T")
    .Output("guide_gradient: T")
    .Output("center_gradient: T")
    .Output("alpha_gradient: U")
    .Output("exponent_gradient: U")
    .Output("filter_gradient: T")
    .Output("bias_gradient: T")
    .SetShapeFn(WindowedSumGradientShape);
