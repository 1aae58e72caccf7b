// Which attributes, inputs and outputs the ops have, and what they are to the core.
#include "call.h"

#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/types.h"

namespace keras_pac {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

// TensorFlow gives no memory to a tensor without elements, and NULL tells the core that there is no
// tensor. So one that is there has this address, which nothing reads or writes.
double no_elements;

bool IsAbsent(const TensorShape& shape) { return shape.dims() == 1 && shape.dim_size(0) == 0; }

void* DataOf(const Tensor& tensor) {
  if (IsAbsent(tensor.shape())) return nullptr;
  return tensor.NumElements() > 0 ? tensor.data() : &no_elements;
}

template <typename... Texts>
absl::Status Invalid(const Texts&... texts) {
  return absl::InvalidArgumentError(absl::StrCat(texts...));
}

// The shape of an input or output that is there.
absl::Status ShapeOf(absl::string_view name, const kpac_sizes& s, bool sum, TensorShape* shape) {
  const auto image = [&](const int64_t* size, std::initializer_list<int64_t> values) {
    std::vector<int64_t> sizes = {s.batch, size[0], size[1]};
    sizes.insert(sizes.end(), values);
    return TensorShape::BuildTensorShape(sizes, shape);
  };
  const auto plain = [&](std::initializer_list<int64_t> sizes) {
    return TensorShape::BuildTensorShape(sizes, shape);
  };
  const int64_t taps = s.kernel_size[0] * s.kernel_size[1];
  const int64_t values = !s.channel_wise ? 1 : sum ? s.input_channels : s.guide_channels;
  if (name == "upstream") name = sum ? "y" : "adapting_kernel";
  if (name == "bias" && s.bias_image) name = "y";
  if (name == "x") return image(s.input_size, {s.input_channels});
  if (name == "y") return image(s.output_size, {s.output_channels});
  if (name == "adapting_kernel") return image(s.output_size, {taps, values});
  if (name == "guide" || name == "center") return image(s.guide_size, {s.guide_channels});
  if (name == "valid_mask") return image(s.input_size, {1});
  if (name == "output_mask") return image(s.output_size, {1});
  if (name == "bias") return plain({s.output_channels});
  if (name == "alpha" || name == "exponent") return plain({values});
  const bool full = s.filter_type == KPAC_FULL;
  return plain({s.kernel_size[0], s.kernel_size[1], full ? s.input_channels : 1,
                full ? s.output_channels : 1});
}

// A pair of positive numbers, products of two of which stay in 64 bits.
absl::Status ReadPair(OpKernelConstruction* construction, const char* name, int64_t* pair) {
  std::vector<int64_t> values;
  TF_RETURN_IF_ERROR(construction->GetAttr(name, &values));
  if (values.size() != 2) return Invalid(name, " must have two values. Received: ", values.size());
  for (int axis = 0; axis < 2; ++axis) {
    if (values[axis] < 1 || values[axis] > std::numeric_limits<int32_t>::max()) {
      return Invalid(name, " must be positive and below 2^31. Received: ", values[axis]);
    }
    pair[axis] = values[axis];
  }
  return absl::OkStatus();
}

absl::Status ReadPair(OpKernelContext* context, const char* name, int64_t* pair) {
  const Tensor* tensor;
  TF_RETURN_IF_ERROR(context->input(name, &tensor));
  if (tensor->dims() != 1 || tensor->dim_size(0) != 2) {
    return Invalid(name, " must have two values. Received: shape ", tensor->shape().DebugString());
  }
  for (int axis = 0; axis < 2; ++axis) pair[axis] = tensor->flat<int64_t>()(axis);
  return absl::OkStatus();
}

// The sizes of an input with 4 dimensions; 0 if it is absent.
absl::Status ReadShape(OpKernelContext* context, const char* name, int64_t (&sizes)[4]) {
  const Tensor* tensor;
  TF_RETURN_IF_ERROR(context->input(name, &tensor));
  if (IsAbsent(tensor->shape())) return absl::OkStatus();
  if (tensor->dims() != 4) {
    return Invalid(name, " must have 4 dimensions. Received: shape ",
                   tensor->shape().DebugString());
  }
  for (int i = 0; i < 4; ++i) sizes[i] = tensor->dim_size(i);
  return absl::OkStatus();
}

}  // namespace

