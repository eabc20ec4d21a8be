/// What decode does: generates, or looks at targets that are given.
#pragma once
#include <memory>
#include <mutex>
#include <optional>

#include "cli/decoding_options.hpp"
#include "cli/probe_options.hpp"
#include "models/model_file.hpp"
#include "search/ensemble.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

/// What both ways share: the files, and the model, of which memory vectors need only the decoder.
class DecodeRun {
 public:
  explicit DecodeRun(const Args&);
  /// --list-taps: the names were written, and there is nothing else to do.
  bool listed() const { return probing_.listed(); }
  /// What a model makes of given targets (--target).
  void force();
  /// Outputs as records, and what is written beside them.
  void generate();
  /// Outputs as text, each token as it comes (--stream).
  void stream();

 private:
  /// Loads the model when the first records are there; checks them. A decoder needs room for `room` ids beside those
  /// that are given.
  void check(const BatchStream& sources, const BatchStream* ids, std::int64_t room);
  /// The tokenizer that the model holds, for `option`. Throws Error when it holds none.
  std::shared_ptr<const Tokenizer> tokenizer(const std::string& option) const;
  GenerateSettings settings();
  /// Refuses a change on which nothing depends that is written.
  void expect_effects() const;
  void close(std::int64_t sequences);

  const Args& args_;
  ModelFile file_;
  const Configuration& configuration_;
  bool encoder_;
  Beyond beyond_;
  Probing probing_;
  std::once_flag loaded_;
  std::optional<Transformer> model_;
  std::optional<Ensemble> others_;
  std::optional<BatchStream> input_;
  std::unique_ptr<RecordWriter> writer_;
  std::optional<StopTexts> stop_;
};

}  // namespace pipeformer
