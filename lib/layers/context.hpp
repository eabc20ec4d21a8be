/// Context: what a forward or backward pass carries through the layers.
#pragma once
#include <cstdint>
#include <string>

#include "core/ragged.hpp"
#include "core/random.hpp"
#include "core/workspace.hpp"

namespace pipeformer {

/// Sees intermediates by name as they are computed (law 5): "encoder/0/self_attn/query", "encoder/0/norm1", ... Looking
/// never changes a result.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual bool wants(const std::string& name) const = 0;
  /// One matrix of rows (ragged.rows(), width).
  virtual void rows(const std::string& name, const float* x, std::int64_t width, const Ragged& ragged) = 0;
  /// Attention weights: [sequence * heads + head] -> (Tq, Tk).
  virtual void weights(const std::string& name, std::int64_t heads, const float* const* weights, const Ragged& queries,
                       const Ragged& keys) = 0;
};

struct DropoutRates {
  float residual = 0;    ///< On each sublayer's output and on the embeddings (the paper's P_drop).
  float attention = 0;   ///< On attention weights.
  float activation = 0;  ///< Inside the feed-forward layer.
  float layer = 0;       ///< Of whole layers, for a whole batch (Fan, Grave, Joulin 2020, LayerDrop).
};

/// The position in the whole batch of the rows and sequences that are computed together.
struct BatchOffset {
  std::int64_t row = 0, sequence = 0;
};

struct Context {
  Workspace& workspace;
  bool training = false;  ///< Dropout on; intermediates are kept for backward.
  DropoutRates dropout{};
  std::uint64_t seed = 0;  ///< Of this step's random numbers.
  Observer* observer = nullptr;
  BatchOffset
      first{};  ///< Dropout is drawn by the row in the whole batch, so that it does not depend on how it is cut.

  float rate(float p) const { return training ? p : 0.0f; }
  /// The seed of a layer's own random numbers. It depends on the name only: dropout set to 0 elsewhere, or a layer
  /// more, changes nothing here.
  std::uint64_t seed_of(const std::string& layer) const { return derive_seed(seed, hash_name(layer)); }
  bool watched(const std::string& name) const { return observer && observer->wants(name); }
  void show(const std::string& name, const float* x, std::int64_t width, const Ragged& ragged) const {
    if (watched(name)) observer->rows(name, x, width, ragged);
  }
};

}  // namespace pipeformer
