// tokenizer.json files written by hand: what each section does. The expected values are those of the library that
// defines the format.
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/random.hpp"
#include "text/hf/decoders.hpp"
#include "text/hf/normalizers.hpp"
#include "text/hf/pre_tokenizers.hpp"
#include "text/hf/regex.hpp"
#include "text/hf/word_cache.hpp"
#include "text/tokenizer.hpp"

using namespace pipeformer;
using Catch::Matchers::Contains;
using Ids = std::vector<std::int32_t>;
using Texts = std::vector<std::string>;

namespace {

std::string normalized(const std::string& section, std::string text) {
  const JsonDocument document = JsonDocument::parse(section, "t");
  hf::read_normalizer(document.root(), "t")->apply(text);
  return text;
}

Texts words(const std::string& section, const std::string& text) {
  const JsonDocument document = JsonDocument::parse(section, "t");
  const hf::PreTokenizers steps = hf::read_pre_tokenizers(document.root(), "t");
  hf::Words split{text, {}};
  if (!text.empty()) split.words.push_back({0, text.size(), true});
  steps.apply(split);
  if (steps.bytes_last) hf::write_bytes_as_characters(split);
  Texts texts;
  for (const auto& word : split.words) texts.push_back(split.text.substr(word.begin, word.end - word.begin));
  return texts;
}

std::string decoded(const std::string& section, Texts texts) {
  const JsonDocument document = JsonDocument::parse(section, "t");
  hf::read_decoder(document.root(), "t")->apply(texts);
  std::string all;
  for (const std::string& text : texts) all += "[" + text + "]";
  return all;
}

/// A tokenizer of words: the model, and further sections.
std::unique_ptr<Tokenizer> with(const std::string& model, const std::string& sections = "") {
  return Tokenizer::parse("{\"model\": " + model + (sections.empty() ? "" : ", ") + sections + "}", "t.json");
}
const std::string letters =
    R"({"type": "BPE", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "bc": 5, "abc": 6},
        "merges": ["b c", ["a", "b"], "ab c"]})";

}  // namespace

TEST_CASE("tokenizer.json: normalizers", "[text][tokenizer_json]") {
  CHECK(normalized(R"({"type": "NFC"})", "e\u0301") == "é");
  CHECK(normalized(R"({"type": "NFKD"})", "ﬁ½") == "fi1\u20442");
  CHECK(normalized(R"({"type": "Lowercase"})", "ÀİΣ") == "ài̇σ");
  CHECK(normalized(R"({"type": "StripAccents"})", "e\u0301a\u0903") == "ea");
  CHECK(normalized(R"({"type": "Strip", "strip_left": true, "strip_right": false})", " \u3000a ") == "a ");
  CHECK(normalized(R"({"type": "Strip", "strip_left": false, "strip_right": true})", " ") == "");
  CHECK(normalized(R"({"type": "Replace", "pattern": {"String": "."}, "content": "-$1"})", "a.b") == "a-$1b");
  CHECK(normalized(R"({"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "})", "a \t\u3000b") == "a b");
  CHECK(normalized(R"({"type": "Prepend", "prepend": "_"})", "a") == "_a");
  CHECK(normalized(R"({"type": "Prepend", "prepend": "_"})", "") == "");
  CHECK(normalized(R"({"type": "Nmt"})",
                   "\x01"
                   "a\u200Bb\tc") == "a b c");
  CHECK(normalized(R"({"type": "ByteLevel"})", " é") == "ĠÃ©");
  CHECK(normalized(R"({"type": "BertNormalizer"})", "\tÉ中x\u200D\uFFFD") == " e 中 x");
  CHECK(normalized(R"({"type": "BertNormalizer", "lowercase": false, "handle_chinese_chars": false})", "É中") == "É中");
  CHECK(normalized(R"({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]})", "é") == "e");
}

