// Checkpoints in Hugging Face's layout: what is imported is a model that opens.
#include <filesystem>

#include "fuzz.hpp"
#include "import/import.hpp"
#include "models/model_file.hpp"
#include "models/transformer.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  const test::MemoryFolder folder(bytes);
  const std::string out = folder.path() + "/imported.h5";
  import_checkpoint(folder.path(), out, {});
  try {
    ModelFile model(out);
    const Transformer transformer(model, model.configuration());
  } catch (const Error& error) {
    if (std::string(error.what()).find("holds several models") == std::string::npos) std::abort();
  }
}
