/// Base64 (RFC 4648), as tokenizer.json holds binary data.
#pragma once
#include <string>
#include <string_view>

namespace pipeformer::hf {

std::string to_base64(std::string_view bytes);
/// Throws Error naming `where` for text that is not base64.
std::string from_base64(std::string_view text, const std::string& where);

}  // namespace pipeformer::hf
