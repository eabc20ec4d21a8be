/// A model file in words.
#pragma once
#include <string>

#include "models/model_file.hpp"

namespace pipeformer {

/// Lines of "name value" for the hyper-parameters, then one line for each parameter (name, shape, type), then totals.
std::string describe(const ModelFile&);
/// A line for each intermediate: name, tab, shape.
std::string describe(const TapList&);

}  // namespace pipeformer
