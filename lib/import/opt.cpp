// OPT (Zhang et al. 2022).
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {

void opt(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  StackSpec& s = c.decoder;
  c.kind = ModelKind::decoder_only;
  x.is("ForCausalLM", true);
  keys.field("vocab_size", c.target_vocabulary);
  keys.field("hidden_size", c.width);
  std::int64_t narrow = c.width;
  keys.field("word_embed_proj_dim", narrow, c.width);
  if (narrow != c.width)
    throw Error(cat("config.json: word_embed_proj_dim is ", narrow, ", hidden_size ", c.width,
                    ": embeddings that are projected before positions are added are not supported"));
  x.field_tied(true);
  keys.field("num_hidden_layers", s.layers);
  keys.field("num_attention_heads", s.heads);
  keys.field("ffn_dim", s.inner);
  keys.field("activation_function", s.activation, Activation::relu);
  bool before = s.norm_position == NormPosition::pre, no_norm = !s.final_norm;
  keys.field("do_layer_norm_before", before, true);
  keys.field("_remove_final_layer_norm", no_norm, false);
  s.norm_position = before ? NormPosition::pre : NormPosition::post;
  s.final_norm = before && !no_norm;
  keys.field("enable_bias", s.ffn_bias, true);
  s.attention_bias = s.attention_output_bias = s.ffn_bias;
  s.positions = PositionKind::learned;
  keys.field("max_position_embeddings", s.max_positions);
  s.embedding_scale = false;
  keys.expect("layer_norm_elementwise_affine", true);
  x.field_control_ids(false);

  x.find_prefix("model.");
  const std::string base = x.prefix + "decoder.";
  x.row("decoder/embedding/weight", base + "embed_tokens.weight");
  x.rows.push_back(  // the library adds 2 to every position
      {.ours = "decoder/positions/weight", .theirs = {base + "embed_positions.weight"}, .first = 2});
  if (s.final_norm) x.layer("decoder/norm", base + "final_layer_norm");
  x.output("lm_head.weight", base + "embed_tokens.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat("decoder/", i, "/"), theirs = cat(base, "layers.", i, ".");
    x.layer(ours + "norm1", theirs + "self_attn_layer_norm");
    x.attention(ours + "self_attn", theirs + "self_attn.", {"q_proj", "k_proj", "v_proj", "out_proj"});
    x.layer(ours + "norm2", theirs + "final_layer_norm");
    x.layer(ours + "ffn/linear1", theirs + "fc1");
    x.layer(ours + "ffn/linear2", theirs + "fc2");
  }
}

}  // namespace pipeformer::import
