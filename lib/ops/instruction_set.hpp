/// Which instructions the kernels of this process use.
#pragma once

namespace pipeformer {

/// "generic", "avx2" or "avx512": the best that this processor has, unless PIPEFORMER_ISA names another.
const char* instruction_set();

}  // namespace pipeformer
