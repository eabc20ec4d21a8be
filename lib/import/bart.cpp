// BART (Lewis et al. 2020), mBART (Liu et al. 2020), Marian (Junczys-Dowmunt et al. 2018; OPUS-MT), M2M100 (Fan et al.
// 2021; NLLB): encoder-decoders with the same names for their tensors.
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

void stack(Exchange& x, const std::string& side, const StackSpec& s) {
  const std::string base = x.prefix + side + ".";
  const std::vector<std::string> names{"q_proj", "k_proj", "v_proj", "out_proj"};
  if (s.positions == PositionKind::learned)  // the library adds 2 to every position
    x.rows.push_back({.ours = side + "/positions/weight", .theirs = {base + "embed_positions.weight"}, .first = 2});
  else
    x.leave_out(base + "embed_positions.weight");  // sinusoids, which are computed
  x.leave_out(base + "embed_positions.weights");
  x.leave_out(base + "version");
  if (s.embedding_norm) x.layer(side + "/embedding_norm", base + "layernorm_embedding");
  if (s.final_norm) x.layer(side + "/norm", base + "layer_norm");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat(side, "/", i, "/"), theirs = cat(base, "layers.", i, ".");
    const bool cross = side == "decoder";
    x.attention(ours + "self_attn", theirs + "self_attn.", names);
    x.layer(ours + "norm1", theirs + "self_attn_layer_norm");
    if (cross) {
      x.attention(ours + "cross_attn", theirs + "encoder_attn.", names);
      x.layer(ours + "norm2", theirs + "encoder_attn_layer_norm");
    }
    x.layer(ours + "ffn/linear1", theirs + "fc1");
    x.layer(ours + "ffn/linear2", theirs + "fc2");
    x.layer(ours + (cross ? "norm3" : "norm2"), theirs + "final_layer_norm");
  }
}

}  // namespace

void bart(Exchange& x) {
  ConfigKeys& keys = x.keys;
  const std::string& type = x.type();
  Configuration& c = x.configuration;
  c.kind = ModelKind::encoder_decoder;
  x.is(type == "marian" ? "MTModel" : "ForConditionalGeneration", true);
  keys.field("d_model", c.width);
  keys.field("vocab_size", c.source_vocabulary);
  x.find_prefix("model.");
  const std::string shared = x.prefix + "shared.weight", source = x.prefix + "encoder.embed_tokens.weight",
                    target = x.prefix + "decoder.embed_tokens.weight";
  bool one_table = c.tied == Tied::all || c.tied == Tied::embeddings,
       tied_output = c.tied == Tied::all || c.tied == Tied::target;
  if (type == "marian") {
    keys.field("decoder_vocab_size", c.target_vocabulary, c.source_vocabulary);
    keys.field("share_encoder_decoder_embeddings", one_table, true);
  } else {
    keys.expect("share_encoder_decoder_embeddings", true);
    c.target_vocabulary = c.source_vocabulary;
    one_table = true;
  }
  keys.field("tie_word_embeddings", tied_output, true);
  c.tied = one_table ? (tied_output ? Tied::all : Tied::embeddings) : tied_output ? Tied::target : Tied::none;
  // M2M100 counts positions from one after the padding id. The others need one that is in the vocabulary.
  std::int64_t padding = type == "m2m_100"      ? c.encoder.position_offset - 1
                         : x.padding >= 0       ? x.padding
                         : c.suppressed_id >= 0 ? c.suppressed_id
                                                : c.begin_id;
  keys.id("pad_token_id", padding);
  if (padding < 0) padding = 1;  // as the library
  const bool before = type == "mbart" || type == "m2m_100";
  c.stacks([&](StackSpec& s) {
    const std::string side = &s == &c.encoder ? "encoder" : "decoder";
    keys.field(side + "_layers", s.layers);
    keys.field(side + "_attention_heads", s.heads);
    keys.field(side + "_ffn_dim", s.inner);
    keys.field("activation_function", s.activation, Activation::gelu);
    s.norm_position = before ? NormPosition::pre : NormPosition::post;
    s.final_norm = before;
    s.embedding_norm = type == "bart" || type == "mbart";
    keys.field("scale_embedding", s.embedding_scale, false);
    s.positions = type == "marian"    ? PositionKind::sinusoidal_halved
                  : type == "m2m_100" ? PositionKind::sinusoidal_fairseq
                                      : PositionKind::learned;
    if (s.positions == PositionKind::learned)
      keys.field("max_position_embeddings", s.max_positions);
    else
      keys.say("max_position_embeddings", std::int64_t{1024});  // of sinusoids, which have no end
    s.position_offset = type == "m2m_100" ? padding + 1 : 0;
  });
  keys.say("is_encoder_decoder", true);
  keys.say("num_hidden_layers", c.encoder.layers);
  keys.expect("static_position_embeddings", type == "marian");
  if (before) {
    keys.expect("normalize_before", true);
    keys.expect("add_final_layer_norm", true);
  } else {
    keys.expect("normalize_before", false);
    keys.expect("add_final_layer_norm", false);
  }
  keys.expect("normalize_embedding", type == "bart" || type == "mbart");
  keys.expect("add_bias_logits", false);
  keys.harmless({"extra_pos_embeddings"});
  x.field_control_ids(true);
  bool begins = false;  // what older files say in the place of forced_bos_token_id
  if (!x.writing()) keys.field("force_bos_token_to_be_generated", begins, false);
  if (begins && c.forced_id < 0) keys.id("bos_token_id", c.forced_id);

  if (one_table) {
    const std::string table = x.exists(shared, true) ? shared : x.exists(source, false) ? source : target;
    x.row("embedding/weight", table);
    for (const std::string& name : {shared, source, target})
      if (name != table) x.copy(name, table);
    x.output("lm_head.weight", table);
  } else {
    x.row("encoder/embedding/weight", source);
    x.row("decoder/embedding/weight", target);
    x.output("lm_head.weight", target);
  }
  c.output_bias = x.exists("final_logits_bias", c.output_bias && type != "m2m_100");  // which the library gives no bias
  if (c.output_bias) x.row("decoder/output/bias", "final_logits_bias", 2);
  stack(x, "encoder", c.encoder);
  stack(x, "decoder", c.decoder);
}

}  // namespace pipeformer::import
