// GPT-NeoX (Black et al. 2022) and Pythia.
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {

void gpt_neox(Import& in) {
  const ConfigKeys& keys = in.keys;
  Configuration& c = in.configuration;
  StackSpec& s = c.decoder;
  c.kind = ModelKind::decoder_only;
  c.target_vocabulary = keys.integer("vocab_size");
  c.width = keys.integer("hidden_size");
  c.tied = keys.flag("tie_word_embeddings", false) ? Tied::target : Tied::none;
  s.layers = keys.integer("num_hidden_layers");
  s.heads = keys.integer("num_attention_heads");
  s.head_width = c.width / std::max<std::int64_t>(s.heads, 1);
  s.inner = keys.integer("intermediate_size");
  s.activation = activation_of(keys, "hidden_act", "gelu");
  s.norm_position = NormPosition::pre;
  s.norm_epsilon = keys.number("layer_norm_eps", 1e-5);
  s.final_norm = true;
  s.parallel_residual = keys.flag("use_parallel_residual", true);
  s.positions = PositionKind::rotary;
  rotary_of(in, s, keys.number("rotary_emb_base", 10000), keys.number("rotary_pct", 0.25));
  s.attention_bias = s.attention_output_bias = keys.flag("attention_bias", true);
  s.embedding_scale = false;
  keys.harmless({"max_position_embeddings"});
  in.take_control_ids(false);

  in.find_prefix("gpt_neox.");
  const std::string base = in.prefix;
  in.row("decoder/embedding/weight", base + "embed_in.weight");
  in.layer("decoder/norm", base + "final_layer_norm");
  if (c.tied == Tied::target)
    in.copy("embed_out.weight", base + "embed_in.weight");
  else
    in.row("decoder/output/weight", "embed_out.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat("decoder/", i, "/"), theirs = cat(base, "layers.", i, ".");
    in.layer(ours + "norm1", theirs + "input_layernorm");
    // Each head's queries, keys and values stand together.
    std::int64_t part = 0;
    for (const char* to : {"query", "key", "value"}) {
      for (const char* what : {"weight", "bias"}) {
        if (what == std::string("bias") && !s.attention_bias) continue;
        in.rows.push_back({.ours = cat(ours, "self_attn/", to, "/", what),
                           .theirs = {cat(theirs, "attention.query_key_value.", what)},
                           .first = part * s.head_width,
                           .run = s.head_width,
                           .step = 3 * s.head_width,
                           .rows = c.width});
      }
      ++part;
    }
    in.layer(ours + "self_attn/output", theirs + "attention.dense");
    in.layer(ours + "norm2", theirs + "post_attention_layernorm");
    in.layer(ours + "ffn/linear1", theirs + "mlp.dense_h_to_4h");
    in.layer(ours + "ffn/linear2", theirs + "mlp.dense_4h_to_h");
    for (const char* buffer : {"attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq"})
      in.leave_out(theirs + buffer);
  }
}

}  // namespace pipeformer::import
