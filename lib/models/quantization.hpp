/// Weights of a model in fewer bits: 16-bit floats, or integers of 8 or 4 bits with scales (lib/ops/weight.hpp).
#pragma once
#include <string>
#include <vector>

#include "core/array.hpp"
#include "ops/weight.hpp"

namespace pipeformer {

/// Beside a weight `NAME` of int8 stands `NAME_scale`, float32, one for each row; of int4, whose dataset holds bytes
/// (rows, columns / 2) of two elements each, one for each 32 elements: (rows, groups).
constexpr const char* kScaleSuffix = "_scale";

/// "f32", "f16", "bf16", "int8", "int4".
const std::string& name_of(WeightType);
WeightType weight_type_from_name(const std::string&);  ///< Throws Error for an unknown name.

/// Elements of a weight in memory of their own.
struct OwnedWeight {
  Buffer<std::byte> elements;
  Buffer<float> scales;  ///< Of integers: row_scales for each row.
  WeightView view(WeightType type, std::int64_t rows, std::int64_t columns) const;
};

/// A weight's elements in another type, rounded to nearest even; to float32 from fewer bits, exact. Throws Error that
/// begins with `where` for NaN and infinity, and for a number that is too large for the type.
OwnedWeight convert(const WeightView& from, WeightType to, const std::string& where);

struct QuantizationOptions {
  WeightType type = WeightType::int8;
  std::vector<std::string> keep;  ///< Patterns of the names, as describe() shows them, of weights that stay.
};

/// Writes a model (or all models of a file of several) with its weights in another type: those of products and
/// embeddings, a tied one once. Everything else stays as it is; to float32 it is widened as well. Throws Error for a
/// pattern that no weight has.
void quantize_model(const std::string& address, const std::string& output, const QuantizationOptions&);

}  // namespace pipeformer
