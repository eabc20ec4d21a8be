// BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) and XLM-R, DistilBERT (Sanh et al. 2019), ELECTRA (Clark et al.
// 2020), with their heads.
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

/// What all have in common: an encoder with norms after its sublayers and after the embeddings.
void encoder(Import& in) {
  Configuration& c = in.configuration;
  c.kind = ModelKind::encoder_only;
  c.encoder.positions = PositionKind::learned;
  c.encoder.embedding_norm = true;
  c.encoder.embedding_scale = false;
  c.tied = Tied::all;
  c.pooling = Pooling::first;
  c.begin_id = c.end_id = -1;
}

/// The configuration keys of BERT, RoBERTa and ELECTRA.
void bert_keys(Import& in) {
  const ConfigKeys& keys = in.keys;
  Configuration& c = in.configuration;
  encoder(in);
  c.source_vocabulary = keys.integer("vocab_size");
  c.width = keys.integer("hidden_size");
  StackSpec& s = c.encoder;
  s.layers = keys.integer("num_hidden_layers");
  s.heads = keys.integer("num_attention_heads");
  s.inner = keys.integer("intermediate_size");
  s.activation = activation_of(keys, "hidden_act", "gelu");
  s.norm_epsilon = keys.number("layer_norm_eps", 1e-12);
  s.max_positions = keys.integer("max_position_embeddings");
  s.token_types = keys.integer("type_vocab_size", 2);
  keys.expect("position_embedding_type", "absolute");
  keys.expect("is_decoder", false);
  keys.expect("add_cross_attention", false);
}

/// Embeddings and layers below `base`, named as BERT names them. first_position: rows of the table before position 0.
void bert_layers(Import& in, const std::string& base, std::int64_t first_position) {
  const std::string embeddings = base + "embeddings.";
  in.row("encoder/embedding/weight", embeddings + "word_embeddings.weight");
  in.rows.push_back({.ours = "encoder/positions/weight",
                     .theirs = {embeddings + "position_embeddings.weight"},
                     .first = first_position});
  if (in.configuration.encoder.token_types > 0)
    in.row("encoder/token_types/weight", embeddings + "token_type_embeddings.weight");
  in.layer("encoder/embedding_norm", embeddings + "LayerNorm");
  in.leave_out(embeddings + "position_ids");
  in.leave_out(embeddings + "token_type_ids");
  for (std::int64_t i = 0; i < in.configuration.encoder.layers; ++i) {
    const std::string ours = cat("encoder/", i, "/"), theirs = cat(base, "encoder.layer.", i, ".");
    for (const char* part : {"query", "key", "value"})
      in.layer(ours + "self_attn/" + part, theirs + "attention.self." + part);
    in.layer(ours + "self_attn/output", theirs + "attention.output.dense");
    in.layer(ours + "norm1", theirs + "attention.output.LayerNorm");
    in.layer(ours + "ffn/linear1", theirs + "intermediate.dense");
    in.layer(ours + "ffn/linear2", theirs + "output.dense");
    in.layer(ours + "norm2", theirs + "output.LayerNorm");
  }
}

/// What an architecture predicts: the last word of its name.
enum class Predicts { nothing, masked, classes, token_classes, spans, replaced };

Predicts predicts(const Import& in) {
  const std::string name = in.keys.architecture();
  if (name.ends_with("ForMaskedLM")) return Predicts::masked;
  if (name.ends_with("ForSequenceClassification")) return Predicts::classes;
  if (name.ends_with("ForTokenClassification")) return Predicts::token_classes;
  if (name.ends_with("ForQuestionAnswering")) return Predicts::spans;
  if (name.ends_with("ForPreTraining")) return Predicts::replaced;
  return Predicts::nothing;
}

void masked_head(Import& in, Activation activation) {
  Configuration& c = in.configuration;
  c.head = Head::tokens;
  c.head_dense = c.head_norm = c.output_bias = true;
  c.head_activation = activation;
}

/// A linear layer called `theirs` for each sequence or each position.
void classifier(Import& in, Head head, const std::string& theirs) {
  Configuration& c = in.configuration;
  c.head = head;
  c.classes = in.shape(theirs + ".weight").at(0);
  if (theirs != "qa_outputs")
    in.take_labels();
  else
    in.labels = {"start", "end"};
  if (static_cast<std::int64_t>(in.labels.size()) != c.classes) in.labels.clear();
  in.layer("classifier", theirs);
}

void pooler(Import& in, const std::string& theirs, Activation activation) {
  in.configuration.pooler = true;
  in.configuration.pooler_activation = activation;
  in.layer("pooler", theirs);
}

/// The heads of token classes and spans are the same everywhere.
bool position_head(Import& in) {
  const Predicts what = predicts(in);
  if (what == Predicts::token_classes) classifier(in, Head::token_classes, "classifier");
  if (what == Predicts::spans) classifier(in, Head::token_classes, "qa_outputs");
  return what == Predicts::token_classes || what == Predicts::spans;
}

}  // namespace

void bert(Import& in) {
  bert_keys(in);
  Configuration& c = in.configuration;
  c.head = Head::none;
  in.find_prefix("bert.");
  bert_layers(in, in.prefix, 0);
  if (in.has(in.prefix + "pooler.dense.weight")) pooler(in, in.prefix + "pooler.dense", Activation::tanh);
  if (position_head(in)) return;
  if (predicts(in) == Predicts::classes) return classifier(in, Head::classes, "classifier");
  if (predicts(in) != Predicts::masked) return;
  masked_head(in, c.encoder.activation);
  in.layer("encoder/head/dense", "cls.predictions.transform.dense");
  in.layer("encoder/head/norm", "cls.predictions.transform.LayerNorm");
  in.row("encoder/output/bias", "cls.predictions.bias");
  in.copy("cls.predictions.decoder.bias", "cls.predictions.bias");
  in.copy("cls.predictions.decoder.weight", in.prefix + "embeddings.word_embeddings.weight");
}

