// OPT (Zhang et al. 2022).
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {

void opt(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  std::string side;
  StackSpec& s = x.field_causal("ForCausalLM", side);
  keys.field("hidden_size", c.width);
  std::int64_t narrow = c.width;
  keys.field("word_embed_proj_dim", narrow, c.width);
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
  // Embeddings of another width, which one matrix takes to the model's and another one back from it before the output
  // (OPT-350m): ours are the products, so that no projection is left and embedding and output are two matrices.
  const bool tied = c.tied == Tied::all, projected = narrow != c.width;
  const std::string table = base + "embed_tokens.weight", output = tied ? table : "lm_head.weight";
  if (projected) c.tied = Tied::none;
  x.rows.push_back({.ours = side + "embedding/weight", .theirs = {table}});
  if (projected) {
    x.rows.back().theirs.push_back(base + "project_in.weight");
    x.rows.back().product = TensorRow::Product::into;
  }
  x.rows.push_back(  // the library adds 2 to every position
      {.ours = side + "positions/weight", .theirs = {base + "embed_positions.weight"}, .first = 2});
  if (s.final_norm) x.layer(side + "norm", base + "final_layer_norm");
  require(!projected || c.has_decoder(),
          "config.json: word_embed_proj_dim is not hidden_size, which a classifier is not known for");
  if (c.has_decoder()) x.output("lm_head.weight", table);
  if (projected) {
    if (tied) x.copy("lm_head.weight", table);
    x.rows.back().theirs = {output, base + "project_out.weight"};
    x.rows.back().product = TensorRow::Product::out_of;
  }
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat(side, i, "/"), theirs = cat(base, "layers.", i, ".");
    x.layer(ours + "norm1", theirs + "self_attn_layer_norm");
    x.attention(ours + "self_attn", theirs + "self_attn.", {"q_proj", "k_proj", "v_proj", "out_proj"});
    x.layer(ours + "norm2", theirs + "final_layer_norm");
    x.layer(ours + "ffn/linear1", theirs + "fc1");
    x.layer(ours + "ffn/linear2", theirs + "fc2");
  }
}

}  // namespace pipeformer::import
