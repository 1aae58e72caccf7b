// What every function relies on, stated as rules with the value that broke them.
#include <algorithm>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <initializer_list>
#include <iterator>

#include "keras_pac.h"

namespace {

constexpr int64_t kMaxPadding = int64_t{1} << 40;
constexpr int64_t kMaxCoordinate = int64_t{1} << 62;
constexpr int64_t kMaxBytes = int64_t{1} << 60;
constexpr int64_t kMaxTaps = int64_t{1} << 20;  // a plan lists them

bool is_sum(const kpac_call& call) {
  return call.function == KPAC_WINDOWED_SUM || call.function == KPAC_WINDOWED_SUM_GRADIENT;
}

struct Error {
  char* text;
  size_t size;

  __attribute__((format(printf, 2, 3))) bool fail(const char* format, ...) const {
    if (text != nullptr && size > 0) {
      va_list arguments;
      va_start(arguments, format);
      vsnprintf(text, size, format, arguments);
      va_end(arguments);
    }
    return false;
  }
};

bool multiply(int64_t a, int64_t b, int64_t limit, int64_t* product) {
  return !__builtin_mul_overflow(a, b, product) && *product <= limit;
}

// The bytes of a tensor must be countable, with room for sums of such counts.
bool countable(const Error& error, const char* name, const int64_t (&shape)[5]) {
  int64_t bytes = 8;
  for (int64_t size : shape) {
    if (size == 0) return true;
  }
  for (int64_t size : shape) {
    if (!multiply(bytes, size, kMaxBytes, &bytes)) {
      return error.fail("`%s` would have more than 2^60 bytes: shape (%" PRId64 ", %" PRId64
                        ", %" PRId64 ", %" PRId64 ", %" PRId64 ")",
                        name, shape[0], shape[1], shape[2], shape[3], shape[4]);
    }
  }
  return true;
}

bool check_axis(const Error& error, const kpac_sizes& s, int axis) {
  const char* name = axis == 0 ? "rows" : "columns";
  const struct {
    const char* name;
    int64_t value, minimum;
  } sizes[] = {
      {"input_size", s.input_size[axis], 0},
      {"guide_size", s.guide_size[axis], 0},
      {"output_size", s.output_size[axis], 0},
      {"kernel_size", s.kernel_size[axis], 1},
      {"strides", s.strides[axis], 1},
      {"dilation", s.dilation[axis], 1},
      {"input_dilation", s.input_dilation[axis], 1},
  };
  for (const auto& size : sizes) {
    if (size.value < size.minimum) {
      return error.fail("%s must be at least %" PRId64 ", received %" PRId64 " (%s)", size.name,
                        size.minimum, size.value, name);
    }
  }
  if (s.kernel_size[axis] % 2 == 0) {
    return error.fail("kernel_size must be odd, received %" PRId64 " (%s)", s.kernel_size[axis],
                      name);
  }
  if (s.strides[axis] > 1 && s.input_dilation[axis] > 1) {
    return error.fail("strides and input_dilation must not both be above 1, received %" PRId64
                      " and %" PRId64 " (%s)",
                      s.strides[axis], s.input_dilation[axis], name);
  }
  for (int64_t padding : {s.padding[axis], s.guide_padding[axis]}) {
    if (padding < -kMaxPadding || padding > kMaxPadding) {
      return error.fail("padding must lie within 2^40, received %" PRId64 " (%s)", padding, name);
    }
  }
  int64_t last_output, last_tap, last_input;
  if (!multiply(s.output_size[axis], s.strides[axis], kMaxCoordinate / 4, &last_output) ||
      !multiply(s.kernel_size[axis], s.dilation[axis], kMaxCoordinate / 4, &last_tap) ||
      !multiply(s.input_size[axis], s.input_dilation[axis], kMaxCoordinate / 4, &last_input)) {
    return error.fail("no coordinate may lie beyond 2^60 (%s)", name);
  }
  return true;
}

bool check_sizes(const Error& error, const kpac_call& call) {
  const kpac_sizes& s = call.sizes;
  if (s.batch < 0) return error.fail("batch must be at least 0, received %" PRId64, s.batch);
  const struct {
    const char* name;
    int32_t value, last;
  } options[] = {
      {"function", call.function, KPAC_WINDOWED_SUM_GRADIENT},
      {"type", s.type, KPAC_FLOAT64},
      {"kernel_type", s.kernel_type, KPAC_INVERSE},
      {"filter_type", s.filter_type, KPAC_FULL},
      {"asymmetric", s.asymmetric, 1},
      {"channel_wise", s.channel_wise, 1},
      {"normalize", s.normalize, 1},
      {"bias_image", s.bias_image, 1},
      {"softmax", s.softmax, 1},
  };
  for (const auto& option : options) {
    if (option.value < 0 || option.value > option.last) {
      return error.fail("%s must be 0 to %d, received %d", option.name, option.last, option.value);
    }
  }
  if (!check_axis(error, s, 0) || !check_axis(error, s, 1)) return false;
  int64_t taps;
  if (!multiply(s.kernel_size[0], s.kernel_size[1], kMaxTaps, &taps)) {
    return error.fail("a window must have at most 2^20 taps, received %" PRId64 " x %" PRId64,
                      s.kernel_size[0], s.kernel_size[1]);
  }
  const int64_t values = !s.channel_wise ? 1 : is_sum(call) ? s.input_channels : s.guide_channels;
  return countable(error, "adapting_kernel",
                   {s.batch, s.output_size[0], s.output_size[1], taps, values});
}

bool check_guide(const Error& error, const kpac_sizes& s, const kpac_inputs& in) {
  if (in.guide == nullptr) return error.fail("a guide or an adapting kernel is needed");
  if (s.guide_channels < 1) {
    return error.fail("guide_channels must be at least 1, received %" PRId64, s.guide_channels);
  }
  const bool inverse = s.kernel_type == KPAC_INVERSE;
  if (inverse != (in.alpha != nullptr) || inverse != (in.exponent != nullptr)) {
    return error.fail("the inverse kernel needs alpha and exponent, the gaussian takes neither");
  }
  return countable(error, "guide",
                   {s.batch, s.guide_size[0], s.guide_size[1], s.guide_channels, 1});
}

bool check_adapting_kernel(const Error& error, const kpac_sizes& s, const kpac_inputs& in) {
  if (in.valid_mask != nullptr &&
      !countable(error, "valid_mask", {s.batch, s.input_size[0], s.input_size[1], 1, 1})) {
    return false;
  }
  return check_guide(error, s, in);
}

bool check_windowed_sum(const Error& error, const kpac_sizes& s, const kpac_inputs& in) {
  if (s.input_channels < 1 || s.output_channels < 1) {
    return error.fail("channels must be at least 1, received %" PRId64 " and %" PRId64,
                      s.input_channels, s.output_channels);
  }
  if (s.filter_type != KPAC_FULL && s.input_channels != s.output_channels) {
    return error.fail(
        "without a full filter input_channels and output_channels must be equal, "
        "received %" PRId64 " and %" PRId64,
        s.input_channels, s.output_channels);
  }
  const int64_t taps = s.kernel_size[0] * s.kernel_size[1];
  if (!countable(error, "x", {s.batch, s.input_size[0], s.input_size[1], s.input_channels, 1}) ||
      !countable(error, "y", {s.batch, s.output_size[0], s.output_size[1], s.output_channels, 1}) ||
      !countable(error, "filter", {taps, s.input_channels, s.output_channels, 1, 1})) {
    return false;
  }
  if (in.x == nullptr) return error.fail("x is needed");
  if ((s.filter_type != KPAC_POOLING) != (in.filter != nullptr)) {
    return error.fail("a full or shared filter is needed, and pooling takes none");
  }
  if (in.valid_mask != nullptr || s.normalize) {
    return error.fail("valid_mask and normalize belong to the adapting kernel");
  }
  if (s.channel_wise && (s.filter_type == KPAC_FULL || in.adapting_kernel == nullptr)) {
    return error.fail("channel_wise needs a given adapting kernel, and no full filter");
  }
  if (in.adapting_kernel == nullptr) return check_guide(error, s, in);
  if (in.guide != nullptr || in.center != nullptr || in.alpha != nullptr ||
      in.exponent != nullptr) {
    return error.fail("with a given adapting kernel there must be no guide");
  }
  return true;
}

bool check(const Error& error, const kpac_call* call) {
  if (call == nullptr) return error.fail("a call is needed");
  if (!check_sizes(error, *call)) return false;
  const kpac_sizes& s = call->sizes;
  if (call->function != KPAC_WINDOWED_SUM && (s.bias_image || s.softmax)) {
    return error.fail("bias_image and softmax belong to the windowed sum, not to its gradient");
  }
  if (s.bias_image && call->inputs.bias == nullptr) return error.fail("bias_image needs a bias");
  const bool gradient = call->function == KPAC_ADAPTING_KERNEL_GRADIENT ||
                        call->function == KPAC_WINDOWED_SUM_GRADIENT;
  if (gradient && call->inputs.upstream == nullptr) return error.fail("upstream is needed");
  return is_sum(*call) ? check_windowed_sum(error, s, call->inputs)
                       : check_adapting_kernel(error, s, call->inputs);
}

// A forward function writes its result; a gradient is one by an input that is there.
bool check_outputs(const Error& error, const kpac_call& call) {
  const kpac_inputs& in = call.inputs;
  const kpac_outputs& out = call.outputs;
  switch (call.function) {
    case KPAC_ADAPTING_KERNEL:
      return out.adapting_kernel != nullptr || error.fail("adapting_kernel must be written");
    case KPAC_WINDOWED_SUM: return out.y != nullptr || error.fail("y must be written");
  }
  const struct {
    const char* name;
    const void *gradient, *input;
  } gradients[] = {
      {"x", out.x, in.x},
      {"adapting_kernel", out.adapting_kernel, in.adapting_kernel},
      {"guide", out.guide, in.guide},
      {"center", out.center, in.center},
      {"alpha", out.alpha, in.alpha},
      {"exponent", out.exponent, in.exponent},
      {"filter", out.filter, in.filter},
      {"bias", out.bias, in.bias},
  };
  for (const auto& [name, gradient, input] : gradients) {
    if (gradient != nullptr && input == nullptr) {
      return error.fail("there is no %s to take a gradient by", name);
    }
  }
  return true;
}

}  // namespace

