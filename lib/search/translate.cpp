#include "search/translate.hpp"

namespace pipeformer {

std::vector<std::string> translate(const Transformer& model, const std::string& source, const Tokenizer& tokenizer,
                                   const GenerateSettings& settings) {
  constexpr std::int64_t kWindow = 65536;  // positions that are sorted by length, as decode does
  BatchStream input(source, Accept::ids);
  std::vector<std::string> lines;
  BatchStream* streams[] = {&input};
  while (read_batches(streams, kWindow)) {
    check_ids(input, model.configuration().source_vocabulary, model.configuration(), 0);
    for (const auto& outputs : generate_window(model, input, {}, settings, [](std::int64_t) {}))
      lines.push_back(tokenizer.decode(outputs.front().ids));
  }
  return lines;
}

}  // namespace pipeformer
