// The four ops and the shapes of their outputs. A tensor of shape [0] stands for one that isn't
// there. For a transposed convolution, `padding` is that before the zero-stuffed input, and the
// guide has the size of the output.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// An input of the given rank.
absl::Status Input(InferenceContext* c, const char* name, int rank, ShapeHandle* shape) {
  std::vector<ShapeHandle> shapes;
  TF_RETURN_IF_ERROR(c->input(name, &shapes));
  return c->WithRank(shapes[0], rank, shape);
}

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
  ShapeHandle guide, mask, image;
  TF_RETURN_IF_ERROR(Input(c, "guide", 4, &guide));
  TF_RETURN_IF_ERROR(OutputImage(c, 6, guide, &image));
  DimensionHandle taps, values = c->MakeDim(1);
  TF_RETURN_IF_ERROR(Taps(c, &taps));
  bool channel_wise;
  TF_RETURN_IF_ERROR(c->GetAttr("channel_wise", &channel_wise));
  if (channel_wise) values = c->Dim(guide, 3);
  ShapeHandle kernel;
  TF_RETURN_IF_ERROR(c->Concatenate(image, c->MakeShape({taps, values}), &kernel));
  c->set_output(0, kernel);
  mask = c->input(2);
  if (!c->RankKnown(mask)) {
    c->set_output(1, c->UnknownShape());
  } else if (c->Rank(mask) == 1) {
    c->set_output(1, c->MakeShape({0}));
  } else {
    ShapeHandle output_mask;
    TF_RETURN_IF_ERROR(c->Concatenate(image, c->MakeShape({1}), &output_mask));
    c->set_output(1, output_mask);
  }
  return absl::OkStatus();
}

absl::Status WindowedSumShape(InferenceContext* c) {
  ShapeHandle x, image, y;
  TF_RETURN_IF_ERROR(Input(c, "x", 4, &x));
  TF_RETURN_IF_ERROR(OutputImage(c, 8, x, &image));
  ShapeHandle kernel = c->input(6);
  DimensionHandle channels = c->UnknownDim();
  if (c->RankKnown(kernel)) {
    const bool full = c->Rank(kernel) == 4;
    if (!full) {
      channels = c->Dim(x, 3);
    } else if (c->ValueKnown(c->Dim(kernel, 2)) && c->ValueKnown(c->Dim(kernel, 3))) {
      const bool shared = c->Value(c->Dim(kernel, 2)) == 1 && c->Value(c->Dim(kernel, 3)) == 1;
      channels = shared ? c->Dim(x, 3) : c->Dim(kernel, 3);
    }
  }
  TF_RETURN_IF_ERROR(c->Concatenate(image, c->MakeShape({channels}), &y));
  c->set_output(0, y);
  return absl::OkStatus();
}

// Output i has the shape of input inputs[i].
absl::Status SameShapes(InferenceContext* c, std::initializer_list<int> inputs) {
  int output = 0;
  for (int input : inputs) c->set_output(output++, c->input(input));
  return absl::OkStatus();
}

}  // namespace

#define PAC_ATTRIBUTES                                    \
  Attr("kernel_size: list(int)")                          \
      .Attr("strides: list(int) = [1, 1]")                \
      .Attr("dilation_rate: list(int) = [1, 1]")          \
      .Attr("transposed: bool = false")                   \
      .Attr("kind: {'gaussian', 'inverse'} = 'gaussian'") \
      .Attr("asymmetric: bool = false")                   \
      .Attr("channel_wise: bool = false")                 \
      .Attr("T: {half, bfloat16, float, double}")         \
      .Attr("U: {float, double}")

#define ADAPTING_KERNEL_INPUTS     \
  Input("guide: T")                \
      .Input("center: T")          \
      .Input("valid_mask: T")      \
      .Input("alpha: U")           \
      .Input("exponent: U")        \
      .Input("input_size: int64")  \
      .Input("output_size: int64") \
      .Input("padding: int64")

#define WINDOWED_SUM_INPUTS        \
  Input("x: T")                    \
      .Input("adapting_kernel: T") \
      .Input("guide: T")           \
      .Input("center: T")          \
      .Input("alpha: U")           \
      .Input("exponent: U")        \
      .Input("kernel: T")          \
      .Input("bias: T")            \
      .Input("output_size: int64") \
      .Input("padding: int64")

REGISTER_OP("KerasPac>AdaptingKernel")
    .ADAPTING_KERNEL_INPUTS.Output("adapting_kernel: T")
    .Output("output_mask: T")
    .PAC_ATTRIBUTES.Attr("normalize: bool = false")
    .SetShapeFn(AdaptingKernelShape);

REGISTER_OP("KerasPac>AdaptingKernelGrad")
    .ADAPTING_KERNEL_INPUTS.Input("upstream: T")
    .Output("guide_gradient: T")
    .Output("center_gradient: T")
    .Output("alpha_gradient: U")
    .Output("exponent_gradient: U")
    .PAC_ATTRIBUTES.Attr("normalize: bool = false")
    .SetShapeFn([](InferenceContext* c) { return SameShapes(c, {0, 1, 3, 4}); });

REGISTER_OP("KerasPac>WindowedSum")
    .WINDOWED_SUM_INPUTS.Output("y: T")
    .PAC_ATTRIBUTES.SetShapeFn(WindowedSumShape);

REGISTER_OP("KerasPac>WindowedSumGrad")
    .WINDOWED_SUM_INPUTS.Input("upstream: T")
    .Output("x_gradient: T")
    .Output("adapting_kernel_gradient: T")
    .Output("guide_gradient: T")
    .Output("center_gradient: T")
    .Output("alpha_gradient: U")
    .Output("exponent_gradient: U")
    .Output("kernel_gradient: T")
    .Output("bias_gradient: T")
    .PAC_ATTRIBUTES.SetShapeFn([](InferenceContext* c) {
      return SameShapes(c, {0, 1, 2, 3, 4, 5, 6, 7});
    });
