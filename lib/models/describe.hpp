/// A model file in words.
#pragma once
#include <string>

#include "models/model_file.hpp"

namespace pipeformer {

/// Lines of "name value" for the hyper-parameters, then one line for each parameter (name, shape, type), then totals.
/// Of a file of several models one after another, each name after that of its group.
std::string describe_models(const std::string& address);
std::string describe(const ModelFile&, const ModelPlace& place = {});
/// A line for each intermediate: name, tab, shape.
std::string describe(const TapList&);

}  // namespace pipeformer
