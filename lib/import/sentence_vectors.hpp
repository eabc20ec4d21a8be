/// What sentence-transformers says about a sentence's vector: modules.json and the folders that it names.
#pragma once
#include <optional>
#include <string>

#include "import/family.hpp"

namespace pipeformer {

/// Sets pooling and normalisation of an encoder from modules.json, where the directory has one. Throws Error for a
/// module that is not understood.
void read_sentence_vectors(const std::string& directory, Exchange&);

/// The same of a model whose vectors are not what its family makes by itself: an encoder of ids without a head, a
/// pooler or a projection, that takes another row than the first, or divides by the length. Nothing of all others.
struct SentenceVectorFiles {
  std::string modules;  ///< modules.json
  std::string pooling;  ///< 1_Pooling/config.json
};
std::optional<SentenceVectorFiles> sentence_vectors(const Configuration&);

}  // namespace pipeformer
