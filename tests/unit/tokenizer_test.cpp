#include "text/tokenizer.hpp"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "text/line_batches.hpp"

using namespace pipeformer;
using Catch::Matchers::Contains;
using Ids = std::vector<std::int32_t>;

namespace {

/// A file that lives as long as the object.
struct TextFile {
  explicit TextFile(const std::string& text) {
    static int files = 0;
    path = std::filesystem::temp_directory_path() /
           ("tokenizer_test_" + std::to_string(getpid()) + "_" + std::to_string(files++));
    std::ofstream(path, std::ios::binary) << text;
  }
  ~TextFile() { std::remove(path.c_str()); }
  std::string path;
};

std::string train(const std::string& text, TokenizerTraining settings) {
  const TextFile corpus(text);
  return train_tokenizer({corpus.path}, settings);
}
std::unique_ptr<Tokenizer> trained(const std::string& text, const std::string& type, int size = 0) {
  TokenizerTraining settings;
  settings.type = type;
  if (size) settings.vocabulary_size = size;
  return Tokenizer::parse(train(text, settings), "test");
}

std::string sample_text() {
  std::string text;
  for (int i = 0; i < 60; ++i) {
    text +=
        "the cat number " + std::to_string(i * 7919 % 1000) + " sat on the mat\nthe dogs ran to the house and back\n";
  }
  return text;
}

}  // namespace

TEST_CASE("UTF-8: what is invalid, and where", "[text]") {
  CHECK(find_invalid_utf8("") == std::string::npos);
  CHECK(find_invalid_utf8("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80") == std::string::npos);
  CHECK(find_invalid_utf8("ab\xFF") == 2);
  CHECK(find_invalid_utf8("\xC0\x80") == 0);          // Overlong.
  CHECK(find_invalid_utf8("\xE0\x9F\xBF") == 0);      // Overlong.
  CHECK(find_invalid_utf8("a\xED\xA0\x80") == 1);     // Surrogate.
  CHECK(find_invalid_utf8("\xF4\x90\x80\x80") == 0);  // Past U+10FFFF.
  CHECK(find_invalid_utf8("\xF4\x8F\xBF\xBF") == std::string::npos);
  CHECK(find_invalid_utf8("abc\xE2\x82") == 3);          // Truncated.
  for (std::size_t length = 0; length < 40; ++length) {  // ASCII is passed over several bytes at a time
    std::string line(length, 'a');
    CHECK(find_invalid_utf8(line) == std::string::npos);
    for (std::size_t at = 0; at < length; ++at) {
      line[at] = '\x80';
      CHECK(find_invalid_utf8(line) == at);
      line[at] = 'a';
    }
  }
}

TEST_CASE("UTF-8: one replacement for each maximal subpart", "[text]") {
  const std::string r = "\xEF\xBF\xBD";
  CHECK(replace_invalid_utf8("a\xE2\x82z") == "a" + r + "z");
  CHECK(replace_invalid_utf8("\xF0\x9F\x98") == r);
  CHECK(replace_invalid_utf8("\xC0\x80") == r + r);
  CHECK(replace_invalid_utf8("\xED\xA0\x80") == r + r + r);
  // The example of table 3-8 in the Unicode standard.
  CHECK(replace_invalid_utf8("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64") ==
        "a" + r + r + r + "b" + r + "c" + r + r + "d");
}

TEST_CASE("lower case", "[text]") {
  CHECK(lowercase_utf8("ABC xyz 1") == "abc xyz 1");
  CHECK(lowercase_utf8("ÄÖÜ ÉŁ ЖЯ") == "äöü éł жя");
  CHECK(lowercase_utf8("ΟΔΟΣ ΣΑΣ") == "οδος σας");
  CHECK(lowercase_utf8("\u0130") == "i\u0307");
}

