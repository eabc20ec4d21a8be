#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "core/error.hpp"
#include "ops/instruction_set.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {

#if defined(PIPEFORMER_X86)
extern const Kernels kernels_avx512;
extern const Kernels kernels_avx2;
#elif defined(PIPEFORMER_ARM)
extern const Kernels kernels_neon;
#endif
extern const Kernels kernels_generic;

namespace {

#if defined(PIPEFORMER_X86)
// The levels x86-64-v3 and v4 by their features: clang 14 does not know their names, nor F16C, LZCNT and MOVBE, which
// every processor with these has.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

struct Available {
  const Kernels* tables[4] = {};
};

Available find_available() {
  Available found;
  const Kernels** next = found.tables;
#if defined(PIPEFORMER_X86)
  __builtin_cpu_init();
  if (has_avx512()) *next++ = &kernels_avx512;
  if (has_avx2()) *next++ = &kernels_avx2;
#elif defined(PIPEFORMER_ARM)
  *next++ = &kernels_neon;
#endif
  *next = &kernels_generic;
  return found;
}

const Kernels& choose() {
  const char* forced = std::getenv("PIPEFORMER_ISA");
  const std::string_view wanted = forced ? forced : "";
  constexpr std::string_view kNames[] = {"avx512", "avx2", "neon", "generic"};  // best first
  const auto* const rank = std::find(std::begin(kNames), std::end(kNames), wanted);
  // A name that is misspelt must not choose another set in silence; one that this processor lacks means the next below.
  require(wanted.empty() || rank != std::end(kNames), "PIPEFORMER_ISA is '", wanted,
          "', which is none of avx512, avx2, neon, generic");
  const Kernels* const* table = available_kernels();
  if (!wanted.empty())
    while (std::find(std::begin(kNames), std::end(kNames), (*table)->name) < rank) ++table;
  return **table;
}

}  // namespace

const Kernels* const* available_kernels() {
  static const Available available = find_available();
  return available.tables;
}

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

const char* instruction_set() {
  return kernels().name;
}

}  // namespace pipeformer
