/// The hyper-parameters of a model as options, shared by the tools that make one (model, train).
#pragma once
#include <vector>

#include "cli/tool.hpp"
#include "models/configuration.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

std::vector<Option> configuration_options();

/// The configuration that the options give; the tokenizer (may be null) gives vocabulary and control ids that no option
/// sets. Throws UsageError for values that make no model.
Configuration configuration_from(const Args&, const Tokenizer* tokenizer);

}  // namespace pipeformer