PacOpBase::PacOpBase(OpKernelConstruction* construction, kpac_function function)
    : OpKernel(construction),
      is_sum_(function == KPAC_WINDOWED_SUM || function == KPAC_WINDOWED_SUM_GRADIENT) {
  using In = kpac_inputs;
  using Out = kpac_outputs;
  const Input inputs[] = {
      {"x", &In::x},           {"adapting_kernel", &In::adapting_kernel},
      {"guide", &In::guide},   {"center", &In::center},
      {"alpha", &In::alpha},   {"valid_mask", &In::valid_mask},
      {"bias", &In::bias},     {"exponent", &In::exponent},
      {"filter", &In::filter}, {"upstream", &In::upstream},
  };
  const Output outputs[] = {
      {"y", "y", &Out::y, nullptr},
      {"adapting_kernel", "adapting_kernel", &Out::adapting_kernel, nullptr},
      {"output_mask", "output_mask", &Out::output_mask, &In::valid_mask},
      {"x_gradient", "x", &Out::x, &In::x},
      {"adapting_kernel_gradient", "adapting_kernel", &Out::adapting_kernel, &In::adapting_kernel},
      {"guide_gradient", "guide", &Out::guide, &In::guide},
      {"center_gradient", "center", &Out::center, &In::center},
      {"alpha_gradient", "alpha", &Out::alpha, &In::alpha},
      {"exponent_gradient", "exponent", &Out::exponent, &In::exponent},
      {"filter_gradient", "filter", &Out::filter, &In::filter},
      {"bias_gradient", "bias", &Out::bias, &In::bias},
  };
  // No op has all of them.
  int end;
  for (Input input : inputs) {
    if (InputRange(input.name, &input.index, &end).ok()) inputs_.push_back(input);
  }
  for (Output output : outputs) {
    if (OutputRange(output.name, &output.index, &end).ok()) outputs_.push_back(output);
  }
  call_.function = function;
  OP_REQUIRES_OK(construction, ReadAttributes(construction));
}

absl::Status PacOpBase::ReadAttributes(OpKernelConstruction* construction) {
  kpac_sizes& s = call_.sizes;
  TF_RETURN_IF_ERROR(ReadPair(construction, "kernel_size", s.kernel_size));
  TF_RETURN_IF_ERROR(ReadPair(construction, "dilation_rate", s.dilation));
  TF_RETURN_IF_ERROR(ReadPair(construction, "strides", s.strides));
  TF_RETURN_IF_ERROR(construction->GetAttr("transposed", &transposed_));
  s.input_dilation[0] = s.input_dilation[1] = 1;
  if (transposed_) std::swap(s.input_dilation, s.strides);
  const std::pair<const char*, int32_t*> flags[] = {{"asymmetric", &s.asymmetric},
                                                    {"channel_wise", &s.channel_wise},
                                                    {"normalize", &s.normalize},
                                                    {"softmax", &s.softmax}};
  for (const auto& [name, flag] : flags) {
    bool value = false;
    if (construction->HasAttr(name)) TF_RETURN_IF_ERROR(construction->GetAttr(name, &value));
    *flag = value;
  }
  std::string kernel_type;
  TF_RETURN_IF_ERROR(construction->GetAttr("kernel_type", &kernel_type));
  if (kernel_type == "gaussian") {
    s.kernel_type = KPAC_GAUSSIAN;
  } else if (kernel_type == "inverse") {
    s.kernel_type = KPAC_INVERSE;
  } else {
    return Invalid("kernel_type is not known here. Received: ", kernel_type);
  }
  tensorflow::DataType type, scalar_type;
  TF_RETURN_IF_ERROR(construction->GetAttr("T", &type));
  TF_RETURN_IF_ERROR(construction->GetAttr("U", &scalar_type));
  if ((type == tensorflow::DT_DOUBLE) != (scalar_type == tensorflow::DT_DOUBLE)) {
    return Invalid(
        "alpha and exponent must be double where T is double, and else float. Received: ",
        tensorflow::DataTypeString(scalar_type), " for T=", tensorflow::DataTypeString(type));
  }
  s.type = type == tensorflow::DT_HALF       ? KPAC_FLOAT16
           : type == tensorflow::DT_BFLOAT16 ? KPAC_BFLOAT16
           : type == tensorflow::DT_FLOAT    ? KPAC_FLOAT32
                                             : KPAC_FLOAT64;
  return absl::OkStatus();
}

