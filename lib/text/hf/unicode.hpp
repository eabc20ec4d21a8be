/// Properties of characters as tokenizers use them, from ICU's tables.
#pragma once
#include <string>
#include <string_view>

namespace pipeformer::hf {

bool is_space(char32_t code);        ///< The property White_Space.
bool is_word(char32_t code);         ///< Letters, marks, digits, connectors, joiners: \w.
bool is_numeric(char32_t code);      ///< Any category of numbers: Nd, Nl, No.
bool is_punctuation(char32_t code);  ///< Any category of punctuation, and ASCII's symbols.
bool is_other(char32_t code);        ///< Control, format, private use, surrogates.
bool is_mark(char32_t code);         ///< Any category of marks.
bool is_nonspacing_mark(char32_t code);
bool is_ideograph(char32_t code);  ///< What BERT puts spaces around: the blocks of CJK ideographs.

/// A number for the script, as for splitting at changes of script: kana counts as Han.
int script_of(char32_t code);
constexpr int any_script = -1;  ///< Of the space and of unassigned characters: belongs to every script.

/// Lower case of each character by itself (no context: a final sigma is as any other).
void append_lowercase(std::string& text, char32_t code);

enum class Form { nfc, nfd, nfkc, nfkd };
std::string normalize(std::string_view text, Form form);
/// The next place after `at` before which text can be cut and its parts be normalized by themselves; the end of the
/// text when there is none.
std::size_t normalization_boundary(std::string_view text, std::size_t at, Form form);

/// The end of the user-perceived character (extended grapheme cluster) that begins at `at`, for each `at` in order.
class Graphemes {
 public:
  explicit Graphemes(std::string_view text);
  ~Graphemes();
  Graphemes(const Graphemes&) = delete;
  Graphemes& operator=(const Graphemes&) = delete;
  std::size_t end_after(std::size_t at);

 private:
  struct Iterator;
  Iterator* iterator_ = nullptr;
  std::string_view text_;
};

bool is_ascii(std::string_view text);

}  // namespace pipeformer::hf
