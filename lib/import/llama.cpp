// Llama (Touvron et al. 2023; Grattafiori et al. 2024) and the families that share its layers: Mistral (Jiang et al.
// 2023), Qwen2, Qwen3 (Yang et al. 2024, 2025), Gemma (Gemma Team 2024).
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

/// Keys after the query's own position and before it that it sees; 0: all.
void field_window(Exchange& x, StackSpec& s) {
  ConfigKeys& keys = x.keys;
  const bool mistral = x.type() == "mistral";
  if (!mistral && x.type() != "qwen2" && x.type() != "qwen3") {
    s.window = 0;
    return;
  }
  bool used = s.window > 0;
  std::int64_t from_layer = 0;
  if (!mistral) {
    keys.field("use_sliding_window", used, false);
    keys.field("max_window_layers", from_layer, 28);
  }
  const bool none = keys.is_null("sliding_window");
  if (x.writing() && s.window == 0)
    keys.say_json("sliding_window", "null");
  else
    keys.field("sliding_window", s.window, none ? 0 : 4096);
  if (mistral) return;
  if (!used || from_layer >= s.layers) s.window = 0;
  if (s.window > 0 && from_layer > 0)
    throw Error(cat("config.json: max_window_layers is ", from_layer, " of ", s.layers,
                    ": a window in some layers only is not supported"));
}

}  // namespace

void llama(Exchange& x) {
  ConfigKeys& keys = x.keys;
  const std::string& type = x.type();
  const bool gemma = type == "gemma";
  Configuration& c = x.configuration;
  StackSpec& s = c.decoder;
  c.kind = ModelKind::decoder_only;
  x.is("ForCausalLM", true);
  keys.field("vocab_size", c.target_vocabulary);
  field_sizes(keys, c, s);
  x.field_tied(gemma);
  keys.field("num_key_value_heads", s.kv_heads, s.heads);
  keys.field("head_dim", s.head_width,
             gemma             ? 256
             : type == "qwen3" ? 128
                               : c.width / std::max<std::int64_t>(s.heads, 1));
  if (gemma) {  // older files say gelu in hidden_act and mean the other one
    keys.field("hidden_activation", s.activation, Activation::gelu_tanh);
    keys.say("hidden_act", activation_text(s.activation));
  } else {
    keys.field("hidden_act", s.activation, Activation::silu);
  }
  s.gated = true;
  s.norm_position = NormPosition::pre;
  s.norm = NormKind::rms;
  keys.field("rms_norm_eps", s.norm_epsilon, 1e-6);
  s.final_norm = true;
  s.query_key_norm = type == "qwen3";
  if (type == "mistral" || type == "qwen2") {
    keys.expect("attention_bias", false);
    s.attention_output_bias = false;
  } else {
    keys.field("attention_bias", s.attention_output_bias, false);
  }
  s.attention_bias = type == "qwen2" || s.attention_output_bias;
  if (type == "llama") {
    keys.field("mlp_bias", s.ffn_bias, false);
  } else {
    keys.expect("mlp_bias", false);
    s.ffn_bias = false;
  }
  s.embedding_scale = gemma;
  s.positions = PositionKind::rotary;
  field_rotary(x, s, "rope_theta", "");
  field_window(x, s);
  if (const auto kinds = keys.get("layer_types"))
    for (std::size_t i = 0; i < kinds->size(); ++i)
      if ((*kinds)[i].string() != (s.window > 0 ? "sliding_attention" : "full_attention"))
        (*kinds)[i].fail("which is another kind of layer than the model has");
  keys.harmless({"rope_interleaved", "bos_token_id"});
  x.field_context();
  x.field_control_ids(false);

  x.find_prefix("model.");
  const std::string base = x.prefix;
  const float plus = gemma ? 1.0f : 0.0f;  // Gemma multiplies by 1 + weight
  const auto norm = [&](const std::string& to, const std::string& from) {
    x.rows.push_back({.ours = to + "/weight", .theirs = {from + ".weight"}, .plus = plus});
  };
  x.row("decoder/embedding/weight", base + "embed_tokens.weight");
  norm("decoder/norm", base + "norm");
  x.output("lm_head.weight", base + "embed_tokens.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat("decoder/", i, "/"), theirs = cat(base, "layers.", i, ".");
    norm(ours + "norm1", theirs + "input_layernorm");
    x.attention(ours + "self_attn", theirs + "self_attn.", {"q_proj", "k_proj", "v_proj", "o_proj"});
    if (s.query_key_norm) {
      norm(ours + "self_attn/query_norm", theirs + "self_attn.q_norm");
      norm(ours + "self_attn/key_norm", theirs + "self_attn.k_norm");
    }
    norm(ours + "norm2", theirs + "post_attention_layernorm");
    x.layer(ours + "ffn/gate", theirs + "mlp.gate_proj");
    x.layer(ours + "ffn/linear1", theirs + "mlp.up_proj");
    x.layer(ours + "ffn/linear2", theirs + "mlp.down_proj");
    x.leave_out(theirs + "self_attn.rotary_emb.inv_freq");
  }
}

}  // namespace pipeformer::import
