/// JSON in files.
#pragma once
#include <string>

#include "core/json.hpp"

namespace pipeformer {

/// Reads and parses a file. Throws Error naming it.
JsonDocument read_json(const std::string& path, const JsonLimits& limits = {});

}  // namespace pipeformer
