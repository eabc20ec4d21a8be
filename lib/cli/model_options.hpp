/// The hyper-parameters of a model as options, shared by the tools that make one (model, train).
#pragma once
#include <vector>

#include "cli/tool.hpp"
#include "models/configuration.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

/// The hyper-parameters that every task has.
std::vector<Option> configuration_options();
/// What a model reads and predicts; in training the task says this.
std::vector<Option> kind_options();
Configuration kind_from(const Args&);

/// `kind` (what the model reads and predicts) with the hyper-parameters that the options give; the tokenizer (may be
/// null) gives vocabulary and control ids that no option sets. Throws UsageError for values that make no model.
Configuration configuration_from(const Args&, const Tokenizer* tokenizer, const Configuration& kind);

}  // namespace pipeformer
