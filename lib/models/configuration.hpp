/// Configuration: the hyper-parameters of a model, kept in its file as typed scalar attributes of the root under the
/// names given here.
#pragma once
#include <cstdint>
#include <string>

#include "io/hdf5.hpp"
#include "layers/transformer_layers.hpp"

namespace pipeformer {

struct Configuration {
  std::string kind = "encoder-decoder";  ///< kind: encoder-decoder, decoder-only (language model), encoder-only
  std::int64_t source_vocabulary = 0;    ///< Ids of the encoder (0 when there is none).
  std::int64_t target_vocabulary = 0;    ///< Ids of the decoder and of the output (0 when there is none).
  std::int64_t width = 512;              ///< d_model
  std::int64_t heads = 8;                ///< h
  std::int64_t kv_heads = 8;             ///< Fewer than heads: grouped-query attention.
  std::int64_t inner = 2048;             ///< d_ff
  std::int64_t encoder_layers = 6;       ///< N of the encoder
  std::int64_t decoder_layers = 6;       ///< N of the decoder
  std::string norm_position = "post";    ///< post, pre
  std::string norm = "layer";            ///< layer, rms
  double norm_epsilon = 1e-5;
  std::string activation = "relu";       ///< relu, gelu, gelu-tanh, silu
  bool gated = false;                    ///< Gated feed-forward layers.
  std::string positions = "sinusoidal";  ///< sinusoidal, sinusoidal-halved, learned, rotary, none
  std::int64_t max_positions = 512;      ///< Only for learned positions.
  bool bias = true;                      ///< Biases in attention and feed-forward.
  bool output_bias = false;              ///< A bias on the logits.
  std::string tied =
      "all";  ///< all: one matrix for both embeddings and the output; target: target embedding and output; none
  bool embedding_scale = true;   ///< Embeddings are multiplied by sqrt(width), as in the paper.
  bool final_norm = false;       ///< A norm after the last layer of each stack (always useful with pre-norm).
  std::int64_t begin_id = 1;     ///< What a decoder starts from.
  std::int64_t end_id = 2;       ///< What ends a generated sequence.
  std::string head = "tokens";   ///< What is predicted. tokens: ids, by the decoder, or of an encoder-only model the
                                 ///< masked ones; classes and none: encoder-only.
  std::int64_t classes = 0;      ///< Only for head classes.
  std::string pooling = "mean";  ///< Only for head classes: mean over the positions, or the first one.
  std::int64_t mask_id = 0;      ///< What stands for a masked id.
  std::int64_t input_width = 0;  ///< The encoder reads vectors of this width (patches of images); 0: ids.
  bool class_token = false;      ///< Before the vectors stands a learned one (Devlin et al. 2019's [CLS]).

  bool has_encoder() const { return kind != "decoder-only"; }
  bool has_decoder() const { return kind != "encoder-only"; }
  bool reads_vectors() const { return input_width > 0; }
  std::int64_t output_vocabulary() const { return has_decoder() ? target_vocabulary : source_vocabulary; }
  /// Throws Error naming the first value that does not make a model, prefixed by `where`.
  void check(const std::string& where) const;

  void write(Hdf5File&) const;
  /// Reads and checks; throws Error when the file is no model of ours or one of a newer format.
  static Configuration read(const Hdf5File&);

  LayerShape layer_shape(bool decoder) const;
  bool operator==(const Configuration&) const = default;
  /// The first value in which another configuration differs, "width is 64, not 32"; empty when they are equal.
  std::string difference(const Configuration& other) const;
};

Activation activation_from_name(const std::string&);

}  // namespace pipeformer
