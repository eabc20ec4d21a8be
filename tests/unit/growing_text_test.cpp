// Text that grows token by token, texts that stop an output, and words that are copied from the source.
#include "text/growing_text.hpp"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "io/packing.hpp"
#include "search/phrases.hpp"
#include "search/stop_texts.hpp"
#include "text/copied_words.hpp"
#include "text/utf8.hpp"

using namespace pipeformer;
using Catch::Matchers::Contains;
using Ids = std::vector<std::int32_t>;

namespace {

std::shared_ptr<const Tokenizer> trained(const std::string& text, const std::string& type, int size = 0,
                                         bool bytes = false) {
  const auto path = std::filesystem::temp_directory_path() / ("growing_text_test_" + std::to_string(getpid()));
  std::ofstream(path, std::ios::binary) << text;
  TokenizerTraining settings;
  settings.type = type;
  settings.vocabulary_size = size;
  settings.byte_fallback = bytes;
  const std::string model = train_tokenizer({path.string()}, settings);
  std::remove(path.c_str());
  return Tokenizer::parse(model, "trained");
}

std::string corpus() {
  std::string text;
  for (int i = 0; i < 60; ++i)
    text += "a man, a plan, a canal\nthe man has the plan\na canal is planned by the man\nthe cat number " +
            std::to_string(i * 7919 % 1000) + " sat on the mat\nthe dogs ran to the house and back\n";
  return text;
}

}  // namespace

TEST_CASE("what further bytes may change is not settled", "[text]") {
  CHECK(settled_length("") == 0);
  CHECK(settled_length("abc") == 3);
  CHECK(settled_length("ab\xC3") == 2);
  CHECK(settled_length("ab\xC3\xA4") == 4);
  CHECK(settled_length("\xE6\x97") == 0);
  CHECK(settled_length("\xE6\x97\xA5") == 3);
  CHECK(settled_length("x\xF0\x9F\x98") == 1);
  CHECK(settled_length("x\xF0\x9F\x98\x80") == 5);
  CHECK(settled_length("a\xEF\xBF\xBD") == 1);
  CHECK(settled_length("a\xEF\xBF\xBD\xEF\xBF\xBD") == 1);
  CHECK(settled_length("\xEF\xBF\xBDz") == 4);
  CHECK(settled_length("\x80\x80\x80\x80") == 4);  // bytes that begin nothing
}

TEST_CASE("growing text is the text of all ids, in pieces of whole characters", "[text]") {
  const std::string line = "a plan \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x98\x80 the man";
  for (const auto& tokenizer : {trained(corpus(), "bpe", 300, true), trained(corpus(), "unigram", 290, true),
                                trained(corpus(), "byte-bpe", 280), trained(corpus(), "byte")}) {
    const Ids ids = tokenizer->encode(line);
    GrowingText text(*tokenizer);
    std::string all;
    for (std::size_t n = 1; n <= ids.size(); ++n) {
      const std::string more = text.next({ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n)}, false);
      CHECK(find_invalid_utf8(more) == std::string::npos);
      all += more;
    }
    all += text.next(ids, true);
    CHECK(all == tokenizer->decode(ids));
    CHECK(all == line);
  }
  // What stays cut is shown at the end.
  const auto bytes = trained(corpus(), "byte");
  GrowingText text(*bytes);
  Ids cut = bytes->encode("x\xE6\x97\xA5");
  cut.pop_back();
  CHECK(text.next(cut, false) == "x");
  CHECK(text.next(cut, true) == "\xE6\x97");
}

TEST_CASE("a stop text is found with the token that completes it, and not before", "[text]") {
  const std::string line = "the man has the plan, a canal is planned by the man";
  for (const auto& tokenizer :
       {trained(corpus(), "bpe", 60), trained(corpus(), "unigram", 60), trained(corpus(), "char"),
        trained(corpus(), "byte"), trained(corpus(), "wordpiece", 60)}) {
    const Ids ids = tokenizer->encode(line);
    for (const std::string& stop : std::vector<std::string>{"plan", "an, a", " is ", "the man has", "nowhere", "n"}) {
      const StopTexts stops(tokenizer, {"never there", stop});
      for (std::size_t n = 1; n <= ids.size(); ++n) {
        const Ids first(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n)),
            before(first.begin(), first.end() - 1);
        const bool now = tokenizer->decode(first).find(stop) != std::string::npos,
                   then = n > 1 && tokenizer->decode(before).find(stop) != std::string::npos;
        INFO(stop << " after " << n << " ids: " << tokenizer->decode(first));
        if (now && !then) CHECK(stops.completed_by_last(first));
        if (!now) CHECK_FALSE(stops.completed_by_last(first));
      }
    }
  }
}

TEST_CASE("unknown words are copied from the source as words", "[text]") {
  for (const std::string& type : std::vector<std::string>{"bpe", "char", "wordpiece"}) {
    const auto tokenizer = trained(corpus(), type, 60);
    const std::string source = "the Q\xC3\xBCZ, a man";  // letters that the tokenizer has not
    const std::vector<std::string> words = words_by_position(*tokenizer, {source}).front();
    CHECK(words.size() == tokenizer->assemble(tokenizer->encode(source), nullptr, true).ids.size());
    const auto position =
        static_cast<std::int32_t>(std::find(words.begin(), words.end(), "Q\xC3\xBCZ,") - words.begin());
    REQUIRE(position < std::ssize(words));
    // The output as a model writes it: its own unknown ids are those of the same letters.
    Ids ids = tokenizer->encode("a Q\xC3\xBCZ, the plan");
    for (std::int32_t& id : ids)
      if (id == tokenizer->unknown_id()) id = -1 - position;
    CHECK(decode_copied(*tokenizer, ids, words) ==
          (type == "wordpiece" ? "a Q\xC3\xBCZ , the plan" : "a Q\xC3\xBCZ, the plan"));
    // Where no word is meant, the unknown id's own text.
    const std::string as_it_is = decode_copied(*tokenizer, ids, {});
    CHECK_THAT(as_it_is, Contains("the plan"));
    CHECK(as_it_is.find('\0') == std::string::npos);
    // Nothing but unknown ids.
    CHECK(decode_copied(*tokenizer, {-1 - position}, words) == "Q\xC3\xBCZ");
    CHECK(decode_copied(*tokenizer, tokenizer->encode("a plan"), words) == "a plan");
  }
}

