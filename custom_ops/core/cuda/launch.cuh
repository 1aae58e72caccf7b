// Two ways to run a body, and the same two emulated on a CPU.
//
//   for_each    body(index) for index = 0 ... count - 1
//   run_blocks  blocks of threads with shared memory; the body is cut into phases between barriers:
//
//     begin; before every round: prepare, if it is wanted; advance; ...; spill; finish
//
// With KPAC_EMULATE the launches become host loops: all threads of a phase run one after another,
// in ascending or descending order (a race within a phase shows as a difference between the two).
// Grids are one-dimensional and strided, so no count is too large for one.
#pragma once

#include "types.cuh"

#ifdef KPAC_EMULATE
#include <memory>
#include <vector>
#else
#include <cuda_runtime.h>
#endif

namespace kpac::cuda {

#ifdef KPAC_EMULATE

using Stream = void*;
extern bool emulate_descending;

template <typename Body>
void for_each(Stream, int64_t count, const Body& body) {
  for (int64_t k = 0; k < count; ++k) body(emulate_descending ? count - 1 - k : k);
}

template <typename Body>
void run_blocks(Stream, int64_t blocks, const Body& body) {
  std::unique_ptr<typename Body::Shared> shared(new typename Body::Shared);
  std::vector<typename Body::Registers> registers(Body::kThreads);
  auto threads = [&](auto phase) {
    for (int k = 0; k < Body::kThreads; ++k) {
      int thread = emulate_descending ? Body::kThreads - 1 - k : k;
      phase(thread, registers[thread]);
    }
  };
  using R = typename Body::Registers;
  for (int64_t k = 0; k < blocks; ++k) {
    int64_t block = emulate_descending ? blocks - 1 - k : k;
    threads([&](int thread, R& r) { body.begin(block, thread, *shared, r); });
    int64_t rounds = body.rounds(*shared);
    for (int64_t round = 0; round < rounds; ++round) {
      if (body.wants_prepare(round, registers[0])) {
        threads([&](int thread, R& r) { body.prepare(round, thread, *shared, r); });
      }
      threads([&](int thread, R& r) { body.advance(round, thread, *shared, r); });
    }
    threads([&](int thread, R& r) { body.spill(thread, *shared, r); });
    threads([&](int thread, R& r) { body.finish(thread, *shared, r); });
  }
}

#else

using Stream = cudaStream_t;

template <typename Body>
__global__ void for_each_kernel(int64_t count, const Body body) {
  int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < count;
       k += step) {
    body(k);
  }
}

template <typename Body>
__global__ void __launch_bounds__(Body::kThreads)
    run_blocks_kernel(int64_t blocks, const Body body) {
  __shared__ typename Body::Shared shared;
  int thread = threadIdx.x;
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    typename Body::Registers registers;
    body.begin(block, thread, shared, registers);
    __syncthreads();
    int64_t rounds = body.rounds(shared);
    for (int64_t round = 0; round < rounds; ++round) {
      if (body.wants_prepare(round, registers)) {
        body.prepare(round, thread, shared, registers);
        __syncthreads();
      }
      body.advance(round, thread, shared, registers);
      __syncthreads();
    }
    body.spill(thread, shared, registers);
    __syncthreads();
    body.finish(thread, shared, registers);
    __syncthreads();
  }
}

constexpr int64_t kMostBlocks = 1 << 24;

template <typename Body>
void for_each(Stream stream, int64_t count, const Body& body) {
  if (count <= 0) return;
  constexpr int kThreads = 128;
  int64_t blocks = ceil_divide(count, kThreads);
  unsigned grid = static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
  for_each_kernel<<<grid, kThreads, 0, stream>>>(count, body);
}

template <typename Body>
void run_blocks(Stream stream, int64_t blocks, const Body& body) {
  if (blocks <= 0) return;
  unsigned grid = static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
  run_blocks_kernel<<<grid, Body::kThreads, 0, stream>>>(blocks, body);
}

#endif

// Launches on a stream, and cuts the caller's workspace into arrays. While `measuring`, it launches
// nothing and only adds up the bytes of the arrays.
struct Launcher {
  Stream stream;
  char* memory;
  bool measuring;
  int64_t bytes;

  template <typename T>
  T* take(int64_t count) {
    T* array = measuring ? nullptr : reinterpret_cast<T*>(memory + bytes);
    bytes += (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
    return array;
  }
  template <typename Body>
  void for_each(int64_t count, const Body& body) const {
    if (!measuring) cuda::for_each(stream, count, body);
  }
  template <typename Body>
  void run_blocks(int64_t blocks, const Body& body) const {
    if (!measuring) cuda::run_blocks(stream, blocks, body);
  }
};

}  // namespace kpac::cuda
