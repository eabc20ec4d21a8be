/// A text around every prompt, such as a chat model was trained with: substitution and nothing more.
#pragma once
#include <string>
#include <string_view>

namespace pipeformer {

class PromptTemplate {
 public:
  /// The text of a file in which `{prompt}` stands for the prompt. The newline that ends the file is no part of it.
  /// Throws Error naming the file when `{prompt}` is not there, or the text is not UTF-8.
  static PromptTemplate read(const std::string& path);

  std::string apply(std::string_view prompt) const;

 private:
  std::string text_;
};

}  // namespace pipeformer
