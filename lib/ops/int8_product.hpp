/// Products with weights of 8 bits: lib/ops/gemm.hpp hands them on to here.
#pragma once
#include "core/matrix.hpp"
#include "ops/weight.hpp"

namespace pipeformer {

struct Int8Kernels;
/// The fastest way of this processor.
const Int8Kernels& int8_kernels();

/// Bytes of B = w^T, w (n, k), packed.
std::int64_t int8_packed_bytes(std::int64_t n, std::int64_t k);
void int8_pack(const WeightView& w, void* packed);

/// c (m, n) = a (m, k) B + bias (n), the rows of a quantised on the way: for each row and column one exact sum of
/// integers, times the product of both scales, plus the bias in one fused multiply-add. A row of a that holds NaN or
/// infinity gives NaN. `packed` is B, or not there: then panels of w are packed as they are used. Throws Error when k
/// is more than kInt8Depth.
void int8_product(const MatrixView& a, const PackedView& packed, const WeightView& w, const float* bias,
                  const MutableMatrixView& c);

}  // namespace pipeformer
