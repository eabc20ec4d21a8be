// CLIP (Radford et al. 2021): a causal encoder of text and a Vision Transformer, whose vectors are compared.
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

void keys_of(Exchange& x, ConfigKeys& keys) {
  Configuration& c = x.configuration;
  c.kind = ModelKind::encoder_only;
  keys.field("hidden_size", c.width);
  c.head = Head::none;
  c.normalize = true;
  c.begin_id = c.end_id = -1;
  StackSpec& s = c.encoder;
  keys.field("num_hidden_layers", s.layers, 12);
  keys.field("num_attention_heads", s.heads);
  keys.field("intermediate_size", s.inner);
  keys.field("hidden_act", s.activation, Activation::quick_gelu);
  s.norm_position = NormPosition::pre;
  keys.field("layer_norm_eps", s.norm_epsilon, 1e-5);
  s.final_norm = true;
  s.positions = PositionKind::learned;
  s.embedding_scale = false;
  keys.say("projection_dim", c.projection);
  keys.harmless({"tie_word_embeddings"});
}

void layers(Exchange& x, const std::string& base) {
  for (std::int64_t i = 0; i < x.configuration.encoder.layers; ++i) {
    const std::string ours = cat("encoder/", i, "/"), theirs = cat(base, "encoder.layers.", i, ".");
    x.layer(ours + "norm1", theirs + "layer_norm1");
    x.attention(ours + "self_attn", theirs + "self_attn.", {"q_proj", "k_proj", "v_proj", "out_proj"});
    x.layer(ours + "norm2", theirs + "layer_norm2");
    x.layer(ours + "ffn/linear1", theirs + "mlp.fc1");
    x.layer(ours + "ffn/linear2", theirs + "mlp.fc2");
  }
  x.leave_out(base + "embeddings.position_ids");
}

/// The projection of what is pooled: of both towers to one width, which the configuration says; the towers of their own
/// may lack it.
void projection(Exchange& x, const std::string& theirs) {
  Configuration& c = x.configuration;
  const bool both = x.family.towers.size() > 1;
  if (!both && !x.exists(theirs, c.projection > 0)) return;
  require(!x.writing() || c.projection > 0, "projection 0 (not of some width)");
  x.length(c.projection, theirs, 0);
  if (std::int64_t width = c.projection; both) {
    x.keys.field("projection_dim", width, 512);
    require(width == c.projection, "config.json: projection_dim is ", width, ", but ", theirs, " has ", c.projection,
            " rows");
  }
  x.row("projection/weight", theirs);
}

void require_id(const Configuration& c, const char* key, std::int64_t id) {
  require(id >= 0 && id < c.source_vocabulary, "config.json: text_config: ", key, " is ", id,
          ", which is no id of a vocabulary of ", c.source_vocabulary);
}

bool same(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  if (a.is_string() && b.is_string()) return a.string() == b.string();
  if (a.is_boolean() && b.is_boolean()) return a.boolean() == b.boolean();
  const bool arrays = a.is_array() && b.is_array(), objects = a.is_object() && b.is_object();
  if (!arrays && !objects) return a.is_null() && b.is_null();
  for (std::size_t i = 0; a.size() == b.size() && i < a.size(); ++i) {
    const auto other = arrays ? std::optional(b[i]) : b.find(a.key(i));
    if (!other || !same(a[i], *other)) return false;
  }
  return a.size() == b.size();
}

/// Older files say a tower twice, and the library takes the second one: it must say nothing else.
void refuse_another_tower(const ConfigKeys& keys, const std::string& key) {
  const auto first = keys.get(key), second = keys.get(key + "_dict");
  for (std::size_t i = 0; second && i < second->size(); ++i) {
    const Json value = (*second)[i];
    const auto other = first ? first->get(second->key(i)) : std::nullopt;
    if (other ? !same(value, *other) : !value.is_null()) value.fail(cat("which is not what ", key, " says"));
  }
}

/// The configuration of one tower: inside that of both, or the whole.
ConfigKeys tower(Exchange& x, const std::string& key) {
  // A tower alone may stand in the configuration of both, and reads its own.
  x.keys.harmless({"projection_dim", "logit_scale_init_value", "text_config_dict", "vision_config_dict", "text_config",
                   "vision_config"});
  refuse_another_tower(x.keys, key);
  const bool both = x.family.towers.size() > 1;
  if (!both) x.is(x.configuration.projection > 0 ? "WithProjection" : "Model", true);
  const bool inside = x.writing() ? both : x.keys.get(key).has_value();
  if (!inside) return x.keys;
  ConfigKeys keys = x.keys.inside(key);
  keys.expect("model_type", key == "text_config" ? "clip_text_model" : "clip_vision_model");
  return keys;
}

void refuse_unknown(Exchange& x, ConfigKeys& keys, const std::string& key) {
  if (!x.keys.get(key)) return;  // the whole configuration is looked through anyway
  std::string list;
  for (const std::string& name : keys.not_understood()) list += (list.empty() ? "" : ", ") + name;
  require(list.empty(), "config.json: ", key, ": keys that are not understood: ", list);
}

}  // namespace

void clip_text(Exchange& x) {
  ConfigKeys keys = tower(x, "text_config");
  Configuration& c = x.configuration;
  std::int64_t end = c.end_id;
  keys_of(x, keys);
  keys.field("vocab_size", c.source_vocabulary, 49408);
  keys.field("max_position_embeddings", c.encoder.max_positions, 77);
  c.encoder.causal = true;
  c.pooling = Pooling::end;
  // The first models' end id was said wrongly: the library takes the largest id instead.
  if (end < 0) end = 2;
  keys.field("eos_token_id", end, 49407);
  c.end_id = end == 2 ? -1 : end;
  require_id(c, "eos_token_id", end);
  if (const auto begin = keys.get("bos_token_id")) require_id(c, "bos_token_id", begin->integer());
  refuse_unknown(x, keys, "text_config");
  const std::string base = "text_model.";
  x.row("encoder/embedding/weight", base + "embeddings.token_embedding.weight");
  x.row("encoder/positions/weight", base + "embeddings.position_embedding.weight");
  layers(x, base);
  x.layer("encoder/norm", base + "final_layer_norm");
  projection(x, "text_projection.weight");
}

void clip_image(Exchange& x) {
  ConfigKeys keys = tower(x, "vision_config");
  keys_of(x, keys);
  Configuration& c = x.configuration;
  field_image(keys, c, 32);
  c.input_bias = false;
  c.class_tokens = 1;
  c.pooling = Pooling::first;
  c.encoder.embedding_norm = true;
  refuse_unknown(x, keys, "vision_config");
  const std::string base = "vision_model.";
  x.row("encoder/class_token", base + "embeddings.class_embedding", 1);
  x.rows.push_back(
      {.ours = "encoder/input/weight", .theirs = {base + "embeddings.patch_embedding.weight"}, .patch = c.patch_size});
  x.row("encoder/positions/weight", base + "embeddings.position_embedding.weight");
  field_image_positions(x, keys, base + "embeddings.position_embedding.weight", 0);
  x.layer("encoder/embedding_norm", base + "pre_layrnorm");
  layers(x, base);
  x.layer("encoder/norm", base + "post_layernorm");
  projection(x, "visual_projection.weight");
}

}  // namespace pipeformer::import