TEST_CASE("tokenizer.json: pre-tokenizers", "[text][tokenizer_json]") {
  CHECK(words(R"({"type": "ByteLevel", "add_prefix_space": true})", "it's  é\n") ==
        Texts{"Ġit", "'s", "Ġ", "ĠÃ©", "Ċ"});
  CHECK(words(R"({"type": "Whitespace"})", "a_b, c!") == Texts{"a_b", ",", "c", "!"});
  CHECK(words(R"({"type": "WhitespaceSplit"})", " a, b\u3000") == Texts{"a,", "b"});
  CHECK(words(R"({"type": "BertPreTokenizer"})", "a, b+") == Texts{"a", ",", "b", "+"});
  CHECK(words(R"({"type": "Digits"})", "a12b½") == Texts{"a", "12", "b", "½"});
  CHECK(words(R"({"type": "Digits", "individual_digits": true})", "a12") == Texts{"a", "1", "2"});
  CHECK(words(R"({"type": "CharDelimiterSplit", "delimiter": "-"})", "a--b") == Texts{"a", "b"});
  CHECK(words(R"({"type": "FixedLength", "length": 2})", "abécd") == Texts{"ab", "éc", "d"});
  CHECK(words(R"({"type": "UnicodeScripts"})", "りんご 林檎a") == Texts{"りんご 林檎", "a"});
  CHECK(words(R"({"type": "Metaspace"})", "a  b") == Texts{"▁a", "▁", "▁b"});
  CHECK(words(R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "never"})", "a b") == Texts{"a", "_b"});
  CHECK(words(R"({"type": "Metaspace", "split": false})", "a b") == Texts{"▁a▁b"});
  CHECK(words(R"({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
                  {"type": "Metaspace", "prepend_scheme": "first"}]})",
              "a b") == Texts{"▁a", "b"});
  const auto split = [](const std::string& behavior, const std::string& invert) {
    return words(
        R"({"type": "Split", "pattern": {"Regex": "-"}, "invert": )" + invert + R"(, "behavior": ")" + behavior + "\"}",
        "a--b-c");
  };
  CHECK(split("Removed", "false") == Texts{"a", "b", "c"});
  CHECK(split("Removed", "true") == Texts{"-", "-", "-"});
  CHECK(split("Isolated", "false") == Texts{"a", "-", "-", "b", "-", "c"});
  CHECK(split("Contiguous", "false") == Texts{"a", "--", "b", "-", "c"});
  CHECK(split("MergedWithPrevious", "false") == Texts{"a-", "-", "b-", "c"});
  CHECK(split("MergedWithNext", "false") == Texts{"a", "-", "-b", "-c"});
}

TEST_CASE("tokenizer.json: decoders", "[text][tokenizer_json]") {
  CHECK(decoded(R"({"type": "ByteLevel"})", {"Ġa", "Ã", "©", "Ã"}) == "[ aé\uFFFD]");
  CHECK(decoded(R"({"type": "ByteFallback"})", {"a", "<0xC3>", "<0xa9>", "b", "<0xC3>", "<0xZZ>"}) ==
        "[a][é][b][\uFFFD][<0xZZ>]");
  CHECK(decoded(R"({"type": "Fuse"})", {"a", "b"}) == "[ab]");
  CHECK(decoded(R"({"type": "Strip", "content": " ", "start": 1, "stop": 1})", {"  a ", " ", ""}) == "[ a][][]");
  CHECK(decoded(R"({"type": "Metaspace"})", {"▁a", "▁b▁"}) == "[a][ b ]");
  CHECK(decoded(R"({"type": "Metaspace", "prepend_scheme": "never"})", {"▁a"}) == "[ a]");
  CHECK(decoded(R"({"type": "WordPiece"})", {"a", "##b", "c", "."}) == "[a][b][ c][.]");
  CHECK(decoded(R"({"type": "WordPiece", "cleanup": false})", {"a", "."}) == "[a][ .]");
  CHECK(decoded(R"({"type": "BPEDecoder"})", {"a</w>", "b", "c</w>"}) == "[a ][b][c]");
  CHECK(decoded(R"({"type": "CTC"})", {"a", "a", "<pad>", "a", "|", "|", "b"}) == "[a][a][ ][b]");
  CHECK(decoded(R"({"type": "Replace", "pattern": {"Regex": "x+"}, "content": "y"})", {"axxb"}) == "[ayb]");
}

