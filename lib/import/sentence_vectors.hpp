/// What sentence-transformers says about a sentence's vector: modules.json and the folders that it names.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "import/family.hpp"

namespace pipeformer {

struct SentenceModules {
  std::string transformer;         ///< Folder of the model itself; usually "": beside modules.json.
  std::optional<Pooling> pooling;  ///< Nothing: there is no modules.json.
  /// A linear layer and an activation after pooling, with its tensors in a folder of its own.
  struct Dense {
    std::string folder;
    std::int64_t in = 0, out = 0;
    bool bias = true;
    Activation activation = Activation::tanh;
  };
  std::optional<Dense> dense;
  bool normalize = false;
};

/// Reads modules.json and what it names, where the directory has one. Throws Error for a module, or an order of
/// modules, that is not understood.
SentenceModules read_sentence_modules(const std::string& directory);

/// Those of a model whose vectors are not what its family makes by itself: an encoder of ids without a head that has
/// more than a pooler of BERT's. Nothing of all others.
std::optional<SentenceModules> sentence_modules(const Configuration&);

/// The files that say it, by their paths; the tensors of Dense are not among them.
std::vector<std::pair<std::string, std::string>> files_of(const SentenceModules&, std::int64_t width);

/// Puts the modules into an encoder that its family's function has filled: pooling and normalisation, and Dense instead
/// of the model's own pooler. Its tensors begin with the folder's name and '/'.
void add_modules(const SentenceModules&, Exchange&);

}  // namespace pipeformer
