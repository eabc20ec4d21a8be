/// Forced decoding: what a model makes of targets that are given, all positions at once. The decoder reads begin and
/// the target, so a target of T ids gives T + 1 rows: row t is the prediction of id t, the last one that of the end.
#pragma once
#include <functional>
#include <string>

#include "io/batch.hpp"
#include "models/transformer.hpp"
#include "search/search.hpp"

namespace pipeformer {

struct GenerateSettings;

/// The arrays written for each target (..., T).
enum class Give {
  hidden,             ///< (..., T + 1, width) after the final norm
  logits,             ///< (..., T + 1, vocabulary)
  log_probabilities,  ///< (..., T + 1): of each id and of the end (-infinity where the model has no end id)
};
Give give_from_name(const std::string&);  ///< "hidden", "logits", "log-probabilities"

/// Decodes targets against the inputs of the same numbers (source ids or memory vectors; of a decoder-only model the
/// prompts, which are read before the targets); ctx.probe sees it, the encoder's pass over ids as well. Returns what
/// writes what is asked for to `writer`; until then the workspace and the context must stay. Without a writer nothing
/// more is computed than the logits that a probe wants. Throws RowError of a row of the input when prompt and target
/// are longer than the model's learned positions.
std::function<void()> force_targets(Context& ctx, const Transformer&, const Batch& input, const Batch& targets, Give,
                                    RecordWriter* writer);

/// Shows generated outputs to a probe: of each sequence of the input, whose numbers begin with `first`, as many as it
/// has hypotheses, about settings.batch_rows positions computed at a time.
void force_outputs(Workspace&, const Transformer&, const Batch& input,
                   const std::vector<std::vector<Hypothesis>>& outputs, const GenerateSettings& settings,
                   const Probe& probe, std::int64_t first);

}  // namespace pipeformer
