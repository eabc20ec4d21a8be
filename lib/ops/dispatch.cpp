#include <cstdlib>
#include <string_view>

#include "core/error.hpp"
#include "ops/instruction_set.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {

#if defined(PIPEFORMER_X86)
extern const Kernels kernels_avx512;
extern const Kernels kernels_avx2;
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

const Kernels& choose() {
  const char* forced = std::getenv("PIPEFORMER_ISA");
  const std::string_view wanted = forced ? forced : "";
  // A name that is misspelt must not choose another set in silence; one that this processor lacks means the next below.
  require(wanted.empty() || wanted == "avx512" || wanted == "avx2" || wanted == "generic", "PIPEFORMER_ISA is '",
          wanted, "', which is none of avx512, avx2, generic");
#if defined(PIPEFORMER_X86)
  __builtin_cpu_init();
  if ((wanted.empty() || wanted == "avx512") && has_avx512()) return kernels_avx512;
  if ((wanted.empty() || wanted == "avx512" || wanted == "avx2") && has_avx2()) return kernels_avx2;
#endif
  return kernels_generic;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

const char* instruction_set() {
  return kernels().name;
}

}  // namespace pipeformer
