/// Which instructions the kernels of this process use.
#pragma once

namespace pipeformer {

/// "generic", "avx2", "avx512" or "neon": the best that this processor has, unless PIPEFORMER_ISA names another. All
/// give the same bits; generic is slow.
const char* instruction_set();

}  // namespace pipeformer
