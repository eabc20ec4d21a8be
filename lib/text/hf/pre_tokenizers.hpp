/// The section `pre_tokenizer` of a tokenizer.json: how normalized text is split into words, which the model then cuts
/// into pieces one by one.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "text/hf/json_object.hpp"
#include "text/places.hpp"

namespace pipeformer::hf {

/// A text and its words so far: stretches of it, in order, none empty.
struct Words {
  struct Word {
    std::size_t begin, end;
    bool first;  ///< It begins where the line begins.
  };
  std::string text;
  std::vector<Word> words;
  Origins* origins = nullptr;  ///< Of the text, changed with it; null: nobody follows them.
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Words&) const = 0;
};

struct PreTokenizers {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  /// The last thing to do is to write bytes as characters (ByteLevel). It is no step: a model that works on bytes need
  /// not do it.
  bool bytes_last = false;

  void apply(Words& words) const {
    for (const auto& step : steps) step->apply(words);
  }
};

/// Throws Error naming `where` for a type or key that is not understood.
PreTokenizers read_pre_tokenizers(const Json& section, const std::string& where);

/// Writes the bytes of every word as characters.
void write_bytes_as_characters(Words&);

}  // namespace pipeformer::hf
