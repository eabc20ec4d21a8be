/// The section `decoder` of a tokenizer.json: how pieces become text again.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "text/hf/json_object.hpp"

namespace pipeformer::hf {

class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Changes a list of texts, pieces at first, that are joined in the end.
  virtual void apply(std::vector<std::string>& texts) const = 0;
};

/// Throws Error (`where` is for regular expressions) for a type or key that is not understood.
std::unique_ptr<Decoder> read_decoder(const Json& section, const std::string& where);

}  // namespace pipeformer::hf
