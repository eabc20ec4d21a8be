/// The further models of an ensemble, which generate together with a first one: their files, their agreement with it,
/// and what each of them can read.
#pragma once
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/model_file.hpp"
#include "search/generate.hpp"

namespace pipeformer {

class Ensemble {
 public:
  /// Throws Error naming the file that is no whole model, or that does not mean the same as the first by the same ids:
  /// kind, vocabularies, control ids, and the pieces of the tokenizers, where both have one.
  Ensemble(const ModelFile& first, std::span<const std::string> others, std::optional<WeightType> weights);
  /// Builds the models, once there is something to read.
  void load();
  std::vector<const Transformer*> models() const;
  /// check_ids() for each of them. Throws Error for vectors, which are the memory of one model.
  void check(const BatchStream& sources, const BatchStream* ids, std::int64_t room, Beyond) const;

 private:
  std::deque<ModelFile> files_;
  std::deque<Transformer> models_;
};

/// What one model can read: the ids of the sources, and those that are given to the decoder, which needs room for
/// `room` more. Throws Error as check_ids() does.
void check_ids_of(const Configuration&, const BatchStream& sources, const BatchStream* ids, std::int64_t room, Beyond);

}  // namespace pipeformer
