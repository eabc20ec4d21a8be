/// Parameters as layers see them, and where they come from.
#pragma once
#include <cstdint>
#include <string>

#include "core/array.hpp"
#include "core/error.hpp"
#include "layers/tap.hpp"
#include "ops/weight.hpp"

namespace pipeformer {

/// One trained tensor. value points into a mapped model file (inference) or into an arena (training); gradient is null
/// in inference. Where values change, version points at a number that changes with them.
struct Parameter {
  const float* value = nullptr;
  float* gradient = nullptr;
  const std::uint64_t* version = nullptr;
};

/// The weight of a product or a table of embeddings, as it is stored. Trained ones are float32.
struct Weight {
  WeightView stored;
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
class ParameterSource : public TapSource {
 public:
  virtual ~ParameterSource() = default;
  virtual Parameter get(const std::string& name, const Shape& shape, Initial initial) = 0;
  /// A parameter of two axes for one who can read it as it is stored; get() widens.
  virtual Weight get_weight(const std::string& name, const Shape& shape, Initial initial) {
    const Parameter p = get(name, shape, initial);
    return {{p.value, shape.at(0), shape.at(1)}, p.gradient, p.version};
  }
};

/// A source of parameters that are stored somewhere, so that it can be asked what there is.
class StoredParameters : public ParameterSource {
 public:
  virtual bool has(const std::string& name) const = 0;
  virtual Shape shape(const std::string& name) const = 0;  ///< Throws Error when there is no such parameter.
  virtual std::string where() const { return ""; }         ///< "model.h5: ", to begin messages with.
  /// For a result that is not finite: throws Error that names the first parameter taken from here that holds NaN or
  /// infinity, and returns when there is none. (Looking at each parameter beforehand would read the whole model.)
  virtual void require_finite() const {}
  /// require_finite() when one of the n results is not finite.
  void explain(const float* results, std::int64_t n) const {
    if (!all_finite(results, n)) require_finite();
  }
  /// Runs a step that checks its results itself: its error gives way to the name of a parameter.
  template <class Step>
  auto explaining(const Step& step) const {
    try {
      return step();
    } catch (const Error&) {
      require_finite();
      throw;
    }
  }
};

}  // namespace pipeformer
