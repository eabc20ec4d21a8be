// Llama (Touvron et al. 2023; Grattafiori et al. 2024) and the families that share its layers: Mistral (Jiang et al.
// 2023), Qwen2, Qwen3 (Yang et al. 2024, 2025), Gemma (Gemma Team 2024).
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

/// Keys after the query's own position and before it that it sees; 0: all.
std::int64_t window_of(const ConfigKeys& keys, const std::string& type, std::int64_t layers) {
  if (type == "mistral") return keys.integer("sliding_window", 0);
  if (type != "qwen2" && type != "qwen3") return 0;
  const bool used = keys.flag("use_sliding_window", false);
  const std::int64_t window = keys.integer("sliding_window", 0), full = keys.integer("max_window_layers", 0);
  if (!used || window == 0 || full >= layers) return 0;
  if (full > 0)
    throw Error(cat("config.json: max_window_layers is ", full, " of ", layers,
                    ": a window in some layers only is not supported"));
  return window;
}

}  // namespace

void llama(Import& in) {
  const ConfigKeys& keys = in.keys;
  const std::string type = keys.text("model_type", "llama");
  const bool gemma = type == "gemma";
  Configuration& c = in.configuration;
  StackSpec& s = c.decoder;
  c.kind = ModelKind::decoder_only;
  c.target_vocabulary = keys.integer("vocab_size");
  c.width = keys.integer("hidden_size");
  c.tied = keys.flag("tie_word_embeddings", gemma) ? Tied::target : Tied::none;
  s.layers = keys.integer("num_hidden_layers");
  s.heads = keys.integer("num_attention_heads");
  s.kv_heads = keys.integer("num_key_value_heads", s.heads);
  s.head_width = keys.integer("head_dim", gemma             ? 256
                                          : type == "qwen3" ? 128
                                                            : c.width / std::max<std::int64_t>(s.heads, 1));
  s.inner = keys.integer("intermediate_size");
  // Older Gemma files say gelu and mean the other one.
  s.activation =
      gemma ? activation_of(keys, "hidden_activation", "gelu_pytorch_tanh") : activation_of(keys, "hidden_act", "silu");
  if (gemma) keys.harmless({"hidden_act"});
  s.gated = true;
  s.norm_position = NormPosition::pre;
  s.norm = NormKind::rms;
  s.norm_epsilon = keys.number("rms_norm_eps", 1e-6);
  s.final_norm = true;
  s.query_key_norm = type == "qwen3";
  s.attention_bias = type == "qwen2" || keys.flag("attention_bias", false);
  s.attention_output_bias = keys.flag("attention_bias", false);
  s.ffn_bias = keys.flag("mlp_bias", false);
  s.embedding_scale = gemma;
  s.positions = PositionKind::rotary;
  rotary_of(in, s, keys.number("rope_theta", 10000), 1);
  s.window = window_of(keys, type, s.layers);
  if (const auto kinds = keys.get("layer_types"))
    for (std::size_t i = 0; i < kinds->size(); ++i)
      if ((*kinds)[i].string() != (s.window > 0 ? "sliding_attention" : "full_attention"))
        (*kinds)[i].fail("which is another kind of layer than the model has");
  keys.harmless({"max_position_embeddings", "rope_interleaved", "bos_token_id"});
  in.take_control_ids(false);

  in.find_prefix("model.");
  const std::string base = in.prefix;
  const float plus = gemma ? 1.0f : 0.0f;  // Gemma multiplies by 1 + weight
  const auto norm = [&](const std::string& to, const std::string& from) {
    in.rows.push_back({.ours = to + "/weight", .theirs = {from + ".weight"}, .plus = plus});
  };
  in.row("decoder/embedding/weight", base + "embed_tokens.weight");
  norm("decoder/norm", base + "norm");
  if (c.tied == Tied::target)
    in.copy("lm_head.weight", base + "embed_tokens.weight");
  else
    in.row("decoder/output/weight", "lm_head.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat("decoder/", i, "/"), theirs = cat(base, "layers.", i, ".");
    norm(ours + "norm1", theirs + "input_layernorm");
    in.layer(ours + "self_attn/query", theirs + "self_attn.q_proj");
    in.layer(ours + "self_attn/key", theirs + "self_attn.k_proj");
    in.layer(ours + "self_attn/value", theirs + "self_attn.v_proj");
    in.layer(ours + "self_attn/output", theirs + "self_attn.o_proj");
    if (s.query_key_norm) {
      norm(ours + "self_attn/query_norm", theirs + "self_attn.q_norm");
      norm(ours + "self_attn/key_norm", theirs + "self_attn.k_norm");
    }
    norm(ours + "norm2", theirs + "post_attention_layernorm");
    in.layer(ours + "ffn/gate", theirs + "mlp.gate_proj");
    in.layer(ours + "ffn/linear1", theirs + "mlp.up_proj");
    in.layer(ours + "ffn/linear2", theirs + "mlp.down_proj");
    in.leave_out(theirs + "self_attn.rotary_emb.inv_freq");
  }
}

}  // namespace pipeformer::import
