/// Texts from files on a terminal, which would take some of their characters for commands.
#pragma once
#include <string>
#include <string_view>

namespace pipeformer {

/// The text with what a terminal would act on, or a reader not see, spelled out: control characters (C0 but for newline
/// and tab, DEL, C1) and bytes that are not UTF-8 as \x1b, characters that change the direction of text or end lines,
/// and the byte order mark, as \u202e.
std::string visible(std::string_view text);

}  // namespace pipeformer
