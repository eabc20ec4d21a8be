#include <cstdlib>
#include <string_view>

#include "ops/kernels/kernels.hpp"

namespace pipeformer {

#if defined(PIPEFORMER_X86)
extern const Kernels kernels_avx512;
extern const Kernels kernels_avx2;
#endif
extern const Kernels kernels_generic;

namespace {

const Kernels& choose() {
  const char* forced = std::getenv("PIPEFORMER_ISA");
  [[maybe_unused]] const std::string_view wanted = forced ? forced : "";
#if defined(PIPEFORMER_X86)
  __builtin_cpu_init();
  if ((wanted.empty() || wanted == "avx512") && __builtin_cpu_supports("x86-64-v4")) return kernels_avx512;
  if ((wanted.empty() || wanted == "avx512" || wanted == "avx2") && __builtin_cpu_supports("x86-64-v3"))
    return kernels_avx2;
#endif
  return kernels_generic;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace pipeformer
