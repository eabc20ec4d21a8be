/// Which pieces are control ids: the names that configuration files use, and what the pieces usually look like.
#pragma once
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "text/tokenizer.hpp"

namespace pipeformer::hf {

/// The roles by our names ("begin", "padding") with the member for each.
std::array<std::pair<const char*, std::optional<std::int32_t>*>, 7> roles(NamedIds&);

/// Contents that are conventional for a role, for a tokenizer.json that came without the files that tell.
const std::vector<std::string>& usual_contents(const std::string& role);

/// The text of a tokenizer.json with a key `pipeformer` that says which pieces are control ids, as the texts of
/// tokenizer_config.json and special_tokens_map.json (either may be empty) have it. Throws Error naming the file for
/// what is no such file.
std::string with_control_tokens(const std::string& tokenizer_json, const std::string& tokenizer_config,
                                const std::string& special_tokens_map);

/// The two files that with_control_tokens() makes one of: tokenizer.json as other programs take it, and
/// tokenizer_config.json; the latter is empty when the text names no control ids.
struct TokenizerFiles {
  std::string tokenizer, config;
};
TokenizerFiles without_control_tokens(const std::string& tokenizer_json);

}  // namespace pipeformer::hf