TEST_CASE("tokenizer.json: BPE", "[text][tokenizer_json]") {
  const auto tokenizer = with(letters);
  CHECK(tokenizer->encode("abc") == Ids{1, 5});  // "b c" was learned first.
  CHECK(tokenizer->encode("abab") == Ids{4, 4});
  CHECK(tokenizer->encode("axxb") == Ids{1, 0, 0, 2});
  CHECK(tokenizer->encode("").empty());
  std::string long_word, twice;
  for (int i = 0; i < 40; ++i) long_word += "abbc";
  Ids expected;
  for (int i = 0; i < 40; ++i) expected.insert(expected.end(), {4, 5});
  CHECK(tokenizer->encode(long_word) == expected);
  const auto fused =
      with(R"({"type": "BPE", "unk_token": "?", "fuse_unk": true, "vocab": {"?": 0, "a": 1}, "merges": []})");
  CHECK(fused->encode("axxya") == Ids{1, 0, 1});
  const auto silent = with(R"({"type": "BPE", "vocab": {"a": 1}, "merges": []})");
  CHECK(silent->encode("axa") == Ids{1, 1});
  const auto suffixed =
      with(R"({"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {"a": 0, "b</w>": 1, "ab</w>": 2},
                               "merges": ["a b</w>"]})");
  CHECK(suffixed->encode("ab") == Ids{2});
  const auto prefixed = with(R"({"type": "BPE", "continuing_subword_prefix": "##", "vocab": {"a": 0, "##b": 1, "ab": 2},
                               "merges": ["a ##b"]})");
  CHECK(prefixed->encode("ab") == Ids{2});
  const auto whole =
      with(R"({"type": "BPE", "ignore_merges": true, "vocab": {"a": 0, "b": 1, "aab": 2}, "merges": []})");
  CHECK(whole->encode("aab") == Ids{2});
  CHECK(whole->encode("ab") == Ids{0, 1});
}

TEST_CASE("tokenizer.json: unigram, WordPiece, WordLevel", "[text][tokenizer_json]") {
  const auto unigram =
      with(R"({"type": "Unigram", "unk_id": 0, "vocab": [["?", 0], ["a", -1], ["b", -1], ["ab", -1.5]]})");
  CHECK(unigram->encode("abba") == Ids{3, 2, 1});
  CHECK(unigram->encode("axyb") == Ids{1, 0, 2});
  CHECK(unigram->score(3) == -1.5);
  const auto unused = with(
      R"({"type": "Unigram", "unk_id": 0, "pipeformer_unused": [3], "vocab": [["?", 0], ["a", -1], ["b", -1], ["ab", 5]]})");
  CHECK(unused->encode("abba") == Ids{1, 2, 2, 1});
  CHECK(unused->decode(Ids{3}) == "ab");
  const auto pieces = with(R"({"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##",
      "max_input_chars_per_word": 4, "vocab": {"?": 0, "a": 1, "ab": 2, "##b": 3, "##é": 4}})",
                           R"("pre_tokenizer": {"type": "WhitespaceSplit"})");
  CHECK(pieces->encode("abb é abé abbbb") == Ids{2, 3, 0, 2, 4, 0});
  const auto level = with(R"({"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}})",
                          R"("pre_tokenizer": {"type": "Whitespace"})");
  CHECK(level->encode("a b a") == Ids{1, 0, 1});
  CHECK(level->decode({1, 0}) == "a ?");  // Without a decoder pieces are words.
  const auto strict = with(R"({"type": "WordLevel", "unk_token": "?", "vocab": {"a": 1}})");
  CHECK_THROWS_WITH(strict->encode("b"), Contains("'b'") && Contains("'?'"));
}

