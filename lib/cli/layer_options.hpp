/// What the options of tools that compute on record streams have in common: batches, inputs, parameters.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/batch_loop.hpp"
#include "cli/tool.hpp"
#include "models/model_file.hpp"

namespace pipeformer {

/// --skip, --take. of: the streams that they are about.
std::vector<Option> part_options(const std::string& of = "each stream");
/// How many records --take lets pass.
std::int64_t taken(const Args&);
/// The records that they choose, of tools that go through a stream without for_batches().
std::unique_ptr<RecordReader> part_of(const Args&, std::unique_ptr<RecordReader>);
/// --batch-rows, --skip, --take.
std::vector<Option> batch_options();

/// --weights, of tools that run a whole model, and the type of weights that it asks for.
std::vector<Option> weight_type_options();
/// For choice(): all activations but the identity.
std::string activation_choices();
std::optional<WeightType> weights_asked(const Args&);

/// Standard input can be read once only: throws UsageError when more than one of the input and these options is "-".
void expect_one_stdin(const Args&, const std::string& input, std::initializer_list<const char*> options);

/// The value of an option that names a file, when it is there.
std::optional<std::string> optional_text(const Args&, const std::string& option);

/// An array option of a layer and the parameters that it holds, below the layer's name: {"weight", {"weight"}}. Several
/// parameters: their rows one after another, in equal parts.
struct ArrayOption {
  std::string option;
  std::vector<std::string> parameters;
  bool required = false;
};

/// A layer's parameters as the user gives them: a part of a model (-m FILE:GROUP), or arrays.
struct LayerParameters {
  std::unique_ptr<StoredParameters> source;
  std::string name;                            ///< The layer's name in the source.
  std::optional<Configuration> configuration;  ///< Of the model.
};
/// Throws UsageError when neither or both are given.
LayerParameters layer_parameters(const Args&, const std::vector<ArrayOption>& arrays);

}  // namespace pipeformer
