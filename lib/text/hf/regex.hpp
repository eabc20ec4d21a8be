/// Regular expressions of tokenizer.json files. They are written for Oniguruma (Ruby's syntax) and run here by PCRE2,
/// with Oniguruma's meaning of classes: \s is White_Space, \w letters, marks, digits and connectors, \p{Script} the
/// script alone, [a[bc]] a union.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace pipeformer::hf {

class Regex {
 public:
  /// Throws Error naming `where` for an expression that cannot be taken over with its meaning.
  Regex(std::string_view pattern, const std::string& where);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// The first match in `text` at or after `from`, true when there is one. `text` must be UTF-8. Throws Error when the
  /// search takes too many steps.
  bool search(std::string_view text, std::size_t from, std::size_t& begin, std::size_t& end) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

/// The same expression in PCRE2's syntax; for tests.
std::string pcre_of_oniguruma(std::string_view pattern, const std::string& where);

/// An expression that matches `text` itself.
std::string escape_regex(std::string_view text);

}  // namespace pipeformer::hf
