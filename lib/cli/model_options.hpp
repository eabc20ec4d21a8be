/// The hyper-parameters of a model as options, shared by the tools that make one (model, train).
#pragma once
#include <string>
#include <vector>

#include "cli/tool.hpp"
#include "models/configuration.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

/// The hyper-parameters that every task has.
std::vector<Option> configuration_options();
/// Those of some hyper-parameters of a stack, by the names of the table, for a tool that does a part of a layer.
std::vector<Option> stack_options(const std::vector<std::string>& fields);
/// Sets these fields of a stack to what the options say.
void set_fields(const Args&, const std::vector<std::string>& fields, StackSpec&);
/// What a model reads and predicts; in training the task says this.
std::vector<Option> kind_options();
Configuration kind_from(const Args&);

/// The id whose row --pooling end takes: that of --end-id, else of the tokenizer (may be null). Throws UsageError when
/// there is none.
std::int64_t pooled_end_id(const Args&, const Tokenizer*);

/// `kind` (what the model reads and predicts) with the hyper-parameters that the options give; the tokenizer (may be
/// null) gives vocabulary and control ids that no option sets. tower: the name of one of two that share the options;
/// the option of that name has what is its own. Throws UsageError for values that make no model.
Configuration configuration_from(const Args&, const Tokenizer* tokenizer, const Configuration& kind,
                                 const std::string& tower = "");

}  // namespace pipeformer
