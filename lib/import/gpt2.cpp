// GPT-2 (Radford et al. 2019).
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {

void gpt2(Import& in) {
  const ConfigKeys& keys = in.keys;
  Configuration& c = in.configuration;
  StackSpec& s = c.decoder;
  c.kind = ModelKind::decoder_only;
  c.target_vocabulary = keys.integer("vocab_size");
  c.width = keys.integer("n_embd");
  c.tied = keys.flag("tie_word_embeddings", true) ? Tied::target : Tied::none;
  s.layers = keys.integer("n_layer");
  s.heads = keys.integer("n_head");
  s.inner = keys.integer("n_inner", 4 * c.width);
  s.activation = activation_of(keys, "activation_function", "gelu_new");
  s.norm_position = NormPosition::pre;
  s.norm_epsilon = keys.number("layer_norm_epsilon", 1e-5);
  s.final_norm = true;
  s.positions = PositionKind::learned;
  s.max_positions = keys.integer("n_positions", 1024);
  s.embedding_scale = false;
  if (!keys.flag("scale_attn_weights", true)) s.attention_scale = 1;
  keys.expect("scale_attn_by_inverse_layer_idx", false);
  keys.expect("add_cross_attention", false);
  keys.harmless({"n_ctx", "reorder_and_upcast_attn"});
  in.take_control_ids(false);

  in.find_prefix("transformer.");
  const std::string base = in.prefix;
  in.row("decoder/embedding/weight", base + "wte.weight");
  in.row("decoder/positions/weight", base + "wpe.weight");
  in.layer("decoder/norm", base + "ln_f");
  if (c.tied == Tied::target)
    in.copy("lm_head.weight", base + "wte.weight");
  else
    in.row("decoder/output/weight", "lm_head.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat("decoder/", i, "/"), theirs = cat(base, "h.", i, ".");
    // Linear layers are stored (in, out); queries, keys and values are one of them.
    const auto linear = [&](const std::string& to, const std::string& from, std::int64_t part) {
      ImportRow weight{.ours = ours + to + "/weight", .theirs = {theirs + from + ".weight"}, .transposed = true};
      ImportRow bias{.ours = ours + to + "/bias", .theirs = {theirs + from + ".bias"}};
      if (part >= 0) {
        weight.first = bias.first = part * c.width;
        weight.rows = bias.rows = c.width;
      }
      in.rows.push_back(weight);
      in.rows.push_back(bias);
    };
    in.layer(ours + "norm1", theirs + "ln_1");
    linear("self_attn/query", "attn.c_attn", 0);
    linear("self_attn/key", "attn.c_attn", 1);
    linear("self_attn/value", "attn.c_attn", 2);
    linear("self_attn/output", "attn.c_proj", -1);
    in.layer(ours + "norm2", theirs + "ln_2");
    linear("ffn/linear1", "mlp.c_fc", -1);
    linear("ffn/linear2", "mlp.c_proj", -1);
    for (const char* buffer : {"attn.bias", "attn.masked_bias"}) in.leave_out(theirs + buffer);
  }
}

}  // namespace pipeformer::import
