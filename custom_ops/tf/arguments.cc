#include "arguments.h"

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/types.h"

namespace keras_pac {
namespace {

using tensorflow::DataType;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

// Stands for the data of a tensor without elements, which TensorFlow gives no memory; nothing reads
// it. NULL would say that the tensor isn't there.
const double kEmpty = 0;

absl::Status Invalid(const std::string& text) { return absl::InvalidArgumentError(text); }

absl::Status ReadPair(tensorflow::OpKernelConstruction* construction, const char* name,
                      int64_t* pair) {
  std::vector<int64_t> values;
  TF_RETURN_IF_ERROR(construction->GetAttr(name, &values));
  if (values.size() != 2) {
    return Invalid(absl::StrCat(name, " must have two values. Received: ", values.size()));
  }
  for (int axis = 0; axis < 2; ++axis) {
    // Products of two of them stay in 64 bits.
    if (values[axis] < 1 || values[axis] > std::numeric_limits<int32_t>::max()) {
      return Invalid(
          absl::StrCat(name, " must be positive and below 2^31. Received: ", values[axis]));
    }
    pair[axis] = values[axis];
  }
  return absl::OkStatus();
}

// Reads inputs by name and compares their shapes.
class Reader {
 public:
  explicit Reader(OpKernelContext* context) : context_(context) {}

  absl::Status Pair(const char* name, int64_t* pair) {
    const Tensor* tensor;
    TF_RETURN_IF_ERROR(context_->input(name, &tensor));
    if (tensor->dims() != 1 || tensor->dim_size(0) != 2) {
      return Invalid(absl::StrCat(name, " must have two values. Received: shape ",
                                  tensor->shape().DebugString()));
    }
    for (int axis = 0; axis < 2; ++axis) pair[axis] = tensor->flat<int64_t>()(axis);
    return absl::OkStatus();
  }

  // The shape of an input and its data, NULL if it is absent (and may be).
  absl::Status Input(const char* name, TensorShape* shape, const void** data,
                     bool required = false) {
    const Tensor* tensor;
    TF_RETURN_IF_ERROR(context_->input(name, &tensor));
    *shape = tensor->shape();
    *data = nullptr;
    if (Absent(*shape)) {
      return required ? Invalid(absl::StrCat(name, " must be given. Received: shape [0]"))
                      : absl::OkStatus();
    }
    *data = tensor->NumElements() == 0 ? &kEmpty : tensor->data();
    return absl::OkStatus();
  }

  // The same for an input whose shape is known; `rule` says it in words.
  absl::Status Input(const char* name, std::initializer_list<int64_t> expected, const char* rule,
                     const void** data, bool required = false) {
    TensorShape shape, wanted;
    TF_RETURN_IF_ERROR(Input(name, &shape, data, required));
    if (*data == nullptr) return absl::OkStatus();
    TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape(expected, &wanted));
    if (shape != wanted) {
      return Invalid(absl::StrCat(name, " must have the shape ", rule, " = ", wanted.DebugString(),
                                  ". Received: ", shape.DebugString()));
    }
    return absl::OkStatus();
  }

  // An image (N, height, width, channels).
  absl::Status Image(const char* name, int64_t* batch, int64_t* size, int64_t* channels,
                     const void** data) {
    TensorShape shape;
    TF_RETURN_IF_ERROR(Input(name, &shape, data, true));
    if (shape.dims() != 4) {
      return Invalid(
          absl::StrCat(name, " must have 4 dimensions. Received: shape ", shape.DebugString()));
    }
    *batch = shape.dim_size(0);
    size[0] = shape.dim_size(1);
    size[1] = shape.dim_size(2);
    *channels = shape.dim_size(3);
    return absl::OkStatus();
  }

