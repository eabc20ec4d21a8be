/// A language model read as an encoder: the same layers, whose positions see only those before them, without the
/// output. So classifiers are made of language models (Radford et al. 2018).
#pragma once
#include <string>

#include "models/configuration.hpp"

namespace pipeformer {

/// What the layers of a decoder alone are as an encoder. Its head is still that of tokens, which a task replaces; it is
/// the last row that stands for a sequence, the only one that saw all of it.
Configuration causal_encoder(const Configuration& language_model);

/// What the language model calls a parameter of that encoder.
std::string name_in_language_model(const std::string& parameter);

}  // namespace pipeformer
