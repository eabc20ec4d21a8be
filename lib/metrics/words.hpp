/// How metrics of translations cut lines into words, as sacreBLEU 2 does (Post 2018, "A Call for Clarity in Reporting
/// BLEU Scores").
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace pipeformer {

/// The words of one line, as parts of one text.
class Words {
 public:
  /// Cuts at white space. Bytes that are no UTF-8 become replacement characters.
  explicit Words(std::string text);
  Words(const Words&) = delete;
  Words& operator=(const Words&) = delete;
  const std::vector<std::string_view>& list() const { return words_; }

 private:
  std::string text_;
  std::vector<std::string_view> words_;
};

/// BLEU's tokenizers: what they give is to be cut at white space.
///   mteval13a  NIST's mteval-v13a, for European languages
///   intl       mteval-v14 --international-tokenization: punctuation (but between digits) and symbols of all languages
///   zh         each Chinese character is a word; the rest as mteval-v13a
///   character  each character is a word
///   none       the line as it is
enum class BleuTokens { mteval13a, intl, zh, character, none };
std::string tokenized(std::string_view line, BleuTokens tokens);

/// What TER does to a line first (Tercom's Normalizer).
struct TerNormalization {
  bool case_sensitive = false;
  bool normalized = false;  ///< Tokenise punctuation, much as mteval-v13a.
  bool no_punct = false;    ///< Leave . , ? : ; ! " ( ) out.
  bool asian_support =
      false;  ///< With `normalized`: Chinese and Japanese characters apart; with `no_punct`: theirs out.
};
std::string ter_normalized(std::string_view line, const TerNormalization& how);

/// Of ASCII: what Python's string.punctuation has.
constexpr bool is_ascii_punctuation(char32_t c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

}  // namespace pipeformer
