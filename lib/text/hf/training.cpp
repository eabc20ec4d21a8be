#include "text/hf/training.hpp"

#include <algorithm>
#include <map>
#include <queue>
#include <set>
#include <unordered_map>

#include "core/error.hpp"
#include "core/json.hpp"
#include "text/hf/byte_level.hpp"
#include "text/hf/flat_map.hpp"
#include "text/hf/normalizers.hpp"
#include "text/hf/pre_tokenizers.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

const std::string byte_words =
    R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})";
const std::string bert_words = R"({"type": "BertPreTokenizer"})";
const std::string bert_text =
    R"({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": false, "lowercase": false})";

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

struct PairCount {
  std::int64_t count = 0;
  std::vector<std::uint32_t> words;  // Where the pair occurs, or did.
};

/// The words of the corpus with their counts, in a fixed order.
std::map<std::string, std::int64_t> count_words(const std::function<bool(std::string&)>& next_line, bool bytes) {
  const JsonDocument section = JsonDocument::parse(bytes ? byte_words : bert_words, "pre_tokenizer");
  const PreTokenizers steps = read_pre_tokenizers(section.root(), "pre_tokenizer");
  const JsonDocument text_section = JsonDocument::parse(bert_text, "normalizer");
  const std::unique_ptr<Normalizer> normalizer = bytes ? nullptr : read_normalizer(text_section.root(), "normalizer");
  std::unordered_map<std::string, std::int64_t> counts;
  Words words;
  for (std::string line; next_line(line);) {
    words.text = line;
    if (normalizer) normalizer->apply(words.text);
    words.words.clear();
    if (!words.text.empty()) words.words.push_back({0, words.text.size(), true});
    steps.apply(words);
    for (const Words::Word& word : words.words) ++counts[words.text.substr(word.begin, word.end - word.begin)];
  }
  return {counts.begin(), counts.end()};
}

std::string comma_separated(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

std::string json_file(const std::vector<std::string>& pieces, std::size_t controls, const std::string& roles,
                      const std::string& sections, const std::string& model) {
  std::vector<std::string> added, vocabulary;
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    vocabulary.push_back(cat(json_string(pieces[id]), ": ", id));
    if (id < controls)
      added.push_back(
          cat(R"({"id": )", id, R"(, "content": )", json_string(pieces[id]),
              R"(, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})"));
  }
  return cat("{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n\"pipeformer\": {\"control\": {", roles,
             "}},\n\"added_tokens\": [", comma_separated(added), "],\n", sections, ",\n\"model\": {", model,
             ", \"vocab\": {", comma_separated(vocabulary), "}}}\n");
}

void check_size(std::int64_t wanted, std::size_t smallest, std::size_t reached) {
  require(wanted >= static_cast<std::int64_t>(smallest), "vocabulary size ", wanted,
          " is too small for this corpus, the smallest possible is ", smallest);
  require(reached == 0 || wanted <= static_cast<std::int64_t>(reached), "vocabulary size ", wanted,
          " is too large for this corpus, the largest possible is ", reached);
}

}  // namespace

std::vector<std::pair<std::int32_t, std::int32_t>> learn_merges(std::vector<CountedWord> words, std::int32_t next,
                                                                std::int64_t most) {
  FlatMap<std::uint32_t> places;
  std::vector<PairCount> pairs(1);  // Place 0: none.
  struct Candidate {
    std::int64_t count;
    std::uint64_t key;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : key > other.key;
    }
  };
  std::priority_queue<Candidate> queue;
  const auto change = [&](std::int32_t left, std::int32_t right, std::int64_t by, std::uint32_t word) -> std::uint64_t {
    const std::uint64_t key = pair_key(left, right);
    std::uint32_t& place = places[key];
    if (place == 0) {
      place = static_cast<std::uint32_t>(pairs.size());
      pairs.emplace_back();
    }
    PairCount& pair = pairs[place];
    pair.count += by;
    if (by > 0 && (pair.words.empty() || pair.words.back() != word)) pair.words.push_back(word);
    return key;
  };
  std::set<std::uint64_t> changed;
  for (std::uint32_t w = 0; w < words.size(); ++w)
    for (std::size_t i = 0; i + 1 < words[w].first.size(); ++i)
      changed.insert(change(words[w].first[i], words[w].first[i + 1], words[w].second, w));
  std::vector<std::pair<std::int32_t, std::int32_t>> merges;
  while (static_cast<std::int64_t>(merges.size()) < most) {
    for (const std::uint64_t key : changed) {
      const std::int64_t count = pairs[places[key]].count;
      if (count > 1) queue.push({count, key});
    }
    changed.clear();
    // Counts only change with an entry of their own: one that is out of date is passed over.
    while (!queue.empty() && pairs[places[queue.top().key]].count != queue.top().count) queue.pop();
    if (queue.empty()) break;
    const std::uint64_t key = queue.top().key;
    queue.pop();
    const auto left = static_cast<std::int32_t>(key >> 32), right = static_cast<std::int32_t>(key & 0xFFFFFFFF);
    const std::int32_t made = next++;
    merges.emplace_back(left, right);
    std::vector<std::uint32_t> where = std::move(pairs[places[key]].words);
    std::sort(where.begin(), where.end());
    where.erase(std::unique(where.begin(), where.end()), where.end());
    for (const std::uint32_t w : where) {
      auto& [symbols, count] = words[w];
      std::vector<std::int32_t> joined;
      for (std::size_t i = 0; i < symbols.size(); ++i) {
        const bool match = i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right;
        joined.push_back(match ? made : symbols[i]);
        if (match) ++i;
      }
      if (joined.size() == symbols.size()) continue;
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
        changed.insert(change(symbols[i], symbols[i + 1], -count, w));
      for (std::size_t i = 0; i + 1 < joined.size(); ++i) changed.insert(change(joined[i], joined[i + 1], count, w));
      symbols = std::move(joined);
    }
  }
  return merges;
}

