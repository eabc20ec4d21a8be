/// Forced decoding: what a model makes of targets that are given, all positions at once. The decoder reads begin and
/// the target, so a target of T ids gives T + 1 rows: row t is the prediction of id t, the last one that of the end.
#pragma once
#include <functional>
#include <string>

#include "io/batch.hpp"
#include "models/transformer.hpp"
#include "search/search.hpp"

namespace pipeformer {

/// The arrays written for each target (..., T).
enum class Give {
  hidden,             ///< (..., T + 1, width) after the final norm
  logits,             ///< (..., T + 1, vocabulary)
  log_probabilities,  ///< (..., T + 1): of each id and of the end
};
Give give_from_name(const std::string&);  ///< "hidden", "logits", "log-probabilities"

/// Writes the cross-attention weights of one layer as they are computed, for each target a record (..., heads, T + 1,
/// S), or (..., T + 1, S) of their mean over the heads. Another observer may look on.
class WeightsWriter : public Observer {
 public:
  /// layer: from 0; -1 is the last. Throws Error when the model has no such layer or no cross-attention.
  WeightsWriter(const std::string& address, const Configuration&, std::int64_t layer, bool mean);
  /// The batches whose weights come next, and who else wants to see what is computed (may be null).
  void expect(const Batch& queries, const Batch& keys, Observer* other);
  void close() { writer_->close(); }

  bool wants(const std::string& name) const override { return name == name_ || (other_ && other_->wants(name)); }
  void rows(const std::string& name, const float* x, std::int64_t width, const Ragged& ragged) override;
  void weights(const std::string& name, std::int64_t heads, const float* const* weights, const Ragged& queries,
               const Ragged& keys) override;

 private:
  std::string name_;
  bool mean_;
  std::unique_ptr<RecordWriter> writer_;
  const Batch *queries_ = nullptr, *keys_ = nullptr;
  Observer* other_ = nullptr;
};

/// Decodes targets against the inputs of the same numbers (source ids or memory vectors; of a decoder-only model the
/// prompts, which are read before the targets); ctx.observer sees it, and so does `weights`, which may be null. Returns
/// what writes what is asked for to `writer`; until then the workspace and the context must stay. Without a writer
/// nothing more is computed. Throws RowError of a row of the input when prompt and target are longer than the model's
/// learned positions.
std::function<void()> force_targets(Context& ctx, const Transformer&, const Batch& input, const Batch& targets, Give,
                                    RecordWriter* writer, WeightsWriter* weights);

/// Writes the cross-attention weights of generated outputs: of each sequence of the input so many records as it has
/// hypotheses, about batch_rows positions computed at a time.
void force_outputs(Workspace&, const Transformer&, const Batch& input,
                   const std::vector<std::vector<Hypothesis>>& outputs, std::int64_t batch_rows,
                   WeightsWriter& weights);

}  // namespace pipeformer