void kpac_elements(const kpac_call* call, int64_t* inputs, int64_t* outputs) {
  const kpac_sizes& s = call->sizes;
  const int64_t outputs_of_one = s.output_size[0] * s.output_size[1] * s.batch;
  const int64_t inputs_of_one = s.input_size[0] * s.input_size[1] * s.batch;
  const int64_t guide = s.guide_size[0] * s.guide_size[1] * s.batch * s.guide_channels;
  const int64_t taps = s.kernel_size[0] * s.kernel_size[1];
  const int64_t values = !s.channel_wise ? 1 : is_sum(*call) ? s.input_channels : s.guide_channels;
  const bool full = s.filter_type == KPAC_FULL;
  const int64_t x = inputs_of_one * s.input_channels, y = outputs_of_one * s.output_channels;
  const int64_t adapting_kernel = outputs_of_one * taps * values;
  const int64_t filter = full ? taps * s.input_channels * s.output_channels : taps;
  const int64_t upstream = is_sum(*call) ? y : adapting_kernel;
  const int64_t bias = s.bias_image ? y : s.output_channels;
  const int64_t read[] = {x,      adapting_kernel, guide,  guide, inputs_of_one,
                          values, values,          filter, bias,  upstream};
  const int64_t written[] = {y,     adapting_kernel, outputs_of_one, x,      guide,
                             guide, values,          values,         filter, s.output_channels};
  std::copy(std::begin(read), std::end(read), inputs);
  std::copy(std::begin(written), std::end(written), outputs);
}

kpac_status kpac_check(const kpac_call* call, char* text, size_t text_size) {
  return check({text, text_size}, call) ? KPAC_OK : KPAC_INVALID;
}

kpac_status kpac_check_outputs(const kpac_call* call, char* text, size_t text_size) {
  return check_outputs({text, text_size}, *call) ? KPAC_OK : KPAC_INVALID;
}
