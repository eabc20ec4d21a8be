// Where ids stand in their line: places in bytes, offsets in characters, numbers of words.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "text/hf/normalizers.hpp"
#include "text/line_batches.hpp"
#include "text/tokenizer.hpp"

using namespace pipeformer;
using Numbers = std::vector<std::int32_t>;

namespace {

std::vector<std::string> some_lines() {
  const std::vector<std::string> pieces{"the", "cat",   " ",    "  ", "\t",      "Émile", "e\u0301",
                                        "ﬁ",   "½",     "日本", "語", "\u200B",  "İ",     "ß",
                                        ",",   "12,34", "!?",   "😁",  "ạ\u0323", "Ａ",    "\u00A0"};
  std::mt19937 random(4);
  std::vector<std::string> lines{"", " ", "  the cat", "the  cat  ", "Hello, y'all! How are you 😁 ?"};
  for (int i = 0; i < 300; ++i) {
    std::string line;
    for (std::size_t n = random() % 12; n > 0; --n) line += pieces[random() % pieces.size()];
    lines.push_back(line);
  }
  return lines;
}

Origins each_byte(const std::string& text) {
  Origins origins;
  for (std::size_t at = 0; at < text.size(); ++at) origins.push_back({at, at + 1});
  return origins;
}

/// Without the spaces around it; empty places are all alike.
Place trimmed(const std::string& line, Place place) {
  const auto blank = [&](std::size_t at) { return line[at] == ' ' || line[at] == '\t'; };
  while (place.begin < place.end && blank(place.begin)) ++place.begin;
  while (place.begin < place.end && blank(place.end - 1)) --place.end;
  return place.begin < place.end ? place : Place{};
}

std::unique_ptr<Tokenizer> trained(const std::string& type, int size) {
  const auto corpus = std::filesystem::temp_directory_path() / ("places_test_" + std::to_string(getpid()));
  {
    std::ofstream out(corpus);
    for (const std::string& line : some_lines()) out << line << "\nthe cat and another cat\n";
  }
  TokenizerTraining settings;
  settings.type = type;
  settings.vocabulary_size = size;
  auto tokenizer = Tokenizer::parse(train_tokenizer({corpus.string()}, settings), type);
  std::filesystem::remove(corpus);
  return tokenizer;
}

}  // namespace

TEST_CASE("places: normalizers say where each byte comes from", "[text][tokenizer_json]") {
  for (const std::string section :
       {R"({"type": "NFC"})", R"({"type": "NFD"})", R"({"type": "NFKC"})", R"({"type": "NFKD"})",
        R"({"type": "Lowercase"})", R"({"type": "StripAccents"})", R"({"type": "Nmt"})", R"({"type": "ByteLevel"})",
        R"({"type": "BertNormalizer"})", R"({"type": "BertNormalizer", "lowercase": false, "strip_accents": true})",
        R"({"type": "Prepend", "prepend": "▁"})", R"({"type": "Strip", "strip_left": true, "strip_right": true})",
        R"({"type": "Strip", "strip_left": true, "strip_right": false})",
        R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})",
        R"({"type": "Replace", "pattern": {"String": "cat"}, "content": "animal"})",
        R"({"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})"}) {
    const JsonDocument document = JsonDocument::parse(section, "t");
    const auto normalizer = hf::read_normalizer(document.root(), "t");
    for (const std::string& line : some_lines()) {
      std::string plain = line, text = line;
      Origins origins = each_byte(line);
      const bool gone = normalizer->apply(plain);
      INFO(section << " of '" << line << "'");
      REQUIRE(normalizer->apply(text, &origins) == gone);
      REQUIRE(text == plain);
      REQUIRE(origins.size() == text.size());
      for (std::size_t i = 0; i < origins.size(); ++i) {
        REQUIRE(origins[i].begin <= origins[i].end);
        REQUIRE(origins[i].end <= line.size());
        if (i > 0) REQUIRE(origins[i - 1].begin <= origins[i].begin);
        // A letter of ASCII comes from itself, in whatever case.
        if (section.find("Replace") == std::string::npos && text[i] >= 'a' && text[i] <= 'd' &&
            origins[i].end == origins[i].begin + 1)
          REQUIRE((line[origins[i].begin] | 32) == text[i]);
      }
    }
  }
  const JsonDocument document = JsonDocument::parse(R"({"type": "NFD"})", "t");
  std::string text = "aé!";
  Origins origins = each_byte(text);
  hf::read_normalizer(document.root(), "t")->apply(text, &origins);
  CHECK(origins == Origins{{0, 1}, {1, 3}, {1, 3}, {1, 3}, {3, 4}});
}

