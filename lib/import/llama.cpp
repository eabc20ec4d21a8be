// Llama (Touvron et al. 2023; Grattafiori et al. 2024) and the families that share its layers: Mistral (Jiang et al.
// 2023), Qwen2, Qwen3 (Yang et al. 2024, 2025), Gemma (Gemma Team 2024, 2025), Phi-3 (Abdin et al. 2024).
#include <cmath>

#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

/// Which layers have a window, and how wide it is; 0: none has one.
void field_window(Exchange& x, StackSpec& s) {
  ConfigKeys& keys = x.keys;
  const std::string& type = x.type();
  if (type == "llama" || type == "gemma") {
    s.window = 0;
    return;
  }
  if (type == "mistral" || type == "phi3") return keys.nullable("sliding_window", s.window, type == "phi3" ? 0 : 4096);
  if (type == "gemma2" || type == "gemma3_text") {
    keys.nullable("sliding_window", s.window, 4096);
    std::int64_t period = 2;
    if (type == "gemma3_text" && !x.writing()) {
      keys.field("_sliding_window_pattern", period, 6);  // as newer files call it
      keys.field("sliding_window_pattern", period, period);
    }
    require(period > 0 && period <= 1000, "config.json: sliding_window_pattern is ", period, ", outside 1 to 1000");
    return field_layer_types(x, s, std::string(static_cast<std::size_t>(period) - 1, 'w') + "f");
  }
  bool used = s.window > 0;  // Qwen: from a layer on
  std::int64_t from_layer = 0;
  while (x.writing() && from_layer < s.layers && !s.windowed(from_layer)) ++from_layer;
  keys.field("use_sliding_window", used, false);
  keys.field("max_window_layers", from_layer, 28);
  keys.nullable("sliding_window", s.window, 4096);
  if (!used || (from_layer >= s.layers && !keys.get("layer_types"))) s.window = 0;
  std::string usual;
  for (std::int64_t i = 0; i < s.layers && i < 1000; ++i) usual += i < from_layer ? 'f' : 'w';
  field_layer_types(x, s, usual);
}

/// Gemma's later ones: soft caps, a scale of the queries of their own.
void field_gemma(Exchange& x, StackSpec& s) {
  ConfigKeys& keys = x.keys;
  const bool second = x.type() == "gemma2";
  double scalar =
      s.attention_scale > 0 ? 1 / (s.attention_scale * s.attention_scale) : static_cast<double>(s.head_width);
  if (x.writing() && std::abs(scalar - std::round(scalar)) < 1e-9 * scalar) scalar = std::round(scalar);
  keys.field("query_pre_attn_scalar", scalar, 256);
  require(scalar > 0, "config.json: query_pre_attn_scalar is ", scalar);
  s.attention_scale = scalar == static_cast<double>(s.head_width) ? 0 : 1 / std::sqrt(scalar);
  keys.nullable("attn_logit_softcapping", s.attention_soft_cap, second ? 50 : 0);
  keys.nullable("final_logit_softcapping", x.configuration.output_soft_cap, second ? 30 : 0);
  if (!x.configuration.has_decoder()) x.configuration.output_soft_cap = 0;  // of the logits of tokens alone
  s.sublayer_norm = true;
  keys.expect("use_bidirectional_attention", false);
  if (second) return;
  keys.field("rope_local_base_freq", s.rotary_local_base, 10000);
}

}  // namespace

