// Pixel-adaptive windowed sums: the C interface of the core, for CPU and CUDA.
//
// Notation. Output pixel i and tap t (one of kernel_size[0] * kernel_size[1], row-major) meet, on
// each axis, position i * strides + t * dilation - padding of the input after input_dilation - 1
// zeros were inserted between its pixels. They meet an input pixel j(i, t) where that position is
// a multiple of input_dilation and j = position / input_dilation lies in the input; else nothing.
// In the guide they meet n(i, t) = i * strides + t * dilation - guide_padding, whose features are
// zero outside the guide; the centre c(i) is what the middle tap meets.
//
//   convolution, pooling    input_dilation = 1, guide_padding = padding, guide_size = input_size
//   transposed convolution  strides = 1, guide_padding = dilation * (kernel_size / 2),
//                           guide_size = output_size, the filter spatially mirrored
//
// Adapting kernel. With d = guide[n(i, t)] - center[c(i)], max(d, 0) if asymmetric, and
// s = sum over channels of d^2 (s = d^2 per channel if channel_wise), the similarity is
//
//   gaussian   k_it = exp(-s / 2)
//   inverse    k_it = alpha + (s + 1e-4)^(exponent / 2)
//
// Let m_it be 1 where (i, t) meets an input pixel (times its valid_mask, if there is one), else 0.
//
//   no mask, no normalize   K_it = k_it
//   normalize               K_it = m_it k_it / sum_t m_it k_it
//   mask, no normalize      K_it = m_it k_it / (sum_t m_it / number of taps in the image)
//
// and 0 where the divisor is 0.
//
// Windowed sum.
//
//   full filter     y_i[o] = bias[o] + sum_t K_it sum_c x_j(i,t)[c] W_t[c, o]
//   shared filter   y_i[c] = bias[c] + sum_t K_it[c] w_t x_j(i,t)[c]
//   pooling         the same with w_t = 1
//
// bias may be an image: bias_i[o], a value for every output. With softmax, y_i is the softmax of
// that sum over its channels: y_i[o] <- exp(y_i[o]) / sum_o exp(y_i[o]).
//
// The sum takes K from `adapting_kernel`, or, where that is NULL, computes it from the guide in the
// same pass without storing it (not with normalize, valid_mask or channel_wise).
//
// Every tensor is dense, channels last. `type` is that of all of them but alpha and exponent, which
// are float64 for float64 and float32 otherwise. Everything is computed and accumulated in that
// wider type. No gradient is accumulated in an order that depends on the number of threads.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { KPAC_FLOAT16, KPAC_BFLOAT16, KPAC_FLOAT32, KPAC_FLOAT64 } kpac_type;
// A new type needs, besides its formula above: its name in tf/ops.cc and tf/call.cc; its parameters
// in check.cc; k and its derivative in cpu/guide_tile.h (to_similarity, to_distance_gradient),
// cpu/channel_wise.h and cuda/adapting.cuh (Features, DistanceGradient); and for the tests
// harness/reference.py, harness/sizes.py and tests/core/reference.h. In Python it needs KERNEL_TYPES
// and KernelForm (ops/_implementations/kernel_form.py), the rules of ops/checks.py, and where it has
// parameters their weights (layers/base_pac_layer.py).
typedef enum { KPAC_GAUSSIAN, KPAC_INVERSE } kpac_kernel_type;
typedef enum { KPAC_POOLING, KPAC_SHARED, KPAC_FULL } kpac_filter_type;

// The 1e-4 of the formulae: it keeps the inverse kernel and its gradients finite where s is 0.
#define KPAC_INVERSE_EPSILON 1e-4

// Sizes are (rows, columns).
typedef struct {
  int64_t batch;
  int64_t input_size[2];
  int64_t guide_size[2];
  int64_t output_size[2];
  int64_t input_channels;   // C
  int64_t guide_channels;   // G; not used where adapting_kernel is given
  int64_t output_channels;  // O; C unless the filter is full
  int64_t kernel_size[2];   // odd; T taps in all, at most 2^20
  int64_t strides[2];
  int64_t input_dilation[2];
  int64_t dilation[2];
  int64_t padding[2];
  int64_t guide_padding[2];
  int32_t type;          // kpac_type
  int32_t kernel_type;   // kpac_kernel_type
  int32_t filter_type;   // kpac_filter_type
  int32_t asymmetric;    // 0 or 1, as all that follow
  int32_t channel_wise;  // K has a value for every guide channel (of x, in a windowed sum)
  int32_t normalize;
  int32_t bias_image;  // of KPAC_WINDOWED_SUM only, as softmax
  int32_t softmax;
} kpac_sizes;

// What a function reads. NULL: there is none. (H, W) = input_size, (GH, GW) = guide_size,
// (OH, OW) = output_size; N = batch; V = G, or C in a windowed sum, if channel_wise, else 1.
typedef struct {
  const void* x;                // (N, H, W, C)
  const void* adapting_kernel;  // (N, OH, OW, T, V)
  const void* guide;            // (N, GH, GW, G)
  const void* center;           // (N, GH, GW, G), or NULL: the guide itself
  const void* valid_mask;       // (N, H, W), or NULL
  const void* alpha;            // (V,), for the inverse kernel
  const void* exponent;         // (V,), for the inverse kernel
  const void* filter;           // (T, C, O) full, (T,) shared, NULL for pooling
  const void* bias;             // (O,), or (N, OH, OW, O) if bias_image, or NULL
  const void* upstream;         // for a gradient function: the gradient by y or K, of its shape
} kpac_inputs;

