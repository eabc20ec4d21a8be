/// Parameters as layers see them, and where they come from.
#pragma once
#include <cstdint>
#include <string>

#include "core/array.hpp"

namespace pipeformer {

/// One trained tensor. value points into a mapped model file (inference) or into an arena (training); gradient is null
/// in inference. Where values change, version points at a number that changes with them.
struct Parameter {
  const float* value = nullptr;
  float* gradient = nullptr;
  const std::uint64_t* version = nullptr;
};

/// How a fresh parameter is drawn.
enum class Initial {
  xavier,     ///< Uniform over +-sqrt(6 / (in + out)) (Glorot, Bengio 2010), the paper's code and nn.Transformer.
  embedding,  ///< Normal with standard deviation 1 / sqrt(d).
  zero,
  one,
};

/// Layers are built by asking a source for each of their parameters, by the name it has in a model file
/// ("encoder/0/norm1/weight") and its shape. One source lists them (to make a model), one binds them to a file or an
/// arena; the structure is written down once.
class ParameterSource {
 public:
  virtual ~ParameterSource() = default;
  virtual Parameter get(const std::string& name, const Shape& shape, Initial initial) = 0;
};

/// A source of parameters that are stored somewhere, so that it can be asked what there is.
class StoredParameters : public ParameterSource {
 public:
  virtual bool has(const std::string& name) const = 0;
  virtual Shape shape(const std::string& name) const = 0;  ///< Throws Error when there is no such parameter.
  virtual std::string where() const { return ""; }         ///< "model.h5: ", to begin messages with.
};

}  // namespace pipeformer
