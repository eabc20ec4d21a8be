/// GPT-2's way to write any byte as a visible character: those of Latin-1 that are visible stand for themselves, the
/// others are U+0100 and following, in order.
#pragma once
#include <array>
#include <string>
#include <string_view>

namespace pipeformer::hf {

char32_t character_of_byte(unsigned char byte);
int byte_of_character(char32_t code);  ///< -1 when it stands for none.
std::string to_byte_characters(std::string_view bytes);
/// False, with `bytes` unchanged, when some character stands for no byte.
bool append_bytes_of_characters(std::string_view text, std::string& bytes);

}  // namespace pipeformer::hf
