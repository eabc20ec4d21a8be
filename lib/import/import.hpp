/// Checkpoints in Hugging Face's layout become model files.
#pragma once
#include <string>
#include <vector>

namespace pipeformer {

struct ImportOptions {
  bool widen = false;             ///< float16 and bfloat16 become float32; otherwise they stay as they are.
  std::vector<std::string> drop;  ///< Patterns of tensors that are left out.
};

/// Reads config.json, the tensors, generation_config.json, tokenizer and preprocessor of a directory and writes a model
/// file. Throws Error when anything is not understood: the architecture (listing those that are known), configuration
/// keys, tensors that no parameter takes, parameters that no tensor fills; nothing is guessed, and nothing is written
/// then. Parameters are copied one after another: memory does not grow with the model.
void import_checkpoint(const std::string& directory, const std::string& output, const ImportOptions& options);

}  // namespace pipeformer
