// Model files as every tool opens them: configuration, all parameters, tokenizer, labels.
#include "fuzz.hpp"
#include "models/describe.hpp"
#include "models/model_file.hpp"
#include "models/transformer.hpp"
#include "text/tokenizer.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  const test::MemoryFile file(bytes);
  ModelFile model(file.path());
  describe(model);
  model.labels();
  if (const auto tokenizer = model.tokenizer()) Tokenizer::parse(*tokenizer, "tokenizer");
  const Transformer transformer(model, model.configuration());
}
