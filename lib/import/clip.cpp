// CLIP (Radford et al. 2021): a causal encoder of text and a Vision Transformer, whose vectors are compared.
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

void keys_of(Import& in, const ConfigKeys& keys) {
  Configuration& c = in.configuration;
  c.kind = ModelKind::encoder_only;
  c.width = keys.integer("hidden_size");
  c.head = Head::none;
  c.normalize = true;
  c.begin_id = c.end_id = -1;
  StackSpec& s = c.encoder;
  s.layers = keys.integer("num_hidden_layers", 12);
  s.heads = keys.integer("num_attention_heads");
  s.inner = keys.integer("intermediate_size");
  s.activation = activation_of(keys, "hidden_act", "quick_gelu");
  s.norm_position = NormPosition::pre;
  s.norm_epsilon = keys.number("layer_norm_eps", 1e-5);
  s.final_norm = true;
  s.positions = PositionKind::learned;
  s.embedding_scale = false;
  keys.harmless({"projection_dim"});
}

void layers(Import& in, const std::string& base) {
  for (std::int64_t i = 0; i < in.configuration.encoder.layers; ++i) {
    const std::string ours = cat("encoder/", i, "/"), theirs = cat(base, "encoder.layers.", i, ".");
    in.layer(ours + "norm1", theirs + "layer_norm1");
    in.layer(ours + "self_attn/query", theirs + "self_attn.q_proj");
    in.layer(ours + "self_attn/key", theirs + "self_attn.k_proj");
    in.layer(ours + "self_attn/value", theirs + "self_attn.v_proj");
    in.layer(ours + "self_attn/output", theirs + "self_attn.out_proj");
    in.layer(ours + "norm2", theirs + "layer_norm2");
    in.layer(ours + "ffn/linear1", theirs + "mlp.fc1");
    in.layer(ours + "ffn/linear2", theirs + "mlp.fc2");
  }
  in.leave_out(base + "embeddings.position_ids");
}

/// The projection of what is pooled; the towers of their own may lack it.
void projection(Import& in, const std::string& theirs) {
  if (!in.has(theirs)) return;
  in.configuration.projection = in.shape(theirs).at(0);
  in.row("projection/weight", theirs);
}

/// The configuration of one tower: inside that of both, or the whole.
ConfigKeys tower(const Import& in, const std::string& key) {
  in.keys.harmless({"projection_dim", "logit_scale_init_value", "text_config_dict", "vision_config_dict", "text_config",
                    "vision_config"});
  return in.keys.get(key) ? in.keys.inside(key) : in.keys;
}

void refuse_unknown(const Import& in, const ConfigKeys& keys, const std::string& key) {
  if (!in.keys.get(key)) return;  // the whole configuration is looked through anyway
  std::string list;
  for (const std::string& name : keys.not_understood()) list += (list.empty() ? "" : ", ") + name;
  require(list.empty(), "config.json: ", key, ": keys that are not understood: ", list);
}

}  // namespace

void clip_text(Import& in) {
  const ConfigKeys keys = tower(in, "text_config");
  keys_of(in, keys);
  Configuration& c = in.configuration;
  c.source_vocabulary = keys.integer("vocab_size", 49408);
  c.encoder.max_positions = keys.integer("max_position_embeddings", 77);
  c.encoder.causal = true;
  c.pooling = Pooling::end;
  // The first models' end id was said wrongly: the library takes the largest id instead.
  const std::int64_t end = keys.integer("eos_token_id", 49407);
  c.end_id = end == 2 ? -1 : end;
  refuse_unknown(in, keys, "text_config");
  const std::string base = "text_model.";
  in.row("encoder/embedding/weight", base + "embeddings.token_embedding.weight");
  in.row("encoder/positions/weight", base + "embeddings.position_embedding.weight");
  layers(in, base);
  in.layer("encoder/norm", base + "final_layer_norm");
  projection(in, "text_projection.weight");
}

void clip_image(Import& in) {
  const ConfigKeys keys = tower(in, "vision_config");
  keys_of(in, keys);
  Configuration& c = in.configuration;
  c.patch_size = keys.integer("patch_size", 32);
  c.channels = keys.integer("num_channels", 3);
  c.input_width = c.patch_size * c.patch_size * c.channels;
  c.input_bias = false;
  c.class_tokens = 1;
  c.pooling = Pooling::first;
  c.encoder.embedding_norm = true;
  refuse_unknown(in, keys, "vision_config");
  const std::string base = "vision_model.";
  in.row("encoder/class_token", base + "embeddings.class_embedding");
  in.rows.push_back(
      {.ours = "encoder/input/weight", .theirs = {base + "embeddings.patch_embedding.weight"}, .patch = c.patch_size});
  in.row("encoder/positions/weight", base + "embeddings.position_embedding.weight");
  c.encoder.max_positions = in.shape(base + "embeddings.position_embedding.weight").at(0);
  in.layer("encoder/embedding_norm", base + "pre_layrnorm");
  layers(in, base);
  in.layer("encoder/norm", base + "post_layernorm");
  projection(in, "visual_projection.weight");
}

}  // namespace pipeformer::import