TEST_CASE("byte tokenizer: every byte comes back", "[text]") {
  const auto tokenizer = trained("", "byte");
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  const Ids ids = tokenizer->encode(all);
  REQUIRE(ids.size() == 256);
  CHECK(ids.front() == 3);
  CHECK(ids.back() == 258);
  CHECK(tokenizer->decode(ids) == all);
  CHECK(tokenizer->vocabulary_size() == 259);
  CHECK(tokenizer->decode({1, 3 + 'a', 2}) == "a");
  CHECK(tokenizer->piece(3 + 'a') == "a");
  CHECK(tokenizer->piece(3 + '\n') == "<0x0A>");
  CHECK_THROWS_WITH(tokenizer->decode({259}), Contains("259"));
  CHECK_THROWS_AS(tokenizer->decode({-1}), Error);
  CHECK(Tokenizer::parse(tokenizer->bytes(), "again")->encode("xyz") == tokenizer->encode("xyz"));
}

TEST_CASE("char tokenizer: code points in order after the control ids", "[text]") {
  const auto tokenizer = trained("ba c\n\xC3\xA4\xF0\x9F\x98\x80\n", "char");
  CHECK(tokenizer->vocabulary_size() == 3 + 7);
  // Newline, space, a, b, c, ä, smile.
  CHECK(tokenizer->encode("\n abcä😀") == Ids{3, 4, 5, 6, 7, 8, 9});
  CHECK(tokenizer->decode({1, 3, 4, 5, 6, 7, 8, 9, 2}) == "\n abcä😀");
  CHECK(tokenizer->encode("azb") == Ids{5, 0, 6});
  CHECK(tokenizer->decode({5, 0, 6}) == "a\uFFFDb");
  CHECK(tokenizer->piece(3) == "<U+000A>");
  CHECK(tokenizer->piece(4) == "▁");
  CHECK(tokenizer->piece(2) == "</s>");
  CHECK(tokenizer->begin_id() == 1);
  CHECK(tokenizer->end_id() == 2);
  CHECK(tokenizer->unknown_id() == 0);
  const auto again = Tokenizer::parse(tokenizer->bytes(), "again");
  CHECK(again->encode("\n abcä😀") == tokenizer->encode("\n abcä😀"));
  CHECK(again->bytes() == tokenizer->bytes());
}

TEST_CASE("char tokenizer: a damaged file is refused", "[text]") {
  const std::string head = "pipeformer tokenizer 1 char\n";
  CHECK_NOTHROW(Tokenizer::parse(head + "U+0061\nU+0062\n", "m"));
  CHECK_THROWS_WITH(Tokenizer::parse(head + "U+0061\nU+0061\n", "m"), Contains("m: line 3") && Contains("ascending"));
  CHECK_THROWS_WITH(Tokenizer::parse(head + "U+0061\nx\n", "m"), Contains("m: line 3"));
  CHECK_THROWS_AS(Tokenizer::parse(head + "U+D800\n", "m"), Error);
  CHECK_THROWS_AS(Tokenizer::parse(head + "U+0061 \n", "m"), Error);
  CHECK_THROWS_AS(Tokenizer::parse("pipeformer tokenizer 1 word\n", "m"), Error);
  CHECK_THROWS_AS(Tokenizer::parse("pipeformer tokenizer 1 byte\nmore", "m"), Error);
  CHECK_THROWS_WITH(Tokenizer::parse("no model at all", "m"), Contains("m: not a tokenizer model"));
  CHECK_THROWS_AS(Tokenizer::parse("", "m"), Error);
}

TEST_CASE("bpe and unigram: trained, saved, encoded and decoded", "[text]") {
  for (const std::string type : {"bpe", "unigram"}) {
    const auto tokenizer = trained(sample_text(), type, 60);
    CHECK(tokenizer->vocabulary_size() == 60);
    CHECK(tokenizer->unknown_id() == 0);
    CHECK(tokenizer->begin_id() == 1);
    CHECK(tokenizer->end_id() == 2);
    CHECK(tokenizer->piece(1) == "<s>");
    const Ids ids = tokenizer->encode("the cat sat");
    CHECK(ids.size() < 11);
    CHECK(tokenizer->decode(ids) == "the cat sat");
    CHECK(tokenizer->encode("").empty());
    CHECK(tokenizer->decode({}) == "");
    CHECK(tokenizer->decode({1, 2}) == "");
    CHECK_THROWS_WITH(tokenizer->decode({60}), Contains("id 60 is outside the vocabulary of 60"));
    CHECK(Tokenizer::parse(tokenizer->bytes(), "again")->encode("the dogs") == tokenizer->encode("the dogs"));
  }
}

