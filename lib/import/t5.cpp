// T5 (Raffel et al. 2020), T5 v1.1 and Flan-T5 (Chung et al. 2022), mT5 (Xue et al. 2021).
#include <cmath>

#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

void attention(Import& in, const std::string& ours, const std::string& theirs) {
  in.layer(ours + "/query", theirs + ".q");
  in.layer(ours + "/key", theirs + ".k");
  in.layer(ours + "/value", theirs + ".v");
  in.layer(ours + "/output", theirs + ".o");
}

void stack(Import& in, const std::string& side, const StackSpec& s) {
  in.layer(side + "/norm", side + ".final_layer_norm");
  in.row(side + "/relative_positions/weight", side + ".block.0.layer.0.SelfAttention.relative_attention_bias.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat(side, "/", i, "/"), theirs = cat(side, ".block.", i, ".layer.");
    int sublayer = 0;
    const auto norm = [&] {
      in.layer(cat(ours, "norm", sublayer + 1), cat(theirs, sublayer, ".layer_norm"));
      ++sublayer;
    };
    attention(in, ours + "self_attn", theirs + "0.SelfAttention");
    norm();
    if (side == "decoder") {
      attention(in, ours + "cross_attn", theirs + "1.EncDecAttention");
      in.leave_out(theirs + "1.EncDecAttention.relative_attention_bias.weight");  // old files hold it, nothing reads it
      norm();
    }
    const std::string dense = cat(theirs, sublayer, ".DenseReluDense.");
    if (s.gated) {
      in.layer(ours + "ffn/gate", dense + "wi_0");
      in.layer(ours + "ffn/linear1", dense + "wi_1");
    } else {
      in.layer(ours + "ffn/linear1", dense + "wi");
    }
    in.layer(ours + "ffn/linear2", dense + "wo");
    norm();
  }
}

}  // namespace

void t5(Import& in) {
  const ConfigKeys& keys = in.keys;
  Configuration& c = in.configuration;
  c.kind = ModelKind::encoder_decoder;
  c.width = keys.integer("d_model");
  c.source_vocabulary = c.target_vocabulary = keys.integer("vocab_size");
  const bool tied = keys.flag("tie_word_embeddings", true);
  c.tied = tied ? Tied::all : Tied::embeddings;
  if (tied) c.output_scale = 1 / std::sqrt(static_cast<double>(c.width));
  const std::string form = keys.text("feed_forward_proj", "relu");
  const bool gated = form.starts_with("gated-");
  // "gated-gelu" means the approximation by tanh.
  const std::string act = gated ? form.substr(6) : form;
  const Activation activation = act == "gelu" && gated ? Activation::gelu_tanh : activation_of(act);
  c.stacks([&](StackSpec& s) {
    const bool decoding = &s == &c.decoder;
    s.layers = decoding ? keys.integer("num_decoder_layers", keys.integer("num_layers")) : keys.integer("num_layers");
    s.heads = keys.integer("num_heads");
    s.head_width = keys.integer("d_kv");
    s.attention_scale = 1;
    s.attention_bias = s.attention_output_bias = s.ffn_bias = false;
    s.inner = keys.integer("d_ff");
    s.activation = activation;
    s.gated = gated;
    s.norm_position = NormPosition::pre;
    s.norm = NormKind::rms;
    s.norm_epsilon = keys.number("layer_norm_epsilon", 1e-6);
    s.final_norm = true;
    s.positions = PositionKind::relative;
    s.relative_buckets = keys.integer("relative_attention_num_buckets", 32);
    s.relative_distance = keys.integer("relative_attention_max_distance", 128);
    s.embedding_scale = false;
  });
  keys.harmless({"n_positions", "dense_act_fn", "is_gated_act", "bos_token_id"});
  in.take_control_ids(true);

  const std::string table = in.has("shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight";
  in.row("embedding/weight", table);
  for (const char* copy : {"shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"})
    if (copy != table) in.copy(copy, table);
  if (tied)
    in.copy("lm_head.weight", table);
  else
    in.row("decoder/output/weight", "lm_head.weight");
  stack(in, "encoder", c.encoder);
  stack(in, "decoder", c.decoder);
}

}  // namespace pipeformer::import