TEST_CASE("tokenizer.json: added tokens in text", "[text][tokenizer_json]") {
  const auto tokenizer = with(letters, R"("added_tokens": [
      {"id": 7, "content": "<s>", "special": true, "normalized": false},
      {"id": 8, "content": "<m>", "special": true, "normalized": false, "lstrip": true, "rstrip": true},
      {"id": 9, "content": "aa", "single_word": true, "normalized": false},
      {"id": 10, "content": "CC", "normalized": true}], "normalizer": {"type": "Lowercase"})");
  CHECK(tokenizer->encode("a<s>b") == Ids{1, 7, 2});
  CHECK(tokenizer->encode("a <m> b") == Ids{1, 8, 2});
  CHECK(tokenizer->encode("aa aab") == Ids{9, 0, 1, 4});
  CHECK(tokenizer->encode("accb") == Ids{1, 10, 2});  // Found in normalized text, as normalized.
  CHECK(tokenizer->vocabulary_size() == 11);
  CHECK(tokenizer->decode({1, 7, 2}) == "a b");
  CHECK(tokenizer->decode_with_control({1, 7, 2}) == "a <s> b");
  CHECK(tokenizer->begin_id() == 7);  // By convention, since no file says.
  CHECK(tokenizer->end_id() == -1);
}

TEST_CASE("tokenizer.json: control ids around one text and two", "[text][tokenizer_json]") {
  const std::string added = R"("added_tokens": [{"id": 7, "content": "<s>", "special": true}], )";
  const auto roberta =
      with(letters, added + R"("post_processor": {"type": "RobertaProcessing", "cls": ["<s>", 7], "sep": ["?", 0]})");
  const Ids a{1}, b{2, 3};
  CHECK(roberta->assemble(a, &b, true).ids == Ids{7, 1, 0, 0, 2, 3, 0});
  CHECK(roberta->assemble(a, &b, true).types == Ids{0, 0, 0, 0, 0, 0, 0});
  CHECK(roberta->assemble(a, nullptr, false).ids == a);
  const auto bert =
      with(letters, added + R"("post_processor": {"type": "BertProcessing", "cls": ["<s>", 7], "sep": ["?", 0]})");
  CHECK(bert->assemble(a, &b, true).ids == Ids{7, 1, 0, 2, 3, 0});
  CHECK(bert->assemble(a, &b, true).types == Ids{0, 0, 0, 1, 1, 1});
  CHECK(bert->assemble({}, nullptr, true).ids == Ids{7, 0});
  const std::string sequence = R"({"Sequence": {"id": "A", "type_id": 0}})",
                    control = R"({"SpecialToken": {"id": "x", "type_id": 2}})";
  const auto made =
      with(letters, added + R"("post_processor": {"type": "TemplateProcessing", "single": [)" + control + "," +
                        sequence + R"(], "pair": [{"Sequence": {"id": "B", "type_id": 1}}, )" + sequence +
                        R"(], "special_tokens": {"x": {"id": "x", "ids": [7, 0], "tokens": ["<s>", "?"]}}})");
  CHECK(made->assemble(a, nullptr, true).ids == Ids{7, 0, 1});
  CHECK(made->assemble(a, nullptr, true).types == Ids{2, 2, 0});
  CHECK(made->assemble(a, &b, true).ids == Ids{2, 3, 1});
  CHECK(made->adds_control_ids());
  CHECK_FALSE(with(letters)->adds_control_ids());
}

TEST_CASE("tokenizer.json: bytes and their characters", "[text][tokenizer_json]") {
  // All 256, then two merges: " a" and "é".
  std::string vocabulary;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool visible = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    static unsigned next = 0;
    if (byte == 0) next = 0x100;
    std::string character;
    append_utf8(character, visible ? byte : next++);
    if (character == "\"" || character == "\\") character.insert(0, "\\");
    vocabulary += "\"" + character + "\": " + std::to_string(byte) + ", ";
  }
  const auto tokenizer =
      with(R"({"type": "BPE", "vocab": {)" + vocabulary + R"("Ġa": 256, "Ã©": 257}, "merges": ["Ġ a", "Ã ©"]})",
           R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "decoder": {"type": "ByteLevel"})");
  CHECK(tokenizer->encode("a a é") == Ids{'a', 256, ' ', 257});
  for (int i = 0; i < 2; ++i)
    CHECK(tokenizer->decode(tokenizer->encode("zwölf \U0001F600\r\n\t")) == "zwölf \U0001F600\r\n\t");
  CHECK(tokenizer->piece(256) == "Ġa");
  std::uint64_t state = 1;
  for (int i = 0; i < 500; ++i) {  // Any text comes back.
    std::string text;
    for (int k = 0; k < 20; ++k) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const auto code = static_cast<char32_t>((state >> 40) % (k % 2 ? 0x80 : 0x11000));
      if (code < 0xD800 || code > 0xDFFF) append_utf8(text, code);
    }
    CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
  }
}

