// T5 (Raffel et al. 2020), T5 v1.1 and Flan-T5 (Chung et al. 2022), mT5 (Xue et al. 2021).
#include <cmath>

#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

void stack(Exchange& x, const std::string& side, const StackSpec& s) {
  const std::vector<std::string> names{"q", "k", "v", "o"};
  x.layer(side + "/norm", side + ".final_layer_norm");
  x.row(side + "/relative_positions/weight", side + ".block.0.layer.0.SelfAttention.relative_attention_bias.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat(side, "/", i, "/"), theirs = cat(side, ".block.", i, ".layer.");
    int sublayer = 0;
    const auto norm = [&] {
      x.layer(cat(ours, "norm", sublayer + 1), cat(theirs, sublayer, ".layer_norm"));
      ++sublayer;
    };
    x.attention(ours + "self_attn", theirs + "0.SelfAttention.", names);
    norm();
    if (side == "decoder") {
      x.attention(ours + "cross_attn", theirs + "1.EncDecAttention.", names);
      x.leave_out(theirs + "1.EncDecAttention.relative_attention_bias.weight");  // old files hold it, nothing reads it
      norm();
    }
    const std::string dense = cat(theirs, sublayer, ".DenseReluDense.");
    if (s.gated) {
      x.layer(ours + "ffn/gate", dense + "wi_0");
      x.layer(ours + "ffn/linear1", dense + "wi_1");
    } else {
      x.layer(ours + "ffn/linear1", dense + "wi");
    }
    x.layer(ours + "ffn/linear2", dense + "wo");
    norm();
  }
}

/// feed_forward_proj. "gated-gelu" means the approximation by tanh.
std::pair<Activation, bool> field_feed_forward(Exchange& x) {
  const StackSpec& s = x.configuration.encoder;
  if (x.writing()) {
    const bool usual = s.gated && s.activation == Activation::gelu_tanh;
    x.keys.say("feed_forward_proj",
               cat(s.gated ? "gated-" : "", usual ? std::string("gelu") : activation_text(s.activation)));
    return {s.activation, s.gated};
  }
  const auto form = x.keys.get("feed_forward_proj");
  const bool gated = form && form->string().starts_with("gated-");
  const std::string name = !form ? "relu" : gated ? form->string().substr(6) : form->string();
  const Activation activation = name == "gelu" && gated ? Activation::gelu_tanh
                                : form                  ? activation_of(*form, name)
                                                        : Activation::relu;
  // Newer files also say what the library made of it, and it would take that.
  x.keys.expect("is_gated_act", gated);
  if (const auto made = x.keys.get("dense_act_fn"); made && activation_of(*made, made->string()) != activation)
    made->fail("which is not what feed_forward_proj says");
  return {activation, gated};
}

}  // namespace

void t5(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  const bool encoder = x.is("EncoderModel", c.kind == ModelKind::encoder_only);
  if (!encoder) x.is("ForConditionalGeneration", true);
  c.kind = encoder ? ModelKind::encoder_only : ModelKind::encoder_decoder;
  keys.field("d_model", c.width);
  keys.field("vocab_size", c.source_vocabulary);
  c.target_vocabulary = encoder ? 0 : c.source_vocabulary;
  bool tied = c.tied == Tied::all;
  keys.field("tie_word_embeddings", tied, true);
  c.tied = tied || encoder ? Tied::all : Tied::embeddings;
  c.output_scale = tied && !encoder ? 1 / std::sqrt(static_cast<double>(c.width)) : 1;
  const auto feed_forward = field_feed_forward(x);  // clang before 16 captures no bindings
  keys.field("num_layers", c.encoder.layers);
  if (encoder)
    keys.harmless({"num_decoder_layers"});
  else
    keys.field("num_decoder_layers", c.decoder.layers, c.encoder.layers);
  c.stacks([&](StackSpec& s) {
    keys.field("num_heads", s.heads);
    keys.field("d_kv", s.head_width);
    s.attention_scale = 1;
    s.attention_bias = s.attention_output_bias = s.ffn_bias = false;
    keys.field("d_ff", s.inner);
    s.activation = feed_forward.first;
    s.gated = feed_forward.second;
    s.norm_position = NormPosition::pre;
    s.norm = NormKind::rms;
    keys.field("layer_norm_epsilon", s.norm_epsilon, 1e-6);
    s.final_norm = true;
    s.positions = PositionKind::relative;
    keys.field("relative_attention_num_buckets", s.relative_buckets, 32);
    keys.field("relative_attention_max_distance", s.relative_distance, 128);
    s.embedding_scale = false;
  });
  keys.harmless({"n_positions", "bos_token_id"});
  keys.say("is_encoder_decoder", !encoder);
  if (x.writing()) keys.say("pad_token_id", x.padding >= 0 ? x.padding : encoder ? 0 : c.begin_id);
  if (encoder) {
    c.head = Head::none;
    c.pooling = Pooling::first;
    c.begin_id = c.end_id = -1;
  } else {
    x.field_control_ids(true);
  }

  const std::string table = x.exists("shared.weight", true) ? "shared.weight" : "encoder.embed_tokens.weight";
  x.row(encoder ? "encoder/embedding/weight" : "embedding/weight", table);
  for (const char* copy : {"shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"})
    if (copy != table) x.copy(copy, table);
  stack(x, "encoder", c.encoder);
  if (encoder) return;
  x.output("lm_head.weight", table);
  stack(x, "decoder", c.decoder);
}

}  // namespace pipeformer::import
