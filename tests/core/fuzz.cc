// Random problems through the C interface of the core, against reference.h.
//
//   fuzz SEED COUNT             valid and invalid problems SEED, SEED + 1, ...
//   fuzz SEED COUNT --threads   every one with 1, 2 and 4 threads, bitwise equal
//   fuzz SEED COUNT --differences   gradients in float64 against finite differences instead
//
// A failure prints its seed: `fuzz THAT_SEED 1` repeats it.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "differences.h"
#include "invalid.h"
#include "run.h"

namespace fuzz {
namespace {

// Moderate multiples of the rounding unit of the type that everything is computed in; see Number.
// Vectorized exponentials and sums of thousands of terms take most of it.
double tolerance(int32_t type) { return type == KPAC_FLOAT64 ? 1e-12 : 2e-5; }

std::string compare(const std::string& name, const Buffer& buffer, int32_t type,
                    const reference::Numbers& expected) {
  if (buffer.count() != static_cast<int64_t>(expected.size())) return name + " has another size";
  // Values that rounding may have carried to infinity need not be finite.
  const double largest = buffer.type() == KPAC_FLOAT16 ? 65504 : 1e38;
  for (int64_t i = 0; i < buffer.count(); ++i) {
    const double got = buffer.get(i), value = expected[i].value;
    const double size = std::max(expected[i].size, std::abs(value));
    double allowed = tolerance(type) * size;
    if (buffer.type() != wide(type))  // stored in a smaller type: rounded once more
      allowed += 1.01 * unit(type) * (std::abs(value) + allowed) + 0x1p-25;
    if (std::abs(value) + allowed > largest && std::abs(got) >= largest * 0.999) continue;
    if (!(std::abs(got - value) <= allowed)) {
      char text[300];
      std::snprintf(text, sizeof text, "%s[%lld] is %.17g, must be %.17g +- %.3g", name.c_str(),
                    static_cast<long long>(i), got, value, allowed);
      return text;
    }
  }
  return "";
}

std::string compare_all(const Problem& p, const Data& data, const Results& results) {
  if (!results.error.empty()) return results.error;
  const reference::Inputs inputs = reference_inputs(p, data);
  std::map<std::string, reference::Numbers> expected;
  reference::Gradients g;
  if (p.sum) {
    expected["result"] = reference::windowed_sum(p.sizes, inputs);
    g = reference::windowed_sum_gradient(p.sizes, inputs, data.upstream.data());
  } else {
    const reference::AdaptingKernel adapting = reference::adapting_kernel(p.sizes, inputs);
    expected["result"] = adapting.adapting;
    expected["output_mask"] = reference::output_mask(adapting);
    const reference::Numbers upstream(data.upstream.begin(), data.upstream.end());
    reference::adapting_kernel_gradient(p.sizes, inputs, adapting, upstream, &g);
  }
  const reference::Numbers* gradients[INPUTS] = {
      &g.x,     &g.adapting_kernel, &g.guide,  &g.center, nullptr,
      &g.alpha, &g.exponent,        &g.filter, &g.bias};
  for (int input = 0; input < INPUTS; ++input)
    if (p.wanted[input])
      expected[std::string("gradient of ") + kInputNames[input]] = *gradients[input];
  for (const auto& [name, buffer] : results.buffers) {
    const std::string failure = compare(name, buffer, p.sizes.type, expected.at(name));
    if (!failure.empty()) return failure;
  }
  return "";
}

std::string compare_bits(const Results& one, const Results& other, int32_t workers) {
  for (const auto& [name, buffer] : one.buffers)
    if (std::memcmp(buffer.data(), other.buffers.at(name).data(), buffer.bytes()) != 0)
      return name + " differs between 1 and " + std::to_string(workers) + " workers";
  return "";
}

std::string try_valid(Random& random, const Problem& p, bool threads) {
  const Data data = draw_data(random, p);
  kpac_call without_upstream = core_call(p, data, p.backward());
  without_upstream.inputs.upstream = nullptr;
  if (kpac_check(&without_upstream, nullptr, 0) != KPAC_INVALID) return "upstream is not missed";
  kpac_call as_forward = core_call(p, data, p.forward());
  as_forward.function = p.backward();
  if (p.sizes.bias_image || p.sizes.softmax)
    if (kpac_check(&as_forward, nullptr, 0) != KPAC_INVALID) return "a gradient of a softmax";
  const Results results =
      run_core(p, data, threads ? Pool{Order::kThreads, 1, 1} : draw_pool(random));
  std::string failure = compare_all(p, data, results);
  if (!threads && !random.chance(0.1)) return failure;
  for (int32_t workers : {1, 2, 4}) {
    if (!failure.empty()) return failure;
    const Pool pool{Order::kThreads, workers, random.pick({1, 2, 5})};
    const Results again = run_core(p, data, pool);
    failure = again.error.empty() ? compare_bits(results, again, workers) : again.error;
  }
  return failure;
}

std::string try_invalid(Random& random, const Problem& p, const char* rule) {
  static const double something = 0;
  const void* at[INPUTS];
  for (int input = 0; input < INPUTS; ++input) at[input] = p.has[input] ? &something : nullptr;
  const kpac_inputs inputs{at[X],     at[ADAPTING_KERNEL], at[GUIDE],  at[CENTER], at[VALID_MASK],
                           at[ALPHA], at[EXPONENT],        at[FILTER], at[BIAS],   &something};
  for (kpac_function function : {p.forward(), p.backward()}) {
    const size_t room = static_cast<size_t>(random.pick({2, 20, 200, 1000}));
    Buffer error(KPAC_FLOAT16, static_cast<int64_t>(room / 2));
    char* text = static_cast<char*>(error.data());
    const kpac_call call{function, p.sizes, inputs, {}};
    const kpac_status status = kpac_check(&call, text, room);
    if (status != KPAC_INVALID) return std::string("not refused: ") + rule;
    if (!std::memchr(text, 0, room)) return std::string("error text without end: ") + rule;
    if (text[0] == 0) return std::string("no error text: ") + rule;
  }
  return "";
}

Limits draw_limits(Random& random) {
  Limits limits;
  const double kind = random.uniform(0, 1);
  if (kind < 0.15) limits = {4e5, true};
  if (kind < 0.01) limits = {4e6, true};
  return limits;
}

int fuzz(uint64_t first, uint64_t count, bool threads, bool differences) {
  uint64_t valid = 0, invalid = 0, failures = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    Random random(Random(seed).next());
    Problem p;
    std::string failure;
    const char* rule = "";
    if (differences) {
      p = draw_problem(random, {400, false, true});
      failure = compare_differences(random, p);
      ++valid;
    } else if (random.chance(0.25)) {
      p = draw_invalid_problem(random, {}, &rule);
      failure = try_invalid(random, p, rule);
      ++invalid;
    } else {
      p = draw_problem(random, draw_limits(random));
      failure = try_valid(random, p, threads);
      ++valid;
    }
    if (failure.empty()) continue;
    ++failures;
    std::printf("seed %llu: %s\n  %s\n", static_cast<unsigned long long>(seed), failure.c_str(),
                describe(p).c_str());
    std::fflush(stdout);
  }
  std::printf("%llu problems, %llu invalid, %llu failures; %s instructions\n",
              static_cast<unsigned long long>(valid + invalid),
              static_cast<unsigned long long>(invalid), static_cast<unsigned long long>(failures),
              kpac_cpu_instructions());
  return failures ? 1 : 0;
}

}  // namespace
}  // namespace fuzz

int main(int argc, char** argv) {
  bool threads = false, differences = false, usage = argc < 3;
  for (int i = 3; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--threads"))
      threads = true;
    else if (!std::strcmp(argv[i], "--differences"))
      differences = true;
    else
      usage = true;
  }
  if (usage) {
    std::fprintf(stderr, "usage: fuzz SEED COUNT [--threads | --differences]\n");
    return 2;
  }
  return fuzz::fuzz(std::strtoull(argv[1], nullptr, 10), std::strtoull(argv[2], nullptr, 10),
                    threads, differences);
}
