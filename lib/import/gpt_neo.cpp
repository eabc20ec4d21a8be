// GPT-Neo (Black et al. 2021).
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

/// attention_types: [[["global", "local"], 12]], kinds of layers in turn and how often; local ones have a window.
void field_attention_types(Exchange& x, StackSpec& s) {
  ConfigKeys& keys = x.keys;
  std::int64_t window = s.window > 0 ? s.window : 256;
  keys.field("window_size", window, 256);
  if (x.writing()) {
    std::string kinds;
    for (std::int64_t i = 0; i < s.layers; ++i)
      kinds += cat(i > 0 ? ", " : "", s.windowed(i) ? "\"local\"" : "\"global\"");
    keys.say_json("attention_types", "[[[" + kinds + "], 1]]");
    keys.say_json("attention_layers", "[" + kinds + "]");
    return;
  }
  s.window_pattern.clear();
  const auto add = [&](const Json& kind) {
    if (kind.string() != "global" && kind.string() != "local") kind.fail("which is neither global nor local");
    s.window_pattern += kind.string() == "local" ? 'w' : 'f';
  };
  if (const auto types = keys.get("attention_types")) {
    for (std::size_t i = 0; i < types->size(); ++i) {
      const Json entry = (*types)[i];
      if (entry.size() != 2) entry.fail("which is no pair of kinds and their number");
      for (std::int64_t n = entry[1].integer(); n > 0 && std::ssize(s.window_pattern) <= s.layers; --n)
        for (std::size_t k = 0; k < entry[0].size(); ++k) add(entry[0][k]);
    }
  } else {
    for (std::int64_t i = 0; i < s.layers && i <= 1000; ++i) s.window_pattern += i % 2 == 0 ? 'f' : 'w';
  }
  require(std::ssize(s.window_pattern) == s.layers, "config.json: attention_types names ", s.window_pattern.size(),
          " layers of ", s.layers);
  if (const auto layers = keys.get("attention_layers")) {  // what the library made of attention_types
    std::string made;
    made.swap(s.window_pattern);
    for (std::size_t i = 0; i < layers->size(); ++i) add((*layers)[i]);
    if (s.window_pattern != made) layers->fail("which is not what attention_types says");
  }
  s.window = window;
}

}  // namespace

void gpt_neo(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  std::string side;
  StackSpec& s = x.field_causal("ForCausalLM", side, "classifier");
  keys.field("hidden_size", c.width);
  x.field_tied(true);
  keys.field("num_layers", s.layers);
  keys.field("num_heads", s.heads);
  keys.field("intermediate_size", s.inner, 4 * c.width);
  keys.field("activation_function", s.activation, Activation::gelu_tanh);
  s.norm_position = NormPosition::pre;
  keys.field("layer_norm_epsilon", s.norm_epsilon, 1e-5);
  s.final_norm = true;
  s.positions = PositionKind::learned;
  keys.field("max_position_embeddings", s.max_positions, 2048);
  s.embedding_scale = false;
  s.attention_bias = false;
  s.attention_scale = 1;
  field_attention_types(x, s);
  x.field_control_ids(false);

  x.find_prefix("transformer.");
  const std::string base = x.prefix;
  x.row(side + "embedding/weight", base + "wte.weight");
  x.row(side + "positions/weight", base + "wpe.weight");
  x.layer(side + "norm", base + "ln_f");
  if (c.has_decoder()) x.output("lm_head.weight", base + "wte.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat(side, i, "/"), theirs = cat(base, "h.", i, ".");
    x.layer(ours + "norm1", theirs + "ln_1");
    x.attention(ours + "self_attn", theirs + "attn.attention.", {"q_proj", "k_proj", "v_proj", "out_proj"});
    x.layer(ours + "norm2", theirs + "ln_2");
    x.layer(ours + "ffn/linear1", theirs + "mlp.c_fc");
    x.layer(ours + "ffn/linear2", theirs + "mlp.c_proj");
    for (const char* buffer : {"attn.attention.bias", "attn.attention.masked_bias"}) x.leave_out(theirs + buffer);
  }
}

}  // namespace pipeformer::import