 private:
  OpKernelContext* context_;
};

absl::Status ReadGuide(Reader& reader, const Options& options, Arguments* arguments) {
  kpac_sizes& sizes = arguments->sizes;
  kpac_inputs& inputs = arguments->inputs;
  int64_t batch = 0;
  TF_RETURN_IF_ERROR(
      reader.Image("guide", &batch, sizes.guide_size, &sizes.guide_channels, &inputs.guide));
  const int64_t* size = options.transposed ? sizes.output_size : sizes.input_size;
  if (batch != sizes.batch || sizes.guide_size[0] != size[0] || sizes.guide_size[1] != size[1]) {
    return Invalid(absl::StrCat("guide must have the batch and the size of the ",
                                options.transposed ? "output" : "input", ", ", sizes.batch, " of (",
                                size[0], ", ", size[1], "). Received: ", batch, " of (",
                                sizes.guide_size[0], ", ", sizes.guide_size[1], ")"));
  }
  TF_RETURN_IF_ERROR(reader.Input("center", {batch, size[0], size[1], sizes.guide_channels},
                                  "of guide", &inputs.center));
  const int64_t values = options.channel_wise ? sizes.guide_channels : 1;
  TF_RETURN_IF_ERROR(reader.Input("alpha", {values}, "(V,)", &inputs.alpha));
  return reader.Input("exponent", {values}, "(V,)", &inputs.exponent);
}

// x, filter, bias and, where it is given, K.
absl::Status ReadSummands(Reader& reader, Arguments* arguments) {
  kpac_sizes& sizes = arguments->sizes;
  kpac_inputs& inputs = arguments->inputs;
  TF_RETURN_IF_ERROR(
      reader.Image("x", &sizes.batch, sizes.input_size, &sizes.input_channels, &inputs.x));
  TensorShape shape;
  TF_RETURN_IF_ERROR(reader.Input("kernel", &shape, &inputs.kernel));
  sizes.output_channels = sizes.input_channels;
  if (inputs.kernel == nullptr) {
    sizes.filter = KPAC_POOLING;
  } else {
    if (shape.dims() != 4 || shape.dim_size(0) != sizes.kernel_size[0] ||
        shape.dim_size(1) != sizes.kernel_size[1]) {
      return Invalid(absl::StrCat("kernel must have 4 dimensions and the kernel_size (",
                                  sizes.kernel_size[0], ", ", sizes.kernel_size[1],
                                  "). Received: shape ", shape.DebugString()));
    }
    const bool shared = shape.dim_size(2) == 1 && shape.dim_size(3) == 1;
    if (!shared && shape.dim_size(2) != sizes.input_channels) {
      return Invalid(absl::StrCat(
          "kernel must have the shape (kh, kw, C, O) or (kh, kw, 1, 1), C = ", sizes.input_channels,
          ". Received: ", shape.DebugString()));
    }
    sizes.filter = shared ? KPAC_SHARED : KPAC_FULL;
    if (!shared) sizes.output_channels = shape.dim_size(3);
  }
  return reader.Input("bias", {sizes.output_channels}, "(O,)", &inputs.bias);
}

}  // namespace

absl::Status ReadOptions(tensorflow::OpKernelConstruction* construction, kpac_function function,
                         Options* options) {
  *options = {};
  TF_RETURN_IF_ERROR(ReadPair(construction, "kernel_size", options->kernel_size));
  TF_RETURN_IF_ERROR(ReadPair(construction, "strides", options->strides));
  TF_RETURN_IF_ERROR(ReadPair(construction, "dilation_rate", options->dilation_rate));
  TF_RETURN_IF_ERROR(construction->GetAttr("transposed", &options->transposed));
  TF_RETURN_IF_ERROR(construction->GetAttr("asymmetric", &options->asymmetric));
  TF_RETURN_IF_ERROR(construction->GetAttr("channel_wise", &options->channel_wise));
  if (function == KPAC_ADAPTING_KERNEL || function == KPAC_ADAPTING_KERNEL_GRADIENT) {
    TF_RETURN_IF_ERROR(construction->GetAttr("normalize", &options->normalize));
  }
  std::string kind;
  TF_RETURN_IF_ERROR(construction->GetAttr("kind", &kind));
  options->kind = kind == "gaussian" ? KPAC_GAUSSIAN : KPAC_INVERSE;
  DataType type, scalar_type;
  TF_RETURN_IF_ERROR(construction->GetAttr("T", &type));
  TF_RETURN_IF_ERROR(construction->GetAttr("U", &scalar_type));
  if ((type == tensorflow::DT_DOUBLE) != (scalar_type == tensorflow::DT_DOUBLE)) {
    return Invalid(absl::StrCat(
        "alpha and exponent must be double where T is double, and else float. Received: ",
        tensorflow::DataTypeString(scalar_type), " for T=", tensorflow::DataTypeString(type)));
  }
  switch (type) {
    case tensorflow::DT_HALF: options->type = KPAC_FLOAT16; break;
    case tensorflow::DT_BFLOAT16: options->type = KPAC_BFLOAT16; break;
    case tensorflow::DT_FLOAT: options->type = KPAC_FLOAT32; break;
    default: options->type = KPAC_FLOAT64;
  }
  return absl::OkStatus();
}