void roberta(Import& in) {
  bert_keys(in);
  Configuration& c = in.configuration;
  c.head = Head::none;
  // Positions are counted from one after the padding id.
  const std::int64_t first = in.keys.id("pad_token_id") >= 0 ? in.keys.id("pad_token_id") + 1 : 2;
  c.encoder.max_positions -= first;
  for (const std::string prefix : {"roberta.", "camembert."}) {
    if (in.prefix.empty()) in.find_prefix(prefix);
  }
  bert_layers(in, in.prefix, first);
  if (in.has(in.prefix + "pooler.dense.weight")) pooler(in, in.prefix + "pooler.dense", Activation::tanh);
  if (position_head(in)) return;
  if (predicts(in) == Predicts::classes) {
    pooler(in, "classifier.dense", Activation::tanh);
    return classifier(in, Head::classes, "classifier.out_proj");
  }
  if (predicts(in) != Predicts::masked) return;
  masked_head(in, Activation::gelu);
  in.layer("encoder/head/dense", "lm_head.dense");
  in.layer("encoder/head/norm", "lm_head.layer_norm");
  in.row("encoder/output/bias", "lm_head.bias");
  in.copy("lm_head.decoder.bias", "lm_head.bias");
  in.copy("lm_head.decoder.weight", in.prefix + "embeddings.word_embeddings.weight");
}

void distilbert(Import& in) {
  const ConfigKeys& keys = in.keys;
  Configuration& c = in.configuration;
  encoder(in);
  c.head = Head::none;
  c.source_vocabulary = keys.integer("vocab_size");
  c.width = keys.integer("dim");
  StackSpec& s = c.encoder;
  s.layers = keys.integer("n_layers");
  s.heads = keys.integer("n_heads");
  s.inner = keys.integer("hidden_dim");
  s.activation = activation_of(keys, "activation", "gelu");
  s.norm_epsilon = 1e-12;
  s.max_positions = keys.integer("max_position_embeddings");
  keys.harmless({"sinusoidal_pos_embds"});  // such a table is stored like a learned one

  in.find_prefix("distilbert.");
  const std::string base = in.prefix, embeddings = base + "embeddings.";
  in.row("encoder/embedding/weight", embeddings + "word_embeddings.weight");
  in.row("encoder/positions/weight", embeddings + "position_embeddings.weight");
  in.layer("encoder/embedding_norm", embeddings + "LayerNorm");
  in.leave_out(embeddings + "position_ids");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat("encoder/", i, "/"), theirs = cat(base, "transformer.layer.", i, ".");
    in.layer(ours + "self_attn/query", theirs + "attention.q_lin");
    in.layer(ours + "self_attn/key", theirs + "attention.k_lin");
    in.layer(ours + "self_attn/value", theirs + "attention.v_lin");
    in.layer(ours + "self_attn/output", theirs + "attention.out_lin");
    in.layer(ours + "norm1", theirs + "sa_layer_norm");
    in.layer(ours + "ffn/linear1", theirs + "ffn.lin1");
    in.layer(ours + "ffn/linear2", theirs + "ffn.lin2");
    in.layer(ours + "norm2", theirs + "output_layer_norm");
  }
  if (position_head(in)) return;
  if (predicts(in) == Predicts::classes) {
    pooler(in, "pre_classifier", Activation::relu);
    return classifier(in, Head::classes, "classifier");
  }
  if (predicts(in) != Predicts::masked) return;
  masked_head(in, s.activation);
  in.layer("encoder/head/dense", "vocab_transform");
  in.layer("encoder/head/norm", "vocab_layer_norm");
  in.row("encoder/output/bias", "vocab_projector.bias");
  in.copy("vocab_projector.weight", embeddings + "word_embeddings.weight");
}

void electra(Import& in) {
  bert_keys(in);
  Configuration& c = in.configuration;
  c.head = Head::none;
  c.encoder.embedding_width = in.keys.integer("embedding_size", c.width);
  in.find_prefix("electra.");
  bert_layers(in, in.prefix, 0);
  if (c.encoder.embedding_width != c.width) in.layer("encoder/embedding_projection", in.prefix + "embeddings_project");
  if (position_head(in)) return;
  switch (predicts(in)) {
    case Predicts::classes:
      pooler(in, "classifier.dense", Activation::gelu);
      return classifier(in, Head::classes, "classifier.out_proj");
    case Predicts::replaced:  // one logit for each position: was this token replaced?
      classifier(in, Head::token_classes, "discriminator_predictions.dense_prediction");
      c.head_dense = true;
      c.head_activation = c.encoder.activation;
      return in.layer("encoder/head/dense", "discriminator_predictions.dense");
    case Predicts::masked:
      masked_head(in, Activation::gelu);
      in.layer("encoder/head/dense", "generator_predictions.dense");
      in.layer("encoder/head/norm", "generator_predictions.LayerNorm");
      in.row("encoder/output/bias", "generator_lm_head.bias");
      return in.copy("generator_lm_head.weight", in.prefix + "embeddings.word_embeddings.weight");
    default:
      return;
  }
}

}  // namespace pipeformer::import
