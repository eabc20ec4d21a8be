/// Single layers, built from a part of a model file or from arrays. Their shapes are those of the stored parameters.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "layers/feed_forward.hpp"
#include "layers/multihead_attention.hpp"
#include "layers/norm.hpp"
#include "models/model_file.hpp"
#include "models/transformer.hpp"

namespace pipeformer {

/// Parameters that come from array files of their own.
class ArrayParameters : public StoredParameters {
 public:
  /// Reads the only record of an address as the named parameters: rows one after another, in equal parts
  /// (torch.nn.MultiheadAttention keeps query, key and value in one array). Throws Error when they are no finite
  /// floating-point numbers, or do not divide.
  void add(const std::vector<std::string>& names, const std::string& address);

  bool has(const std::string& name) const override { return arrays_.count(name) > 0; }
  Shape shape(const std::string& name) const override;
  Parameter get(const std::string& name, const Shape& shape, Initial) override;

 private:
  struct Entry {
    std::string file;
    Array array;
  };
  std::map<std::string, Entry> arrays_;
};

/// Each builds the layer called `name`, and throws Error when the parameters are not those of such a layer.
Linear make_linear(StoredParameters&, const std::string& name);
/// What makes a whole model's logits: its inputs scaled, where the model does so, and the linear layer. The head's
/// other layers have names of their own.
OutputHead make_logits(ModelFile&);
Norm make_norm(StoredParameters&, const std::string& name, const NormShape&);
FeedForward make_feed_forward(StoredParameters&, const std::string& name, Activation);

/// The shape of the attention called `name`, of which the parameters tell all but the heads.
MultiheadAttentionShape attention_shape(const StoredParameters&, const std::string& name, std::int64_t heads);
/// As the layer of this name is in its model. Throws Error when it is no attention.
MultiheadAttentionShape attention_shape(const StoredParameters&, const std::string& name, const Configuration&);
/// The biases by distance that the self-attention called `name` shares with its stack; none in other models.
RelativePositions relative_positions(StoredParameters&, const std::string& name, const Configuration&);

/// Whether a part of a model belongs to its decoder.
bool is_in_decoder(const std::string& name);

/// "encoder" or "decoder": the side that a model's address means for embeddings and positions. Without a group it is
/// the encoder, or the decoder of a model that has nothing else.
std::string embedding_side(const ModelFile&);

}  // namespace pipeformer