std::string train_json(const std::function<bool(std::string&)>& next_line, const TokenizerTraining& settings) {
  const bool bytes = settings.type == "byte-bpe";
  const std::map<std::string, std::int64_t> counts = count_words(next_line, bytes);
  require(!counts.empty(), "the corpus is empty");
  const std::string prefix = bytes ? "" : "##";
  std::vector<std::string> pieces = bytes ? std::vector<std::string>{"<unk>", "<s>", "</s>"}
                                          : std::vector<std::string>{"[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  const std::size_t controls = pieces.size();
  std::map<std::string, std::int32_t> symbols;  // Bytes, or characters at and after the beginning of a word.
  const auto each_character = [&](const std::string& word, const auto& take) {
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t length = bytes ? 1 : utf8_step(word, at).length;
      const std::string text = word.substr(at, length);
      take(bytes ? to_byte_characters(text) : (at > 0 ? prefix : "") + text);
      at += length;
    }
  };
  if (bytes)
    for (int byte = 0; byte < 256; ++byte) {
      pieces.push_back(to_byte_characters(std::string(1, static_cast<char>(byte))));
      symbols[pieces.back()] = static_cast<std::int32_t>(pieces.size()) - 1;
    }
  else
    for (const auto& [word, count] : counts) each_character(word, [&](const std::string& text) { symbols[text] = 0; });
  if (!bytes)
    for (auto& [text, id] : symbols) {
      id = static_cast<std::int32_t>(pieces.size());
      pieces.push_back(text);
    }
  check_size(settings.vocabulary_size, pieces.size(), 0);
  std::vector<CountedWord> words;
  for (const auto& [word, count] : counts) {
    words.push_back({{}, count});
    each_character(word, [&](const std::string& text) { words.back().first.push_back(symbols.at(text)); });
  }
  std::vector<std::string> merges;
  std::set<std::string> known(pieces.begin(), pieces.end());
  // Two ways to the same piece take one id: a few more merges are asked for than pieces are wanted.
  std::vector<std::string> texts = pieces;
  for (const auto& [left, right] : learn_merges(std::move(words), static_cast<std::int32_t>(pieces.size()),
                                                2 * std::int64_t{settings.vocabulary_size})) {
    if (pieces.size() == static_cast<std::size_t>(settings.vocabulary_size)) break;
    const std::string &a = texts[static_cast<std::size_t>(left)], &b = texts[static_cast<std::size_t>(right)];
    merges.push_back(cat("[", json_string(a), ", ", json_string(b), "]"));
    texts.push_back(a + b.substr(prefix.size()));
    if (known.insert(texts.back()).second) pieces.push_back(texts.back());
  }
  check_size(settings.vocabulary_size, 0, pieces.size());
  if (bytes)
    return json_file(
        pieces, controls, R"("unknown": "<unk>", "begin": "<s>", "end": "</s>")",
        cat(R"("normalizer": null, "pre_tokenizer": )", byte_words,
            R"(, "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})"),
        cat(R"("type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, )",
            R"("end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "merges": [)",
            comma_separated(merges), "]"));
  return json_file(
      pieces, controls,
      R"("unknown": "[UNK]", "begin": "[CLS]", "end": "[SEP]", "classification": "[CLS]", "separator": "[SEP]", "mask": "[MASK]")",
      cat("\"normalizer\": ", bert_text, ", \"pre_tokenizer\": ", bert_words,
          R"(, "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]}, )",
          R"("decoder": {"type": "WordPiece", "prefix": "##", "cleanup": false})"),
      R"("type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100)");
}

}  // namespace pipeformer::hf
