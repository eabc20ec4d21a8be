// BART (Lewis et al. 2020), mBART (Liu et al. 2020), Marian (Junczys-Dowmunt et al. 2018; OPUS-MT), M2M100 (Fan et al.
// 2021; NLLB): encoder-decoders with the same names for their tensors.
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

void attention(Import& in, const std::string& ours, const std::string& theirs) {
  in.layer(ours + "/query", theirs + ".q_proj");
  in.layer(ours + "/key", theirs + ".k_proj");
  in.layer(ours + "/value", theirs + ".v_proj");
  in.layer(ours + "/output", theirs + ".out_proj");
}

void stack(Import& in, const std::string& side, const StackSpec& s) {
  const std::string base = in.prefix + side + ".";
  if (s.positions == PositionKind::learned)  // the library adds 2 to every position
    in.rows.push_back({.ours = side + "/positions/weight", .theirs = {base + "embed_positions.weight"}, .first = 2});
  else
    in.leave_out(base + "embed_positions.weight");  // sinusoids, which are computed
  in.leave_out(base + "embed_positions.weights");
  in.leave_out(base + "version");
  if (s.embedding_norm) in.layer(side + "/embedding_norm", base + "layernorm_embedding");
  if (s.final_norm) in.layer(side + "/norm", base + "layer_norm");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat(side, "/", i, "/"), theirs = cat(base, "layers.", i, ".");
    const bool cross = side == "decoder";
    attention(in, ours + "self_attn", theirs + "self_attn");
    in.layer(ours + "norm1", theirs + "self_attn_layer_norm");
    if (cross) {
      attention(in, ours + "cross_attn", theirs + "encoder_attn");
      in.layer(ours + "norm2", theirs + "encoder_attn_layer_norm");
    }
    in.layer(ours + "ffn/linear1", theirs + "fc1");
    in.layer(ours + "ffn/linear2", theirs + "fc2");
    in.layer(ours + (cross ? "norm3" : "norm2"), theirs + "final_layer_norm");
  }
}

}  // namespace

void bart(Import& in) {
  const ConfigKeys& keys = in.keys;
  const std::string type = keys.text("model_type", "bart");
  Configuration& c = in.configuration;
  c.kind = ModelKind::encoder_decoder;
  c.width = keys.integer("d_model");
  c.source_vocabulary = keys.integer("vocab_size");
  c.target_vocabulary = keys.integer("decoder_vocab_size", c.source_vocabulary);
  in.find_prefix("model.");
  const std::string shared = in.prefix + "shared.weight", source = in.prefix + "encoder.embed_tokens.weight",
                    target = in.prefix + "decoder.embed_tokens.weight";
  const bool one_table = keys.flag("share_encoder_decoder_embeddings", true),
             tied_output = keys.flag("tie_word_embeddings", true);
  c.tied = one_table ? (tied_output ? Tied::all : Tied::embeddings) : tied_output ? Tied::target : Tied::none;
  const bool before = type == "mbart" || type == "m2m_100";
  c.stacks([&](StackSpec& s) {
    const std::string side = &s == &c.encoder ? "encoder" : "decoder";
    s.layers = keys.integer(side + "_layers");
    s.heads = keys.integer(side + "_attention_heads");
    s.inner = keys.integer(side + "_ffn_dim");
    s.activation = activation_of(keys, "activation_function", "gelu");
    s.norm_position = before ? NormPosition::pre : NormPosition::post;
    s.final_norm = before;
    s.embedding_norm = type == "bart" || type == "mbart";
    s.embedding_scale = keys.flag("scale_embedding", false);
    s.positions = type == "marian"    ? PositionKind::sinusoidal_halved
                  : type == "m2m_100" ? PositionKind::sinusoidal_fairseq
                                      : PositionKind::learned;
    if (s.positions == PositionKind::learned) s.max_positions = keys.integer("max_position_embeddings");
    if (type == "m2m_100") s.position_offset = keys.id("pad_token_id") + 1;
  });
  keys.harmless({"max_position_embeddings", "num_hidden_layers"});
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
  in.take_control_ids(true);

  if (one_table) {
    const std::string table = in.has(shared) ? shared : in.has(source) ? source : target;
    in.row("embedding/weight", table);
    for (const std::string& name : {shared, source, target})
      if (name != table) in.copy(name, table);
    if (tied_output)
      in.copy("lm_head.weight", table);
    else
      in.row("decoder/output/weight", "lm_head.weight");
  } else {
    in.row("encoder/embedding/weight", source);
    in.row("decoder/embedding/weight", target);
    if (tied_output)
      in.copy("lm_head.weight", target);
    else
      in.row("decoder/output/weight", "lm_head.weight");
  }
  if (in.has("final_logits_bias")) {  // (1, vocabulary)
    c.output_bias = true;
    in.row("decoder/output/bias", "final_logits_bias");
  }
  stack(in, "encoder", c.encoder);
  stack(in, "decoder", c.decoder);
}

}  // namespace pipeformer::import