TEST_CASE("places: the ids are those of encode, each at its text", "[text][tokenizer]") {
  for (const auto& [type, size] :
       {std::pair("bpe", 120), {"unigram", 90}, {"byte-bpe", 300}, {"wordpiece", 120}, {"char", 0}, {"byte", 0}}) {
    const auto tokenizer = trained(type, size);
    for (const std::string& line : some_lines()) {
      std::vector<Place> places;
      const Numbers ids = tokenizer->encode_places(line, places);
      INFO(type << " of '" << line << "'");
      REQUIRE(ids == tokenizer->encode(line));
      REQUIRE(places.size() == ids.size());
      std::size_t before = 0;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto [begin, end] = places[i];
        REQUIRE(begin <= end);
        REQUIRE(end <= line.size());
        REQUIRE(before <= begin);
        before = begin;
        // An id that is decoded to bytes of the line stands where they are.
        if (std::string(type) == "byte" || std::string(type) == "char" || std::string(type) == "byte-bpe")
          REQUIRE((std::string(type) == "byte-bpe"
                       ? line.substr(begin, end - begin).find(tokenizer->decode({ids[i]})) != std::string::npos ||
                             tokenizer->decode({ids[i]}).find("\uFFFD") != std::string::npos
                       : line.substr(begin, end - begin) == tokenizer->decode({ids[i]})));
      }
    }
  }
}

TEST_CASE("places: tokenizer.json has those of SentencePiece", "[text][tokenizer]") {
  for (const auto& [type, size] : {std::pair("bpe", 120), {"unigram", 90}}) {
    const auto theirs = trained(type, size);
    const auto ours = Tokenizer::parse(tokenizer_json(*theirs), "t.json");
    for (const std::string line : {"the cat", "another  cat ", "cat,cat 12,34!?", "the 日本語 cat", "½ the ﬁ", ""}) {
      std::vector<Place> a, b;
      REQUIRE(theirs->encode_places(line, a) == ours->encode_places(line, b));
      INFO(type << " of '" << line << "'");
      for (std::size_t i = 0; i < a.size(); ++i) CHECK(trimmed(line, a[i]) == trimmed(line, b[i]));
    }
  }
}

TEST_CASE("offsets: the example of the library that defines tokenizer.json", "[text][tokenizer_json]") {
  // The quick tour of huggingface/tokenizers: offsets[9] of this line, of the unknown emoji, is (26, 27).
  const auto tokenizer = Tokenizer::parse(
      R"({"normalizer": {"type": "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"},
          "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [13], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [14], "tokens": ["[SEP]"]}}},
          "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "hello": 1, ",": 2, "y": 3, "'": 4, "all": 5,
            "!": 6, "how": 7, "are": 8, "you": 9, "?": 10, "yo": 11, "##u": 12, "[CLS]": 13, "[SEP]": 14}}})",
      "t.json");
  LineEncoding how;
  how.places = true;
  how.control_ids = false;
  const std::string line = "Hello, y'all! How are you 😁 ?";
  const EncodedLines encoded = encode_lines(*tokenizer, {line}, {}, how);
  CHECK(Numbers(encoded.ids.tokens.begin(), encoded.ids.tokens.end()) == Numbers{1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 10});
  CHECK(encoded.offsets == Numbers{0,  0, 5,  0,  5, 6,  0,  7, 8,  0,  8, 9,  0,  9, 12, 0, 12,
                                   13, 0, 14, 17, 0, 18, 21, 0, 22, 25, 0, 26, 27, 0, 28, 29});
  CHECK(encoded.words == Numbers{0, 0, 1, 1, 1, 1, 2, 3, 4, 5, 6});

  // A pair, in windows that overlap: control ids stand nowhere, words of the second text go on counting.
  how.control_ids = true;
  how.most_tokens = 7;
  how.overflow = Overflow::split;
  how.stride = 1;
  const EncodedLines pair = encode_lines(*tokenizer, {"how are"}, {"you, are  you ?"}, how);
  CHECK(Numbers(pair.ids.tokens.begin(), pair.ids.tokens.end()) ==
        Numbers{13, 7, 8, 14, 9, 2, 14, 13, 7, 8, 14, 2, 8, 14, 13, 7, 8, 14, 8, 9, 14, 13, 7, 8, 14, 9, 10, 14});
  CHECK(Numbers(pair.offsets.begin() + 63, pair.offsets.end()) ==
        Numbers{-1, -1, -1, 0, 0, 3, 0, 4, 7, -1, -1, -1, 1, 10, 13, 1, 14, 15, -1, -1, -1});
  CHECK(Numbers(pair.words.begin() + 7, pair.words.begin() + 14) == Numbers{-1, 0, 1, -1, 2, 3, -1});
  how.stride = 2;
  CHECK_THROWS_WITH(encode_lines(*tokenizer, {"how are"}, {"you, are  you ?"}, how),
                    Catch::Matchers::Contains("cannot overlap by 2"));
}
