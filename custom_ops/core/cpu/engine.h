// One entry point for each set of instructions.
#pragma once

#include "../keras_pac.h"

// Runs a call, after its check, and returns the bytes of workspace that it needs. Without a
// `parallel_for.run` it only counts these.
typedef int64_t kpac_engine(const kpac_call& call, void* workspace,
                            const kpac_parallel_for& parallel_for);

extern "C" kpac_engine kpac_engine_generic, kpac_engine_avx2, kpac_engine_avx512;
