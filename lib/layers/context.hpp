/// Context: what a forward or backward pass carries through the layers.
#pragma once
#include <cstdint>
#include <string>

#include "core/ragged.hpp"
#include "core/random.hpp"
#include "core/workspace.hpp"
#include "layers/tap.hpp"
#include "ops/kernel_types.hpp"

namespace pipeformer {

/// Which sequences of a stream, and which of their positions, those of a pass are.
struct Places {
  std::int64_t first = 0;                   ///< Number of the first sequence in the stream; the others follow it.
  const std::int64_t* numbers = nullptr;    ///< [sequence] Their numbers, where they do not.
  const std::int32_t* positions = nullptr;  ///< [sequence] The position of the first row; null: 0.
  bool growing = false;  ///< A sequence is being generated: there may be more positions of it at another time.
  std::int64_t number(std::int64_t s) const { return numbers ? numbers[s] : first + s; }
  std::int64_t position(std::int64_t s) const { return positions ? positions[s] : 0; }
  /// The same without the first s sequences.
  Places from(std::int64_t s) const {
    return {first + s, numbers ? numbers + s : nullptr, positions ? positions + s : nullptr, growing};
  }
};

/// Rows (ragged.rows(), width) of an intermediate.
struct TapRows {
  float* x;  ///< Of a gradient: not to be changed.
  std::int64_t width;
  Ragged ragged;
  Places places;
};

/// Attention scores or weights (rows, keys) of one head of one sequence: of `rows` of its queries.
struct TapMatrix {
  float* x;
  std::int64_t sequence;  ///< Its number in the stream.
  std::int64_t head;
  std::int64_t first;  ///< The position of the first row.
  std::int64_t rows, queries, keys;
  bool growing;       ///< There may be more queries at another time, ...
  bool growing_keys;  ///< ... and more keys.
};

/// Sees intermediates as they are computed (law 5), and may change them: what follows reads what it leaves. Looking
/// alone never changes a result.
class Probe {
 public:
  virtual ~Probe() = default;
  virtual bool wants(Tap) const = 0;
  virtual void rows(Tap, const TapRows&) const = 0;
  /// In the order of sequences, heads and rows.
  virtual void matrix(Tap, const TapMatrix&) const = 0;
  /// Nothing is computed for these sequences of the layer that this tap is of (`gradients`: back through it).
  virtual void left_out(Tap /*of_layer*/, const Ragged&, bool /*gradients*/) const {}
  /// The ids that these embeddings are of, for who keeps them beside what it sees.
  virtual void ids(Tap embeddings, const std::int32_t* ids, const Ragged& ragged) const = 0;
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
  const Probe* probe = nullptr;
  Places places{};  ///< For the probe.
  BatchOffset
      first{};  ///< Dropout is drawn by the row in the whole batch, so that it does not depend on how it is cut.
  /// What a decoder keeps keys and values as, its own and those of a memory: rounded so wherever they are attended to,
  /// so that a pass over a whole sequence gives what one position after another does.
  WeightType kept = WeightType::float32;
  bool recompute =
      false;  ///< Of a layer only its input is kept; its backward pass computes it again (Chen et al. 2016).

  float rate(float p) const { return training ? p : 0.0f; }
  /// The seed of a layer's own random numbers. It depends on the name only: dropout set to 0 elsewhere, or a layer
  /// more, changes nothing here.
  std::uint64_t seed_of(const std::string& layer) const { return derive_seed(seed, hash_name(layer)); }
  bool watched(Tap tap) const { return probe && probe->wants(tap); }
  void show(Tap tap, float* x, std::int64_t width, const Ragged& ragged) const {
    if (watched(tap)) probe->rows(tap, {x, width, ragged, places});
  }
  /// The gradient of the update's loss with respect to an intermediate, from its layer's backward pass.
  void show_gradient(Tap tap, const float* d, std::int64_t width, const Ragged& ragged) const {
    show({tap.gradient}, const_cast<float*>(d), width, ragged);
  }
};

}  // namespace pipeformer
