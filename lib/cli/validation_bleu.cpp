#include "cli/validation_bleu.hpp"

#include "io/address.hpp"
#include "io/output_file.hpp"
#include "io/text_lines.hpp"
#include "metrics/bleu.hpp"
#include "search/translate.hpp"

namespace pipeformer {

std::function<double(const Transformer&)> bleu_of_validation(const Args& args, const TrainingStart& start) {
  if (args.text("metric") != "bleu") return nullptr;
  const std::string& tokenizer_bytes = start.models.front().texts.tokenizer;
  if (tokenizer_bytes.empty()) throw UsageError("--metric bleu needs --tokenizer");
  const std::vector<std::string> sources = args.list("valid-source");
  const auto tokenizer =
      std::make_shared<const std::unique_ptr<Tokenizer>>(Tokenizer::parse(tokenizer_bytes, "the model's tokenizer"));
  const std::string references_name = args.text("valid-references");
  const std::vector<std::string> references = read_text_lines(references_name);
  const auto expect_references = [=, count = references.size()](std::size_t records) {
    require(count == records, references_name, " has ", count, " lines, --valid-source ", records, " records");
  };
  expect_references(start.valid->all().size() + static_cast<std::size_t>(start.valid->skipped()));
  for (const std::string& source : sources)
    if (const std::string file = split_address(source).file; file == "-" || is_special_file(file))
      throw UsageError("--metric bleu reads --valid-source at each validation: it must be a file");
  return [=](const Transformer& model) {
    GenerateSettings settings;  // greedy, which is quick and ranks models as a beam does
    settings.max_length_factor = 1;
    settings.search.scores = false;
    std::vector<std::string> lines;
    for (const std::string& source : sources) {
      const auto part = translate(model, source, **tokenizer, settings);
      lines.insert(lines.end(), part.begin(), part.end());
    }
    expect_references(lines.size());
    Bleu bleu;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::string_view reference = references[i];
      const Segment segment{lines[i], {&reference, 1}};
      bleu.add({&segment, 1});
    }
    return bleu.score();
  };
}

}  // namespace pipeformer