TEST_CASE("a damaged SentencePiece model is refused, or works", "[text]") {
  const std::string model = trained(sample_text(), "bpe", 60)->bytes();
  // The map of characters is the longest field: its trie's root comes after the four bytes of its size. The tail of
  // nmt_nfkc's replacements is a fixed text far behind it.
  const std::size_t charsmap = model.find("nmt_nfkc") + 8 + 4;
  REQUIRE(charsmap < model.size());
  std::uint64_t state = 1;
  const auto random = [&state] { return (state = state * 6364136223846793005u + 1442695040888963407u) >> 33; };
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = model;
    for (int bytes = 0; bytes < 4; ++bytes) {
      const std::size_t span = i % 3 == 0 ? model.size() : 4000;
      const std::size_t start = i % 3 == 1 ? charsmap : 0;
      damaged[(start + random() % span) % model.size()] = static_cast<char>(random());
    }
    try {
      const auto tokenizer = Tokenizer::parse(damaged, "damaged");
      for (const std::string line : {"the cat", "\uFB01 \u33BB caf\u00E9 x\u0301", "<s>\U0001F600"})
        tokenizer->decode(tokenizer->encode(line));
    } catch (const Error& error) {
      ++refused;
      CHECK_THAT(error.what(), Contains("damaged") || Contains("id"));
    }
  }
  CHECK(refused > 1000);
  CHECK(refused < 3000);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, model.size() / 2, model.size() - 1})
    CHECK_THROWS_AS(Tokenizer::parse(model.substr(0, size), "cut"), Error);
}

TEST_CASE("a SentencePiece model as tokenizer.json gives the same ids and text", "[text]") {
  for (const std::string type : {"bpe", "unigram"}) {
    const auto tokenizer = trained(sample_text(), type, 60);
    const auto json = Tokenizer::parse(tokenizer_json(*tokenizer), "t.json");
    CHECK(json->vocabulary_size() == 60);
    CHECK(json->begin_id() == 1);
    CHECK(json->end_id() == 2);
    CHECK(json->unknown_id() == 0);
    for (const std::string line : {"the cat sat", "  dogs  and\ta \uFB01sh ", "house 1234", "", " ", "zq the \u732B"}) {
      CHECK(json->encode(line) == tokenizer->encode(line));
      // An unknown id is a mark in SentencePiece's text, and a control id without text in this format.
      const Ids ids = tokenizer->encode(line);
      if (std::find(ids.begin(), ids.end(), 0) == ids.end())
        CHECK(json->decode(json->encode(line)) == tokenizer->decode(tokenizer->encode(line)));
    }
    CHECK(tokenizer_json(*json) == json->bytes());
  }
  CHECK_THROWS_AS(tokenizer_json(*trained("a", "char")), Error);
}

TEST_CASE("training again gives the same model", "[text]") {
  for (const std::string type : {"bpe", "unigram"}) {
    TokenizerTraining settings;
    settings.type = type;
    settings.vocabulary_size = 60;
    const bool same = train(sample_text(), settings) == train(sample_text(), settings);
    CHECK(same);
  }
}

TEST_CASE("training: what cannot be trained is said", "[text]") {
  TokenizerTraining settings;
  settings.vocabulary_size = 100000;
  for (const std::string type : {"bpe", "unigram"}) {
    settings.type = type;
    CHECK_THROWS_WITH(train(sample_text(), settings),
                      Contains("vocabulary size 100000 is too large") && Contains("largest possible is"));
    CHECK_THROWS_WITH(train("", settings), Contains("empty"));
    CHECK_THROWS_WITH(train(" \n\u200B\n\u2581\n", settings),
                      Contains("empty"));  // Nothing is left after normalization.
    CHECK_THROWS_WITH(train("fine\nb\xFFz\n", settings), Contains("line 2") && Contains("byte 2"));
  }
  settings.type = "syllable";
  CHECK_THROWS_AS(train("a\n", settings), Error);
  settings.type = "char";
  CHECK_THROWS_WITH(train("", settings), Contains("empty"));
}