absl::Status ReadArguments(OpKernelContext* context, kpac_function function, const Options& options,
                           Arguments* arguments) {
  *arguments = {};
  kpac_sizes& sizes = arguments->sizes;
  kpac_inputs& inputs = arguments->inputs;
  Reader reader(context);
  const bool sum = function == KPAC_WINDOWED_SUM || function == KPAC_WINDOWED_SUM_GRADIENT;
  TF_RETURN_IF_ERROR(reader.Pair("output_size", sizes.output_size));
  TF_RETURN_IF_ERROR(reader.Pair("padding", sizes.padding));
  for (int axis = 0; axis < 2; ++axis) {
    sizes.kernel_size[axis] = options.kernel_size[axis];
    sizes.dilation[axis] = options.dilation_rate[axis];
    sizes.strides[axis] = options.transposed ? 1 : options.strides[axis];
    sizes.input_dilation[axis] = options.transposed ? options.strides[axis] : 1;
    sizes.guide_padding[axis] = options.transposed
                                    ? options.dilation_rate[axis] * (options.kernel_size[axis] / 2)
                                    : sizes.padding[axis];
  }
  sizes.type = options.type;
  sizes.kind = options.kind;
  sizes.asymmetric = options.asymmetric;
  sizes.channel_wise = options.channel_wise;
  sizes.normalize = options.normalize;
  const int64_t taps = sizes.kernel_size[0] * sizes.kernel_size[1];
  int64_t values = 1;
  if (sum) {
    TF_RETURN_IF_ERROR(ReadSummands(reader, arguments));
    if (options.channel_wise) values = sizes.input_channels;
    TF_RETURN_IF_ERROR(reader.Input(
        "adapting_kernel", {sizes.batch, sizes.output_size[0], sizes.output_size[1], taps, values},
        "(N, OH, OW, T, V)", &inputs.adapting_kernel));
    TensorShape guide;
    TF_RETURN_IF_ERROR(reader.Input("guide", &guide, &inputs.guide));
    if ((inputs.adapting_kernel == nullptr) == (inputs.guide == nullptr)) {
      return Invalid("One of adapting_kernel and guide must be given. Received: " +
                     std::string(inputs.guide == nullptr ? "none" : "both"));
    }
  } else {
    const tensorflow::Tensor* guide;
    TF_RETURN_IF_ERROR(context->input("guide", &guide));
    sizes.batch = guide->dims() > 0 ? guide->dim_size(0) : 0;
    TF_RETURN_IF_ERROR(reader.Pair("input_size", sizes.input_size));
    TF_RETURN_IF_ERROR(reader.Input("valid_mask",
                                    {sizes.batch, sizes.input_size[0], sizes.input_size[1], 1},
                                    "(N, H, W, 1)", &inputs.valid_mask));
  }
  if (inputs.adapting_kernel == nullptr) {
    TF_RETURN_IF_ERROR(ReadGuide(reader, options, arguments));
  } else {
    for (const char* name : {"center", "alpha", "exponent"}) {
      TensorShape shape;
      const void* data;
      TF_RETURN_IF_ERROR(reader.Input(name, &shape, &data));
      if (data != nullptr) {
        return Invalid(absl::StrCat(name,
                                    " must be absent where adapting_kernel is given. "
                                    "Received: shape ",
                                    shape.DebugString()));
      }
    }
    sizes.guide_size[0] = options.transposed ? sizes.output_size[0] : sizes.input_size[0];
    sizes.guide_size[1] = options.transposed ? sizes.output_size[1] : sizes.input_size[1];
    sizes.guide_channels = options.channel_wise ? sizes.input_channels : 1;
  }
  if (!sum) {
    sizes.input_channels = sizes.output_channels = sizes.guide_channels;
    sizes.filter = KPAC_POOLING;
    if (options.channel_wise) values = sizes.guide_channels;
  }
  TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape(
      {sizes.batch, sizes.output_size[0], sizes.output_size[1], taps, values},
      &arguments->adapting_kernel));
  TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape(
      {sizes.batch, sizes.output_size[0], sizes.output_size[1], sizes.output_channels},
      &arguments->output));
  if (function == KPAC_WINDOWED_SUM_GRADIENT || function == KPAC_ADAPTING_KERNEL_GRADIENT) {
    const TensorShape& expected = sum ? arguments->output : arguments->adapting_kernel;
    TensorShape shape;
    TF_RETURN_IF_ERROR(reader.Input("upstream", &shape, &arguments->upstream, true));
    if (shape != expected) {
      return Invalid(absl::StrCat("upstream must have the shape of the result, ",
                                  expected.DebugString(), ". Received: ", shape.DebugString()));
    }
  }
  return absl::OkStatus();
}

}  // namespace keras_pac
