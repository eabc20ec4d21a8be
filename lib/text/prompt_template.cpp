#include "text/prompt_template.hpp"

#include "core/error.hpp"
#include "text/line_batches.hpp"

namespace pipeformer {

constexpr std::string_view place = "{prompt}";

PromptTemplate PromptTemplate::read(const std::string& path) {
  PromptTemplate result;
  result.text_ = read_document(path, InvalidUtf8::error);
  if (result.text_.ends_with('\n')) result.text_.pop_back();
  require(result.text_.find(place) != std::string::npos, input_name(path), ": has no ", place,
          ", which stands for the prompt");
  return result;
}

std::string PromptTemplate::apply(std::string_view prompt) const {
  std::string text;
  std::size_t done = 0;
  for (std::size_t at; (at = text_.find(place, done)) != std::string::npos; done = at + place.size())
    text.append(text_, done, at - done).append(prompt);
  return text.append(text_, done);
}

}  // namespace pipeformer