TEST_CASE("the largest possible size that an error names can be trained", "[text]") {
  TokenizerTraining settings;
  settings.vocabulary_size = 100000;
  std::string message;
  try {
    train(sample_text(), settings);
  } catch (const Error& error) {
    message = error.what();
  }
  const std::string words = "largest possible is ";
  settings.vocabulary_size = std::stoi(message.substr(message.find(words) + words.size()));
  CHECK_NOTHROW(train(sample_text(), settings));
}

TEST_CASE("byte fallback keeps unknown characters", "[text]") {
  TokenizerTraining settings;
  settings.vocabulary_size = 320;
  settings.byte_fallback = true;
  const auto tokenizer = Tokenizer::parse(train(sample_text(), settings), "test");
  CHECK(tokenizer->decode(tokenizer->encode("the ж cat")) == "the ж cat");
}

TEST_CASE("training reports its progress", "[text]") {
  TokenizerTraining settings;
  settings.vocabulary_size = 60;
  std::vector<std::string> stages;
  std::int64_t last = 0;
  settings.progress = [&](const std::string& stage, std::int64_t lines) {
    if (stages.empty() || stages.back() != stage) stages.push_back(stage);
    last = lines;
  };
  std::string text;
  for (int i = 0; i < 5; ++i) text += sample_text();
  train(text, settings);
  CHECK(stages == std::vector<std::string>{"reading", "training"});
  CHECK(last == 600);
}

TEST_CASE("batches of lines: one record per line, whatever the threads", "[text]") {
  const auto tokenizer = trained(sample_text(), "bpe", 60);
  std::vector<std::string> lines;
  for (int i = 0; i < 500; ++i) lines.push_back(i % 7 == 0 ? "" : "the cat sat on mat number " + std::to_string(i));
  set_thread_count(1);
  const Batch one = encode_lines(*tokenizer, lines, {}, {true, true}).ids;
  set_thread_count(4);
  const Batch four = encode_lines(*tokenizer, lines, {}, {true, true}).ids;
  CHECK(one.tokens == four.tokens);
  CHECK(one.offsets == four.offsets);
  REQUIRE(four.records() == 500);
  CHECK(four.shapes[0] == Shape{2});
  CHECK(four.tokens[0] == 1);
  CHECK(four.tokens[1] == 2);
  CHECK(decode_batch(*tokenizer, four, "x", Decoding::text, true) == lines);
}

TEST_CASE("decoding names the record that cannot be decoded", "[text]") {
  const auto tokenizer = trained("", "byte");
  Batch batch;
  batch.ids = true;
  batch.first_record = 10;
  batch.tokens = {3 + 'a', 3 + 'b', 3 + '\n', 3 + 'c'};
  batch.offsets = {0, 1, 2, 3, 4};
  batch.shapes = {{2, 1}, {1}, {1}};  // The first record holds two sequences.
  CHECK_THROWS_WITH(decode_batch(*tokenizer, batch, "x.npy", Decoding::text, true),
                    Contains("x.npy: record 11: ") && Contains("newline"));
  CHECK(decode_batch(*tokenizer, batch, "x.npy", Decoding::text, false) ==
        std::vector<std::string>{"a", "b", "\n", "c"});
  CHECK(decode_batch(*tokenizer, batch, "x.npy", Decoding::pieces, true) ==
        std::vector<std::string>{"a", "b", "<0x0A>", "c"});
  batch.tokens[3] = 999;
  CHECK_THROWS_WITH(decode_batch(*tokenizer, batch, "x.npy", Decoding::text, false),
                    Contains("x.npy: record 12: id 999"));
}
