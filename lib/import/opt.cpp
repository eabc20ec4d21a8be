// OPT (Zhang et al. 2022).
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {

void opt(Import& in) {
  const ConfigKeys& keys = in.keys;
  Configuration& c = in.configuration;
  StackSpec& s = c.decoder;
  c.kind = ModelKind::decoder_only;
  c.target_vocabulary = keys.integer("vocab_size");
  c.width = keys.integer("hidden_size");
  if (const std::int64_t narrow = keys.integer("word_embed_proj_dim", c.width); narrow != c.width)
    throw Error(cat("config.json: word_embed_proj_dim is ", narrow, ", hidden_size ", c.width,
                    ": embeddings that are projected before positions are added are not supported"));
  c.tied = keys.flag("tie_word_embeddings", true) ? Tied::target : Tied::none;
  s.layers = keys.integer("num_hidden_layers");
  s.heads = keys.integer("num_attention_heads");
  s.inner = keys.integer("ffn_dim");
  s.activation = activation_of(keys, "activation_function", "relu");
  const bool before = keys.flag("do_layer_norm_before", true);
  s.norm_position = before ? NormPosition::pre : NormPosition::post;
  s.final_norm = before && !keys.flag("_remove_final_layer_norm", false);
  s.attention_bias = s.attention_output_bias = s.ffn_bias = keys.flag("enable_bias", true);
  s.positions = PositionKind::learned;
  s.max_positions = keys.integer("max_position_embeddings");
  s.embedding_scale = false;
  keys.expect("layer_norm_elementwise_affine", true);
  in.take_control_ids(false);

  in.find_prefix("model.");
  const std::string base = in.prefix + "decoder.";
  in.row("decoder/embedding/weight", base + "embed_tokens.weight");
  in.rows.push_back(  // the library adds 2 to every position
      {.ours = "decoder/positions/weight", .theirs = {base + "embed_positions.weight"}, .first = 2});
  if (s.final_norm) in.layer("decoder/norm", base + "final_layer_norm");
  if (c.tied == Tied::target)
    in.copy("lm_head.weight", base + "embed_tokens.weight");
  else
    in.row("decoder/output/weight", "lm_head.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat("decoder/", i, "/"), theirs = cat(base, "layers.", i, ".");
    in.layer(ours + "norm1", theirs + "self_attn_layer_norm");
    in.layer(ours + "self_attn/query", theirs + "self_attn.q_proj");
    in.layer(ours + "self_attn/key", theirs + "self_attn.k_proj");
    in.layer(ours + "self_attn/value", theirs + "self_attn.v_proj");
    in.layer(ours + "self_attn/output", theirs + "self_attn.out_proj");
    in.layer(ours + "norm2", theirs + "final_layer_norm");
    in.layer(ours + "ffn/linear1", theirs + "fc1");
    in.layer(ours + "ffn/linear2", theirs + "fc2");
  }
}

}  // namespace pipeformer::import
