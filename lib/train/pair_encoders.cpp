#include "train/pair_encoders.hpp"

#include <algorithm>

#include "core/elementary.hpp"
#include "core/error.hpp"
#include "models/sequence_vectors.hpp"
#include "models/towers.hpp"
#include "train/epoch_plan.hpp"

namespace pipeformer {
namespace {

constexpr double kFirstScale = 1 / 0.07, kLargestScale = 100;  // Radford et al. 2021, section 2.5

Transformer::Source side_of(const ExampleBatch& examples, bool targets) {
  return targets ? examples.target_source() : examples.view().source;
}

}  // namespace

PairEncoders::PairEncoders(const std::vector<Transformer>& models, ParameterArena& arena)
    : models_{&models.front(), &models.back()},
      arena_(arena),
      scale_(arena.entry(kLogitScale).offset),
      width_(sequence_vector_width(models.front().configuration())) {
  const std::int64_t other = sequence_vector_width(models.back().configuration());
  require(width_ == other, "vectors of width ", width_, " cannot be compared with those of width ", other,
          "; --projection gives both models one width");
}

void PairEncoders::initialize() {
  arena_.mutable_values()[scale_] = static_cast<float>(elementary::log(kFirstScale));
}

void PairEncoders::limit_scale() {
  float* scale = arena_.mutable_values() + scale_;
  *scale = std::min(*scale, static_cast<float>(elementary::log(kLargestScale)));
}

Context PairEncoders::context(Workspace& workspace, const MicroBatch& part, Side side, const Pass& pass) const {
  Context ctx{workspace, true, pass.dropout, side == sources ? part.seed : derive_seed(part.seed, hash_name("target"))};
  ctx.recompute = pass.recompute;
  return ctx;
}

void PairEncoders::encode(Context& ctx, Side side, const ExampleBatch& examples, Vectors& vectors) const {
  const WorkspaceScope scope(ctx.workspace);
  SequenceVectors saved;
  const float* rows = sequence_vectors(ctx, model(side), side_of(examples, side == targets), saved);
  std::copy_n(rows, examples.sequences() * width_, vectors.data() + examples.source_first.sequence * width_);
}

void PairEncoders::backward(Context& ctx, Side side, const ExampleBatch& examples, const Vectors& gradients) const {
  const WorkspaceScope scope(ctx.workspace);
  const Transformer::Source source = side_of(examples, side == targets);
  SequenceVectors saved;
  sequence_vectors(ctx, model(side), source, saved);
  sequence_vectors_backward(ctx, model(side), source, saved,
                            gradients.data() + examples.source_first.sequence * width_);
}

PairVectors PairEncoders::compared(std::int64_t pairs, const Vectors (&vectors)[2]) const {
  return {pairs, width_, vectors[sources].data(), vectors[targets].data(), arena_.values()[scale_]};
}

LossSums PairEncoders::train(std::span<const MicroBatch> parts, std::int64_t pairs, const Pass& pass,
                             Communicator& ranks, Workspace& workspace) const {
  Vectors vectors[2], gradients[2];
  for (const Side side : {sources, targets}) {
    vectors[side].assign(static_cast<std::size_t>(pairs * width_), 0.0f);
    gradients[side].assign(static_cast<std::size_t>(pairs * width_), 0.0f);
    for (const MicroBatch& part : parts) {
      Context ctx = context(workspace, part, side, pass);
      encode(ctx, side, part.examples, vectors[side]);
    }
    ranks.sum(vectors[side]);  // each row is one rank's, and zeros elsewhere
  }
  float d_scale = 0;
  const PairGradients to{gradients[sources].data(), gradients[targets].data(), &d_scale};
  const PairCrossEntropy result = pair_cross_entropy(compared(pairs, vectors), pass.form, workspace, &to);
  if (ranks.first()) arena_.gradients()[scale_] += d_scale;
  for (const Side side : {sources, targets})
    for (const MicroBatch& part : parts) {
      Context ctx = context(workspace, part, side, pass);
      ctx.probe = pass.probe;
      backward(ctx, side, part.examples, gradients[side]);
    }
  return ranks.first() ? result.total : LossSums{};
}

PairCrossEntropy PairEncoders::validate(const Examples& examples, std::int64_t tokens, Communicator& ranks,
                                        Workspace& workspace) const {
  const EpochPlan plan = plan_validation(examples, tokens);
  const auto pairs = static_cast<std::int64_t>(plan.order.size());
  Vectors vectors[2];
  for (Vectors& side : vectors) side.assign(static_cast<std::size_t>(pairs * width_), 0.0f);
  ExampleBatch batch;
  for (std::int64_t b = ranks.rank(); b < plan.batches(); b += ranks.size()) {
    batch.clear();
    batch.source_first.sequence = plan.begin(b);
    for (std::int64_t i = plan.begin(b); i < plan.end(b); ++i)
      examples.append(plan.order[static_cast<std::size_t>(i)], 0, batch);
    for (const Side side : {sources, targets}) {
      Context ctx{workspace, false};
      encode(ctx, side, batch, vectors[side]);
    }
  }
  for (Vectors& side : vectors) ranks.sum(side);
  return pair_cross_entropy(compared(pairs, vectors), {}, workspace, nullptr);
}

}  // namespace pipeformer
