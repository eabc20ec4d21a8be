/// Texts that end an output: generation stops after the token with which the text of the generated tokens holds one.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.hpp"

namespace pipeformer {

class StopTexts {
 public:
  /// None of the texts is empty.
  StopTexts(std::shared_ptr<const Tokenizer> tokenizer, std::vector<std::string> texts);

  /// Whether the last of the ids completes one of the texts. Only as many ids are decoded as can belong to it.
  bool completed_by_last(std::span<const std::int32_t> ids) const;

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<std::string> texts_;
  std::size_t longest_ = 0;
};

}  // namespace pipeformer
