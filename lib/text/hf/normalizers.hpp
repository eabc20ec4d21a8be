/// The section `normalizer` of a tokenizer.json: what happens to text before it is split.
#pragma once
#include <memory>
#include <string>

#include "text/hf/json_object.hpp"
#include "text/places.hpp"

namespace pipeformer::hf {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Changes `text` in place. Returns whether its first character is gone with nothing in its place: what follows does
  /// not count as the beginning of the line then (Metaspace's scheme "first").
  /// origins: of the text, changed with it; null: nobody follows them.
  virtual bool apply(std::string& text, Origins* origins = nullptr) const = 0;
};

/// Throws Error naming `where` for a type or key that is not understood.
std::unique_ptr<Normalizer> read_normalizer(const Json& section, const std::string& where);

}  // namespace pipeformer::hf
