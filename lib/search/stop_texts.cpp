#include "search/stop_texts.hpp"

#include <algorithm>
#include <utility>

namespace pipeformer {

StopTexts::StopTexts(std::shared_ptr<const Tokenizer> tokenizer, std::vector<std::string> texts)
    : tokenizer_(std::move(tokenizer)), texts_(std::move(texts)) {
  for (const std::string& text : texts_) longest_ = std::max(longest_, text.size());
}

bool StopTexts::completed_by_last(std::span<const std::int32_t> ids) const {
  // The text of the last ids is the end of the whole text, but for its first character, of which bytes may be missing,
  // and a space before it. More ids, until what can be wrong lies before anything that counts.
  constexpr std::size_t unsure = 16;
  for (std::size_t count = std::min(ids.size(), longest_ + 1);; count = std::min(ids.size(), 2 * count)) {
    const auto tail = ids.last(count);
    const std::string text = tokenizer_->decode({tail.begin(), tail.end()});
    if (std::any_of(texts_.begin(), texts_.end(),
                    [&](const std::string& stop) { return text.find(stop) != std::string::npos; }))
      return true;
    if (count == ids.size() || text.size() >= longest_ + unsure) return false;
  }
}

}  // namespace pipeformer