TEST_CASE("tokenizer.json: what is not understood is named", "[text][tokenizer_json]") {
  const auto refuses = [](const std::string& text, const std::string& words) {
    CHECK_THROWS_WITH(Tokenizer::parse(text, "t.json"), Contains("t.json") && Contains(words));
  };
  const auto section = [](const std::string& name, const std::string& value) {
    return "{\"model\": " + letters + ", \"" + name + "\": " + value + "}";
  };
  refuses("{", "line 1");
  refuses("{}", "model");
  refuses(section("surprise", "1"), "surprise");
  refuses(section("version", "\"2.0\""), "version");
  refuses(section("normalizer", R"({"type": "Rot13"})"), "normalizer.type is \"Rot13\"");
  refuses(section("normalizer", R"({"type": "NFC", "speed": 3})"), "normalizer.speed is 3");
  refuses(section("pre_tokenizer", R"({"type": "Sequence", "pretokenizers": [{"type": "Odd"}]})"),
          "pretokenizers[0].type");
  refuses(section("pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"})"), "'('");
  refuses(section("pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Alone"})"), "Alone");
  refuses(section("decoder", R"({"type": "Odd"})"), "Odd");
  refuses(section("post_processor", R"({"type": "Odd"})"), "Odd");
  refuses(section("post_processor", R"({"type": "BertProcessing", "cls": ["x", 99], "sep": ["?", 0]})"), "id 99");
  refuses(section("added_tokens", "3"), "added_tokens");
  refuses(section("added_tokens", R"([{"id": -3, "content": "x"}])"), "-3");
  const auto model = [](const std::string& value) { return "{\"model\": " + value + "}"; };
  refuses(model(R"({"type": "Odd"})"), "Odd");
  refuses(model(R"({"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []})"), "same id 0");
  refuses(model(R"({"type": "BPE", "vocab": {"a": 2000000000}, "merges": []})"), "2000000000");
  refuses(model(R"({"type": "BPE", "vocab": {"a": -1}, "merges": []})"), "-1");
  refuses(model(R"({"type": "BPE", "vocab": {"a": 1.5}, "merges": []})"), "1.5");
  refuses(model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]})"), "'b' is not in the vocabulary");
  refuses(model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"]})"), "'aa' is not in the vocabulary");
  refuses(model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]})"), "merges[0]");
  refuses(model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "b"})"), "unk_token");
  refuses(model(R"({"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1})"), "unk_id");
  refuses(model(R"({"type": "Unigram", "vocab": [["a"]]})"), "vocab[0]");
  refuses(model(R"({"type": "Unigram", "vocab": [["a", 0], null]})"), "vocab[1]");
  refuses(model(R"({"type": "Unigram", "vocab": [["a", 0], ["b", null]]})"), "vocab[1][1] is null");
  refuses(model(R"({"type": "Unigram", "vocab": [[null, 0]]})"), "vocab[0][0] is null");
  refuses(model(R"({"type": "Unigram", "vocab": [["a", 0]], "pipeformer_unused": [1]})"), "pipeformer_unused[0] is 1");
  refuses(model(R"({"type": "BPE", "vocab": {"a": null}, "merges": []})"), "null");
  refuses(model(R"({"type": "WordPiece", "unk_token": "a", "vocab": {"a": null}})"), "null");
  refuses(model(R"({"type": "WordLevel", "unk_token": "a", "vocab": {"a": null}})"), "null");
  refuses("{\"model\": " + std::string(100000, '[') + "}", "64");
}

