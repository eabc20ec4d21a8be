/// tokenizer.json: the format of Hugging Face's tokenizers library, version 1.0.
#pragma once
#include <memory>
#include <string>

#include "text/tokenizer.hpp"

namespace pipeformer::hf {

/// Throws Error naming `name` and the place in the file for anything that is not understood. Ours in addition: a key
/// `pipeformer` with the control ids ({"control": {"begin": "<s>", ...}}), which the format leaves to other files.
/// `truncation` and `padding` are about batches: they change no ids here.
std::unique_ptr<Tokenizer> parse_tokenizer_json(std::string text, const std::string& name);

}  // namespace pipeformer::hf
