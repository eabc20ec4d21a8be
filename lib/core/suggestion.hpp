/// The name that was meant by a mistyped one.
#pragma once
#include <string>
#include <vector>

namespace pipeformer {

/// The known name closest to a mistyped one; empty when none is close.
std::string nearest_name(const std::string& typed, const std::vector<std::string>& names);

/// The same as the end of a message: " (did you mean '--heads'?)" with the prefix "--".
std::string suggestion(const std::string& typed, const std::vector<std::string>& names, const std::string& prefix = "");

}  // namespace pipeformer