TEST_CASE("regular expressions keep Oniguruma's meaning", "[text][tokenizer_json]") {
  const auto all = [](const std::string& pattern, const std::string& text) {
    const hf::Regex regex(pattern, "t");
    std::string found;
    std::size_t begin = 0, end = 0;
    for (std::size_t from = 0; from < text.size() && regex.search(text, from, begin, end);
         from = std::max(end, from + 1))
      found += "[" + text.substr(begin, end - begin) + "]";
    return found;
  };
  CHECK(all(R"(\s)", "a\u180Eb\u3000") == "[\u3000]");  // The Mongolian vowel separator is no space.
  CHECK(all(R"(\p{N}{1,2}+)", "12345") == "[12345]");   // {n,m}+ repeats, it is not possessive.
  CHECK(all(R"(a{,2}b)", "aaab") == "[aab]");
  CHECK(all(R"([^(\s|[.,])]+)", "a(b,c|d e") == "[a][b][c][d][e]");
  CHECK(all(R"((?m)a.b)", "a\nb") == "[a\nb]");
  CHECK(all(R"(a.b)", "a\nb").empty());
  CHECK(all(R"(^b$)", "a\nb\nc") == "[b]");
  CHECK(all(R"(\h+)", "xfg1") == "[f][1]");
  CHECK(all(R"([[:punct:]]+)", "a+-b") == "[+-]");
  CHECK(all(R"(\p{Letter}+|\p{^L})", "ab1") == "[ab][1]");
  CHECK(all(R"((?i:'S)+)", "'s'S") == "['s'S]");
  CHECK(all(R"(\p{Han}+)", "中文、ひ") == "[中文]");
  for (const std::string pattern :
       {"[a&&b]", "[a[^b]]", "(*FAIL)", "(?C1)", "\\y", "\\p{Klingonese}", "[a", "a)", "(a"})
    CHECK_THROWS_WITH(hf::Regex(pattern, "where"), Contains("where") && Contains(pattern));
}

TEST_CASE("tokenizer.json: a line that is cut at marks, to look its words up, keeps its ids",
          "[text][tokenizer_json]") {
  // sample() with nothing left out is the plain algorithm on the whole line. In the second model a merge reaches over
  // the place of a cut, in the third a mark is unknown.
  const std::string pieces = R"("vocab": {"?": 0, "a": 1, "b": 2, "ab": 3, "M": 4, "MM": 5, "Ma": 6, "MMab": 7, "aM": 8,
      "MMMM": 9, "<0x63>": 10, "Mab": 11})";
  const std::vector<std::string> models = {
      R"({"type": "BPE", "unk_token": "?", "fuse_unk": true, )" + pieces +
          R"(, "merges": ["M M", "a b", "MM ab", "M a", "MM MM", "M ab"]})",
      R"({"type": "BPE", "unk_token": "?", )" + pieces + R"(, "merges": ["a M", "M M", "a b", "MM ab", "M a"]})",
      R"({"type": "BPE", "unk_token": "?", "fuse_unk": true, "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3}, "merges": ["a b"]})"};
  for (std::string model : models) {
    for (std::size_t at; (at = model.find('M')) != std::string::npos;) model.replace(at, 1, "\u2581");
    const auto tokenizer = with(model);
    const SubwordSampling nothing_left_out{0, -1, 1};
    Random random(7);
    for (int i = 0; i < 3000; ++i) {
      std::string line;
      const int length = static_cast<int>(random.uniform() * 40);
      for (int k = 0; k < length; ++k)
        line += Texts{"\u2581", "a", "b", "c", "\u00e9"}[static_cast<std::size_t>(random.uniform() * 5)];
      REQUIRE(tokenizer->encode(line) == tokenizer->sample(line, nothing_left_out, i));
    }
  }
}

TEST_CASE("an empty word has no ids, whatever words were kept before", "[tokenizer]") {
  hf::WordCache& cache = hf::WordCache::of(hf::WordCache::new_owner());
  const auto encode = [](std::string_view, std::vector<std::int32_t>& ids) { ids.push_back(7); };
  std::vector<std::int32_t> ids;
  cache.append("", ids, encode);
  CHECK(ids.empty());
  for (int i = 0; i < 500000; ++i) cache.append(std::to_string(i), ids, encode);  // every place is taken
  CHECK(ids.size() == 500000);
  ids.clear();
  cache.append("", ids, encode);
  CHECK(ids.empty());
  const auto nothing = [](std::string_view, std::vector<std::int32_t>&) {};
  Ids none;  // its data() is null, which the sanitizers look at
  for (int i = 0; i < 2; ++i) cache.append("unknown", none, nothing);
  CHECK(none.empty());
}
