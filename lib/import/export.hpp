/// Model files become checkpoints in Hugging Face's layout.
#pragma once
#include <cstdint>
#include <string>

namespace pipeformer {

struct ExportOptions {
  std::string family;              ///< model_type; empty: that of the import, else the first that the model is one of.
  bool without_tokenizer = false;  ///< Leave the tokenizer out.
  std::int64_t positions = 0;      ///< Of tables of sinusoids; 0: the model's context, or its max_positions.
};

/// Makes the directory `output` of a model: config.json, model.safetensors, generation_config.json of a model that
/// generates, tokenizer.json, preprocessor_config.json, modules.json of a model of sentence vectors. Parameters keep
/// their type. Where no family has the model's sinusoids or scaled embeddings, they are written as tables
/// (import/tables.hpp); else what import_checkpoint() makes of it is the same model, the same bits: this is checked
/// before anything is written, and Error names the hyper-parameters that have no place in the family. The directory
/// must not exist, or be empty; it appears when it is complete.
void export_checkpoint(const std::string& model, const std::string& output, const ExportOptions& options);

}  // namespace pipeformer
