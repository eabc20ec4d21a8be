/// What sentence-transformers says about a sentence's vector: modules.json and the folders that it names.
#pragma once
#include <string>

#include "import/family.hpp"

namespace pipeformer {

/// Sets pooling and normalisation of an encoder from modules.json, where the directory has one. Throws Error for a
/// module that is not understood.
void read_sentence_vectors(const std::string& directory, Import&);

}  // namespace pipeformer
