/// Pairs whose vectors are compared (Radford et al. 2021): the loss of a batch needs the vectors of all its pairs,
/// which need not all have been computed at once, nor by one rank. They are computed twice, first to have them all,
/// then, part by part, to bring the gradients of the vectors back (Gao et al. 2021, GradCache): both passes draw the
/// same dropout, and memory is needed for one part alone.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "layers/context.hpp"
#include "models/model_file.hpp"
#include "models/transformer.hpp"
#include "ops/pair_cross_entropy.hpp"
#include "train/communicator.hpp"
#include "train/examples.hpp"

namespace pipeformer {

class PairEncoders {
 public:
  /// models: one for both sides, or that of the sources and that of the targets. The arena holds logit_scale.
  PairEncoders(const std::vector<Transformer>& models, ParameterArena&);

  /// A fresh model's scale, 1 / 0.07.
  void initialize();
  /// After an update: the scale is at most 100.
  void limit_scale();

  struct Pass {
    DropoutRates dropout;
    CrossEntropyForm form;
    bool recompute = false;        ///< As in Context.
    const Probe* probe = nullptr;  ///< Sees the sources of the batch, then its targets.
  };
  /// parts: those of a batch of `pairs` that are this rank's. Adds to the gradients, this rank's share of them. The sum
  /// over the batch is the first rank's result, that of the others is 0.
  LossSums train(std::span<const MicroBatch> parts, std::int64_t pairs, const Pass&, Communicator&, Workspace&) const;
  /// All examples as one batch, the same on all ranks; tokens: of a part.
  PairCrossEntropy validate(const Examples&, std::int64_t tokens, Communicator&, Workspace&) const;

 private:
  enum Side { sources, targets };
  /// Of one side, or their gradients: (pairs, width).
  using Vectors = Buffer<float>;
  const Transformer& model(Side side) const { return *models_[side]; }
  Context context(Workspace&, const MicroBatch&, Side, const Pass&) const;
  /// Puts the vectors of a part where they are in the batch.
  void encode(Context&, Side, const ExampleBatch&, Vectors&) const;
  void backward(Context&, Side, const ExampleBatch&, const Vectors& gradients) const;
  PairVectors compared(std::int64_t pairs, const Vectors (&vectors)[2]) const;

  const Transformer* models_[2];
  ParameterArena& arena_;
  std::int64_t scale_;  ///< Where logit_scale is in the arena.
  std::int64_t width_;
};

}  // namespace pipeformer