TEST_CASE("every piece of a source word is copied as that word", "[text]") {
  const std::string source = "Yesterday, (eleven) \303\234ber.  foo ";
  const std::vector<std::string> in_text{"Yesterday,", "(eleven)", "\303\234ber.", "foo"};
  for (const auto& tokenizer : {trained(corpus(), "bpe", 60), trained(corpus(), "bpe", 300, true),
                                trained(corpus(), "unigram", 290, true), trained(corpus(), "byte-bpe", 280)}) {
    const Ids ids = tokenizer->encode(source);
    const std::vector<std::string> words = words_by_position(*tokenizer, {source}).front();
    REQUIRE(words.size() == ids.size());
    // What was one word stays together and in order; only white space at the end of the line has none.
    std::vector<std::string> found = words;
    found.erase(std::unique(found.begin(), found.end()), found.end());
    if (!found.empty() && found.back().empty()) found.pop_back();
    CHECK(found == in_text);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      INFO(i << " " << tokenizer->piece(ids[i]) << " " << words[i]);
      if (words[i].empty()) continue;
      const std::string copied = decode_copied(*tokenizer, {-1 - static_cast<std::int32_t>(i)}, words);
      CHECK(copied.find('\xE2') == std::string::npos);
      CHECK(words[i].find(copied) != std::string::npos);
      CHECK(words[i].size() - copied.size() <= 2);  // the punctuation around it
    }
    if (tokenizer->decode({tokenizer->unknown_id()}).empty()) continue;  // taken for whole words when nothing is around
    // Several unknown ids of a row are one word, the first one's.
    CHECK(decode_copied(*tokenizer, {-1, -2}, words) == "Yesterday");
    CHECK(decode_copied(*tokenizer, {-2, -1 - static_cast<std::int32_t>(ids.size() / 2)}, words) == "Yesterday");
  }
  // The marks that stand alone, and the bytes.
  const auto tokenizer = trained(corpus(), "bpe", 300, true);
  const std::string umlaut = "\303\234ber";
  const Ids ids = tokenizer->encode(umlaut);
  REQUIRE(tokenizer->piece(ids[0]) == "\xE2\x96\x81");
  REQUIRE(tokenizer->piece(ids[1]) == "<0xC3>");
  const std::vector<std::string> words = words_by_position(*tokenizer, {umlaut}).front();
  for (std::int32_t p = 0; p < std::ssize(ids); ++p) CHECK(decode_copied(*tokenizer, {-1 - p}, words) == umlaut);
}

TEST_CASE("positions of the source count its control ids, which have no word", "[text]") {
  for (const std::string& type : std::vector<std::string>{"bpe", "char"}) {
    const auto tokenizer = trained(corpus(), type, 60);
    const std::string source = "the Q\xC3\xBCZ, a man";
    const auto plain = words_by_position(*tokenizer, {source}).front();
    LineEncoding how;
    how.begin = how.end = true;
    const auto words = words_by_position(*tokenizer, {"", source}, how);
    CHECK(words[0] == std::vector<std::string>{"", ""});
    std::vector<std::string> around{""};
    around.insert(around.end(), plain.begin(), plain.end());
    around.emplace_back();
    CHECK(words[1] == around);
    // An unknown id there is what it is without words.
    const std::int32_t unknown = tokenizer->unknown_id(), last = -static_cast<std::int32_t>(around.size());
    Ids ids = tokenizer->encode("a plan is the man"), copied;
    ids.insert(ids.begin() + 3, unknown);
    ids.push_back(unknown);
    for (const std::int32_t id : ids) copied.push_back(id == unknown ? last : id);
    CHECK(decode_copied(*tokenizer, copied, words[1]) == tokenizer->decode(ids));
    CHECK(decode_copied(*tokenizer, {-1}, words[1]) == tokenizer->decode({unknown}));
    how.most_tokens = 4;
    how.overflow = Overflow::truncate;
    CHECK(words_by_position(*tokenizer, {source}, how).front().size() == 4);
    how.overflow = Overflow::error;
    CHECK_THROWS_WITH(words_by_position(*tokenizer, {source}, how, 6, "source"), Contains("source: line 7: "));
  }
}

TEST_CASE("what is packed comes out the same, and a message that is cut short says so", "[text]") {
  Packer packer;
  const std::vector<Phrases> records{{{1, 2}, {3}}, {}, {{4}}};
  pack(packer, records);
  packer.put(7);
  packer.put_text("seven");
  Unpacker from(packer.bytes());
  std::vector<Phrases> back;
  unpack(from, back);
  CHECK(back == records);
  CHECK(from.get<int>() == 7);
  CHECK(from.get_text() == "seven");
  CHECK(from.empty());
  Unpacker cut(packer.bytes().first(packer.bytes().size() - 1));
  unpack(cut, back);
  CHECK(cut.get<int>() == 7);
  CHECK_THROWS_WITH(cut.get_text(), Contains("cut short"));
}
