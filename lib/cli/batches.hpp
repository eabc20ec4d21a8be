/// What the tools that compute on record streams share: batches, parameters, and the loop over both.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/tool.hpp"
#include "io/batch_stream.hpp"
#include "layers/pass.hpp"
#include "models/model_file.hpp"

namespace pipeformer {

/// --batch-rows.
std::vector<Option> batch_options();

/// Reads batches of all streams in lock step and calls body for each, with a pass whose workspace is empty; then, with
/// --verbose, writes one line of summary. A RowError of the body is about a row of the first stream and is thrown on
/// naming the record.
void for_batches(const Args&, std::initializer_list<BatchStream*> streams, const std::function<void(Pass&)>& body);
/// The same in batches of about so many positions, whatever --batch-rows says.
void for_batches(const Args&, std::initializer_list<BatchStream*> streams, std::int64_t rows,
                 const std::function<void(Pass&)>& body);

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
