/// The options of decode: search, sampling, limits, and what is written about given targets.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "cli/probe_options.hpp"
#include "cli/tool.hpp"
#include "models/configuration.hpp"
#include "search/generate.hpp"

namespace pipeformer {

std::vector<Option> decoding_options();

/// Throws UsageError for options that make no sense together.
void check_decoding_options(const Args&);

/// What --slide and --beyond-context say. Throws UsageError where the model cannot do it.
Beyond beyond_context(const Args&, const Configuration&);
/// What --alignment, --replace-unknown and --alternatives look at, in a pass over the outputs; nothing when they are
/// not given.
std::optional<OutputView> output_view(const Args&, const Configuration&, const Probing&);
/// The files that options name for what is written beside the ids.
class HypothesisFiles {
 public:
  HypothesisFiles(const Args&, RecordWriter* ids);
  const HypothesisWriters& writers() const { return writers_; }
  /// The unknown id of the model's tokenizer is written as --replace-unknown says. Throws Error when it has none.
  void name_copied(std::int32_t id, const std::string& model);
  void close();

 private:
  std::vector<std::unique_ptr<RecordWriter>> files_;
  HypothesisWriters writers_;
};
/// What --cache says.
WeightType kept_type(const Args&);
GenerateSettings generate_settings(const Args&, const Configuration&);

}  // namespace pipeformer
