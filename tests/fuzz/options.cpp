// Command lines: words, one a line; after a line "--" the text of a --config file.
#include <vector>

#include "cli/tool.hpp"
#include "fuzz.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "tool",
    .summary = "a tool",
    .arguments = "COMMAND [FILE...]",
    .options = {integer("heads", "N", "heads", "8", 1, 512), number("rate", "P", "rate", "0.1", 0, 1),
                text("title", "TEXT", "text"), choice("activation", "relu|gelu", "function", "relu"),
                list("target", "FILE", "files"), flag("causal", "mask"), flag("bias", "bias", true)},
    .uses_model = true,
};

void fuzz(std::span<const std::byte> bytes) {
  std::string_view rest = test::text(bytes);
  std::vector<std::string> words;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (word == "--config" || word.starts_with("--config=")) return;  // only files of ours are opened
    if (word == "--") break;
    words.emplace_back(word);
  }
  const test::MemoryFile config(std::as_bytes(std::span(rest)));
  words.insert(words.end(), {"--config", config.path()});
  const Args args = Args::parse(spec, words);
  if (args.has("heads") && (args.integer("heads") < 1 || args.integer("heads") > 512)) std::abort();
  if (args.has("rate") && !(args.number("rate") >= 0 && args.number("rate") <= 1)) std::abort();
  args.list("target");
  args.output_options();
  args.threads();
  args.inputs();
}