absl::Status PacOpBase::ReadSizes(OpKernelContext* context, kpac_sizes* s) const {
  int64_t x[4] = {}, guide[4] = {}, filter[4] = {};
  const Tensor* bias;
  TF_RETURN_IF_ERROR(ReadPair(context, "output_size", s->output_size));
  TF_RETURN_IF_ERROR(ReadPair(context, "padding", s->padding));
  TF_RETURN_IF_ERROR(ReadShape(context, "guide", guide));
  s->guide_channels = guide[3];
  if (is_sum_) {
    TF_RETURN_IF_ERROR(ReadShape(context, "x", x));
    TF_RETURN_IF_ERROR(ReadShape(context, "filter", filter));
    TF_RETURN_IF_ERROR(context->input("bias", &bias));
    s->bias_image = bias->dims() == 4;
    s->batch = x[0];
    std::copy(x + 1, x + 3, s->input_size);
    s->input_channels = s->output_channels = x[3];
    s->filter_type = filter[0] == 0                     ? KPAC_POOLING
                     : filter[2] == 1 && filter[3] == 1 ? KPAC_SHARED
                                                        : KPAC_FULL;
    if (s->filter_type == KPAC_FULL) s->output_channels = filter[3];
  } else {
    TF_RETURN_IF_ERROR(ReadPair(context, "input_size", s->input_size));
    s->batch = guide[0];
  }
  for (int axis = 0; axis < 2; ++axis) {
    s->guide_size[axis] = transposed_ ? s->output_size[axis] : s->input_size[axis];
    s->guide_padding[axis] =
        transposed_ ? s->dilation[axis] * (s->kernel_size[axis] / 2) : s->padding[axis];
  }
  return absl::OkStatus();
}

absl::Status PacOpBase::ReadInputs(OpKernelContext* context, kpac_call* call) const {
  *call = call_;
  TF_RETURN_IF_ERROR(ReadSizes(context, &call->sizes));
  for (const Input& input : inputs_) {
    const Tensor& tensor = context->input(input.index);
    call->inputs.*input.data = DataOf(tensor);
    if (IsAbsent(tensor.shape())) continue;
    TensorShape shape;
    TF_RETURN_IF_ERROR(ShapeOf(input.name, call->sizes, is_sum_, &shape));
    if (tensor.shape() != shape) {
      return Invalid(input.name, " must have the shape ", shape.DebugString(),
                     ". Received: ", tensor.shape().DebugString());
    }
  }
  return absl::OkStatus();
}

absl::Status PacOpBase::AllocateOutputs(OpKernelContext* context, kpac_call* call) const {
  for (const Output& output : outputs_) {
    // A gradient that nothing in the graph reads is not computed.
    if (output.needs != nullptr && !context->output_required(output.index)) continue;
    TensorShape shape({0});
    if (output.needs == nullptr || call->inputs.*output.needs != nullptr) {
      TF_RETURN_IF_ERROR(ShapeOf(output.like, call->sizes, is_sum_, &shape));
    }
    Tensor* tensor;
    TF_RETURN_IF_ERROR(context->allocate_output(output.index, shape, &tensor));
    call->outputs.*output.data = DataOf(*tensor);
  }
  return absl::OkStatus();
}

}  // namespace keras_pac
