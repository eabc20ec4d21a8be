/// Products with weights of 8 and 4 bits: lib/ops/gemm.hpp hands them on to here.
#pragma once
#include "core/matrix.hpp"
#include "ops/weight.hpp"

namespace pipeformer {

struct IntegerKernels;
/// The fastest way of this processor to multiply weights of int8 or int4.
const IntegerKernels& integer_kernels(WeightType);

/// Bytes of B = w^T, w (n, k), packed.
std::int64_t integer_packed_bytes(std::int64_t n, std::int64_t k, WeightType type);
void integer_pack(const WeightView& w, void* packed);

/// c (m, n) = a (m, k) B + bias (n), the rows of a quantised on the way: for each row and column one exact sum of
/// integers, times the product of both scales, plus the bias in one fused multiply-add; of int4 such a sum for each
/// group of a scale (lib/ops/kernels/int4.hpp). A row of a that holds NaN or infinity gives NaN. `packed` is B, or not
/// there: then panels of w are packed as they are used. Throws Error when k is more than kInt8Depth.
void integer_product(const MatrixView& a, const PackedView& packed, const WeightView& w, const float* bias,
                     const MutableMatrixView& c);

}  // namespace pipeformer