void llama(Exchange& x) {
  ConfigKeys& keys = x.keys;
  const std::string& type = x.type();
  const bool gemma = type.starts_with("gemma"), later_gemma = gemma && type != "gemma", phi3 = type == "phi3";
  Configuration& c = x.configuration;
  std::string side;
  StackSpec& s = x.field_causal("ForCausalLM", side);
  field_sizes(keys, c, s);
  x.field_tied(gemma);
  keys.field("num_key_value_heads", s.kv_heads, s.heads);
  const std::int64_t even = c.width / std::max<std::int64_t>(s.heads, 1);
  keys.field("head_dim", s.head_width, gemma ? 256 : type == "qwen3" ? 128 : even);
  if (gemma) {  // older files say gelu in hidden_act and mean the other one
    keys.field("hidden_activation", s.activation, Activation::gelu_tanh);
    keys.say("hidden_act", activation_text(s.activation));
  } else {
    keys.field("hidden_act", s.activation, Activation::silu);
  }
  s.gated = true;
  s.norm_position = NormPosition::pre;
  s.norm = NormKind::rms;
  keys.field("rms_norm_eps", s.norm_epsilon, phi3 ? 1e-5 : 1e-6);
  s.final_norm = true;
  s.query_key_norm = type == "qwen3" || type == "gemma3_text";
  if (type == "mistral" || type == "qwen2" || phi3) {
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
  if (later_gemma) field_gemma(x, s);
  x.field_context();
  s.positions = PositionKind::rotary;
  field_rotary(x, s, {.share = phi3 ? "partial_rotary_factor" : ""});
  field_window(x, s);
  keys.expect("rope_interleaved", false);
  keys.expect("use_mrope", false);
  keys.harmless({"is_llama_config", "bos_token_id", "layer_types"});
  x.field_control_ids(false);

  x.find_prefix("model.");
  const std::string base = x.prefix;
  const float plus = gemma ? 1.0f : 0.0f;  // Gemma multiplies by 1 + weight
  const auto norm = [&](const std::string& to, const std::string& from) {
    x.rows.push_back({.ours = to + "/weight", .theirs = {from + ".weight"}, .plus = plus});
  };
  x.row(side + "embedding/weight", base + "embed_tokens.weight");
  norm(side + "norm", base + "norm");
  if (c.has_decoder()) x.output("lm_head.weight", base + "embed_tokens.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat(side, i, "/"), theirs = cat(base, "layers.", i, ".");
    norm(ours + "norm1", theirs + "input_layernorm");
    if (phi3) {
      const std::int64_t query = s.heads * s.head_width, key = s.key_value_heads() * s.head_width;
      x.part(ours + "self_attn/query", theirs + "self_attn.qkv_proj", {.first = 0, .rows = query});
      x.part(ours + "self_attn/key", theirs + "self_attn.qkv_proj", {.first = query, .rows = key});
      x.part(ours + "self_attn/value", theirs + "self_attn.qkv_proj", {.first = query + key, .rows = key});
      x.layer(ours + "self_attn/output", theirs + "self_attn.o_proj");
      x.part(ours + "ffn/gate", theirs + "mlp.gate_up_proj", {.first = 0, .rows = s.inner});
      x.part(ours + "ffn/linear1", theirs + "mlp.gate_up_proj", {.first = s.inner, .rows = s.inner});
    } else {
      x.attention(ours + "self_attn", theirs + "self_attn.", {"q_proj", "k_proj", "v_proj", "o_proj"});
      x.layer(ours + "ffn/gate", theirs + "mlp.gate_proj");
      x.layer(ours + "ffn/linear1", theirs + "mlp.up_proj");
    }
    x.layer(ours + "ffn/linear2", theirs + "mlp.down_proj");
    if (s.query_key_norm) {
      norm(ours + "self_attn/query_norm", theirs + "self_attn.q_norm");
      norm(ours + "self_attn/key_norm", theirs + "self_attn.k_norm");
    }
    if (later_gemma) {
      norm(ours + "sublayer_norm1", theirs + "post_attention_layernorm");
      norm(ours + "norm2", theirs + "pre_feedforward_layernorm");
      norm(ours + "sublayer_norm2", theirs + "post_feedforward_layernorm");
    } else {
      norm(ours + "norm2", theirs + "post_attention_layernorm");
    }
    x.leave_out(theirs + "self_attn.rotary_emb.inv_freq");
  }
}

}  // namespace pipeformer::import