// What a function writes. The last seven, and K in a gradient function, are gradients of a sum over
// the results weighted by `upstream`. Each has the shape of the input that it is the gradient by:
// NULL where that is NULL; else it may be NULL if it is not wanted.
typedef struct {
  void* y;                // (N, OH, OW, O)
  void* adapting_kernel;  // (N, OH, OW, T, V)
  void* output_mask;      // (N, OH, OW), with a valid_mask, or NULL: 1 where the divisor is not 0
  void* x;
  void* guide;
  void* center;
  void* alpha;
  void* exponent;
  void* filter;
  void* bias;
} kpac_outputs;

typedef enum {
  // K, and output_mask.
  KPAC_ADAPTING_KERNEL,

  // With u_it = dL/dK_it (`upstream`) and the divisor D_i of K_it = m_it k_it / D_i:
  //
  //   dk_it         = m_it u_it / D_i                              (m = D = 1 where there is none)
  //   dk_it         = m_it (u_it - sum_t u_it K_it) / D_i          if normalize
  //   ds_it         = -k_it dk_it / 2                              gaussian
  //   ds_it         = exponent / 2 (s + 1e-4)^(exponent / 2 - 1) dk_it   inverse
  //   dguide[n]     = sum over (i, t) with n(i, t) = n of 2 d ds_it
  //   dcenter[c]    = - sum over (i, t) with c(i) = c of 2 d ds_it (added to dguide if no center)
  //   dalpha        = sum_it dk_it
  //   dexponent     = sum_it dk_it ln(s + 1e-4) / 2 (s + 1e-4)^(exponent / 2)
  KPAC_ADAPTING_KERNEL_GRADIENT,

  // y.
  KPAC_WINDOWED_SUM,

  // Of a sum without bias_image and softmax, which are left to the caller: of y = softmax(z) the
  // gradient by z is y_i[o] (u_i[o] - sum_o y_i[o] u_i[o]), and that by an image is that by z.

  // With u_i = dL/dy_i (`upstream`), for a full filter:
  //
  //   dx[j]     = sum over (i, t) with j(i, t) = j of K_it W_t u_i
  //   dK_it     = <x_j(i,t), W_t u_i>
  //   dW_t      = sum_i K_it x_j(i,t) u_i^T
  //   dbias     = sum_i u_i
  //
  // for a shared filter or pooling dK_it[c] = w_t x_j(i,t)[c] u_i[c] (summed over c unless
  // channel_wise) and dw_t = sum_i,c K_it[c] x_j(i,t)[c] u_i[c]. Where K comes from the guide, dK
  // goes on to guide, center, alpha and exponent as above.
  KPAC_WINDOWED_SUM_GRADIENT
} kpac_function;

typedef struct {
  int32_t function;  // kpac_function
  kpac_sizes sizes;
  kpac_inputs inputs;
  kpac_outputs outputs;
} kpac_call;

// `run` calls part(job, begin, end, worker) for ranges that cover 0 ... count - 1, each once, and
// returns when all are done. No two calls that run at the same time have the same worker, and
// 0 <= worker < workers.
typedef struct {
  void* context;
  int32_t workers;
  void (*run)(void* context, int64_t count,
              void (*part)(void* job, int64_t begin, int64_t end, int32_t worker), void* job);
} kpac_parallel_for;

// Unless it is KPAC_OK, the outputs hold no results, and an error text of at most error_size bytes
// says why.
typedef enum {
  KPAC_OK,
  KPAC_INVALID,    // the text says which rule was broken and by what
  KPAC_NO_MEMORY,  // on the CPU: there is no memory to plan a call with
  KPAC_CUDA_ERROR
} kpac_status;

// In a library that hides all other names.
#pragma GCC visibility push(default)

// Checks the function, its sizes and options, and which inputs are there: all that it relies on but
// the outputs and the extent of the memory behind the pointers.
kpac_status kpac_check(const kpac_call* call, char* error, size_t error_size);

// Checks, after such a kpac_check, which outputs are there.
kpac_status kpac_check_outputs(const kpac_call* call, char* error, size_t error_size);

// How many elements are behind each pointer of a call after such a kpac_check, if it is not NULL: 10
// numbers each, in the order of kpac_inputs and of kpac_outputs.
void kpac_elements(const kpac_call* call, int64_t* inputs, int64_t* outputs);

// Bytes of workspace that a call needs, after a kpac_check that returned KPAC_OK. Of the pointers
// it only asks which are NULL. -1 if they can't be counted, for want of memory.
int64_t kpac_cpu_workspace(const kpac_call* call, int32_t workers);

// Checks a call and runs it. The workspace is aligned as by malloc.
kpac_status kpac_cpu_run(const kpac_call* call, void* workspace,
                         const kpac_parallel_for* parallel_for, char* error, size_t error_size);

// A parallel-for of the calling thread and workers - 1 threads of this library's own, which wait for
// work from the first call on.
kpac_parallel_for kpac_cpu_threads(int32_t workers);

// "avx512", "avx2" or "generic": which vector code runs on this processor.
const char* kpac_cpu_instructions(void);

// The same on the current CUDA device, asynchronously on `stream` (a cudaStream_t); all pointers
// are device pointers. Only in libraries built with CUDA.
int64_t kpac_cuda_workspace(const kpac_call* call);
kpac_status kpac_cuda_run(const kpac_call* call, void* workspace, void* stream, char* error,
                          size_t error_size);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
