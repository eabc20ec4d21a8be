// BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) and XLM-R, DistilBERT (Sanh et al. 2019), ELECTRA (Clark et al.
// 2020), with their heads.
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

/// What an architecture predicts: the last word of its name.
enum class Predicts { nothing, masked, classes, token_classes, spans, replaced };

Predicts field_head(Exchange& x) {
  const Configuration& c = x.configuration;
  const bool positions = c.head == Head::token_classes;
  if (x.is("ForMaskedLM", c.head == Head::tokens)) return Predicts::masked;
  if (x.is("ForSequenceClassification", c.head == Head::classes)) return Predicts::classes;
  if (x.is("ForQuestionAnswering", positions && x.labels == std::vector<std::string>{"start", "end"}))
    return Predicts::spans;
  const bool electra = x.type() == "electra";
  if (x.is("ForPreTraining", electra && positions && c.head_dense))
    return electra ? Predicts::replaced : Predicts::masked;
  if (x.is("ForTokenClassification", positions)) return Predicts::token_classes;
  x.is("Model", true);
  return Predicts::nothing;
}

/// What all have in common: an encoder with norms after its sublayers and after the embeddings.
Predicts encoder(Exchange& x) {
  const Predicts what = field_head(x);
  Configuration& c = x.configuration;
  c.kind = ModelKind::encoder_only;
  c.encoder.positions = PositionKind::learned;
  c.encoder.embedding_norm = true;
  c.encoder.embedding_scale = false;
  c.tied = Tied::all;
  c.head = Head::none;
  c.pooling = Pooling::first;
  c.begin_id = c.end_id = -1;
  if (x.writing() && x.padding >= 0) x.keys.say("pad_token_id", x.padding);
  if (what != Predicts::masked) x.keys.harmless({"tie_word_embeddings"});  // there is no output to tie
  return what;
}

/// The configuration keys of BERT, RoBERTa and ELECTRA. first_position: rows of the table before position 0.
Predicts bert_keys(Exchange& x, std::int64_t first_position) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  StackSpec& s = c.encoder;
  const Predicts what = encoder(x);
  keys.field("vocab_size", c.source_vocabulary);
  field_sizes(keys, c, s);
  keys.field("hidden_act", s.activation, Activation::gelu);
  keys.field("layer_norm_eps", s.norm_epsilon, 1e-12);
  s.max_positions += first_position;
  keys.field("max_position_embeddings", s.max_positions);
  s.max_positions -= first_position;
  if (x.writing()) s.token_types = std::max<std::int64_t>(s.token_types, 1);  // the library knows none without
  keys.field("type_vocab_size", s.token_types, 2);
  keys.expect("position_embedding_type", "absolute");
  return what;
}

/// Embeddings and layers below `base`, named as BERT names them.
void bert_layers(Exchange& x, const std::string& base, std::int64_t first_position) {
  const std::string embeddings = base + "embeddings.";
  x.row("encoder/embedding/weight", embeddings + "word_embeddings.weight");
  x.rows.push_back({.ours = "encoder/positions/weight",
                    .theirs = {embeddings + "position_embeddings.weight"},
                    .first = first_position});
  if (x.configuration.encoder.token_types > 0)
    x.row("encoder/token_types/weight", embeddings + "token_type_embeddings.weight");
  x.layer("encoder/embedding_norm", embeddings + "LayerNorm");
  x.leave_out(embeddings + "position_ids");
  x.leave_out(embeddings + "token_type_ids");
  for (std::int64_t i = 0; i < x.configuration.encoder.layers; ++i) {
    const std::string ours = cat("encoder/", i, "/"), theirs = cat(base, "encoder.layer.", i, ".");
    x.attention(ours + "self_attn", theirs + "attention.", {"self.query", "self.key", "self.value", "output.dense"});
    x.layer(ours + "norm1", theirs + "attention.output.LayerNorm");
    x.layer(ours + "ffn/linear1", theirs + "intermediate.dense");
    x.layer(ours + "ffn/linear2", theirs + "output.dense");
    x.layer(ours + "norm2", theirs + "output.LayerNorm");
  }
}

/// The head of a masked language model: their names of its dense layer, its norm and the bias of the logits.
void masked_head(Exchange& x, Activation activation, const std::string& dense, const std::string& norm,
                 const std::string& bias) {
  Configuration& c = x.configuration;
  c.head = Head::tokens;
  c.head_dense = c.head_norm = c.output_bias = true;
  c.head_activation = activation;
  x.layer("encoder/head/dense", dense);
  x.layer("encoder/head/norm", norm);
  x.row("encoder/output/bias", bias);
}

/// A linear layer called `theirs` for each sequence or each position.
void linear_head(Exchange& x, Head head, const std::string& theirs) {
  Configuration& c = x.configuration;
  c.head = head;
  x.length(c.classes, theirs + ".weight", 0);
  x.layer("classifier", theirs);
}

void classifier(Exchange& x, Head head, const std::string& theirs) {
  linear_head(x, head, theirs);
  x.field_labels();
}

/// Two logits for each position: of the start and of the end of an answer.
void spans(Exchange& x) {
  linear_head(x, Head::token_classes, "qa_outputs");
  require(x.configuration.classes == 2, "tensor qa_outputs.weight has ", x.configuration.classes,
          " rows, not one for the start and one for the end of an answer");
  x.labels = {"start", "end"};
}

/// One logit for each position: was this token replaced? It needs no names, and a configuration may hold those of the
/// library's usual two classes.
void replaced(Exchange& x) {
  linear_head(x, Head::token_classes, "discriminator_predictions.dense_prediction");
  x.configuration.head_dense = true;
  x.configuration.head_activation = x.configuration.encoder.activation;
  x.layer("encoder/head/dense", "discriminator_predictions.dense");
  const auto names = x.keys.get("id2label");
  if (x.writing() || (names && static_cast<std::int64_t>(names->size()) == x.configuration.classes)) x.field_labels();
}

void pooler(Exchange& x, const std::string& theirs, Activation activation) {
  x.configuration.pooler = true;
  x.configuration.pooler_activation = activation;
  x.layer("pooler", theirs);
}

/// BERT's pooler, which most heads do without, or with.
void base_pooler(Exchange& x, bool needed, bool possible) {
  const bool there = needed || x.exists(x.prefix + "pooler.dense.weight", possible && x.configuration.pooler);
  x.configuration.pooler = there;
  if (there) pooler(x, x.prefix + "pooler.dense", Activation::tanh);
}

/// The heads of token classes and spans are the same everywhere.
bool position_head(Exchange& x, Predicts what) {
  if (what == Predicts::token_classes) classifier(x, Head::token_classes, "classifier");
  if (what == Predicts::spans) spans(x);
  return what == Predicts::token_classes || what == Predicts::spans;
}

}  // namespace

void bert(Exchange& x) {
  const Predicts what = bert_keys(x, 0);
  // Of another program's pooler, which the first files describe.
  x.keys.expect("pooler_type", "first_token_transform");
  x.keys.expect("directionality", "bidi");
  x.keys.harmless({"pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head"});
  x.find_prefix("bert.", what != Predicts::nothing);
  bert_layers(x, x.prefix, 0);
  base_pooler(x, what == Predicts::classes, true);
  if (position_head(x, what)) return;
  if (what == Predicts::classes) return classifier(x, Head::classes, "classifier");
  if (what != Predicts::masked) return;
  masked_head(x, x.configuration.encoder.activation, "cls.predictions.transform.dense",
              "cls.predictions.transform.LayerNorm", "cls.predictions.bias");
  x.copy("cls.predictions.decoder.bias", "cls.predictions.bias");
  x.copy("cls.predictions.decoder.weight", x.prefix + "embeddings.word_embeddings.weight");
  if (!x.keys.architecture().ends_with("ForMaskedLM")) return;
  // Files of this architecture hold the head for the next sentence as well, which it has no place for.
  for (const char* part : {"weight", "bias"}) x.leave_out(cat("cls.seq_relationship.", part));
}

void roberta(Exchange& x) {
  // Positions are counted from one after the padding id.
  std::int64_t padding = x.writing() && x.padding >= 0 ? x.padding : 1;
  x.keys.field("pad_token_id", padding, 1);
  const std::int64_t first = padding + 1;
  const Predicts what = bert_keys(x, first);
  for (const std::string prefix : {"roberta.", "camembert."})
    if (x.prefix.empty()) x.find_prefix(prefix, what != Predicts::nothing);
  bert_layers(x, x.prefix, first);
  base_pooler(x, false, what != Predicts::classes);
  if (position_head(x, what)) return;
  if (what == Predicts::classes) {
    pooler(x, "classifier.dense", Activation::tanh);
    return classifier(x, Head::classes, "classifier.out_proj");
  }
  if (what != Predicts::masked) return;
  masked_head(x, Activation::gelu, "lm_head.dense", "lm_head.layer_norm", "lm_head.bias");
  x.copy("lm_head.decoder.bias", "lm_head.bias");
  x.copy("lm_head.decoder.weight", x.prefix + "embeddings.word_embeddings.weight");
}

void distilbert(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  const Predicts what = encoder(x);
  keys.field("vocab_size", c.source_vocabulary);
  keys.field("dim", c.width);
  StackSpec& s = c.encoder;
  keys.field("n_layers", s.layers);
  keys.field("n_heads", s.heads);
  keys.field("hidden_dim", s.inner);
  keys.field("activation", s.activation, Activation::gelu);
  s.norm_epsilon = 1e-12;
  keys.field("max_position_embeddings", s.max_positions);
  keys.harmless({"sinusoidal_pos_embds"});  // such a table is stored like a learned one
  keys.expect("tie_weights_", true);

  x.find_prefix("distilbert.", what != Predicts::nothing);
  const std::string base = x.prefix, embeddings = base + "embeddings.";
  x.row("encoder/embedding/weight", embeddings + "word_embeddings.weight");
  x.row("encoder/positions/weight", embeddings + "position_embeddings.weight");
  x.layer("encoder/embedding_norm", embeddings + "LayerNorm");
  x.leave_out(embeddings + "position_ids");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat("encoder/", i, "/"), theirs = cat(base, "transformer.layer.", i, ".");
    x.attention(ours + "self_attn", theirs + "attention.", {"q_lin", "k_lin", "v_lin", "out_lin"});
    x.layer(ours + "norm1", theirs + "sa_layer_norm");
    x.layer(ours + "ffn/linear1", theirs + "ffn.lin1");
    x.layer(ours + "ffn/linear2", theirs + "ffn.lin2");
    x.layer(ours + "norm2", theirs + "output_layer_norm");
  }
  if (position_head(x, what)) return;
  if (what == Predicts::classes) {
    pooler(x, "pre_classifier", Activation::relu);
    return classifier(x, Head::classes, "classifier");
  }
  if (what != Predicts::masked) return;
  masked_head(x, s.activation, "vocab_transform", "vocab_layer_norm", "vocab_projector.bias");
  x.copy("vocab_projector.weight", embeddings + "word_embeddings.weight");
}

void electra(Exchange& x) {
  const Predicts what = bert_keys(x, 0);
  Configuration& c = x.configuration;
  x.keys.field("embedding_size", c.encoder.embedding_width, c.width);
  x.find_prefix("electra.", what != Predicts::nothing);
  bert_layers(x, x.prefix, 0);
  if (c.encoder.embedding_width != c.width) x.layer("encoder/embedding_projection", x.prefix + "embeddings_project");
  if (position_head(x, what)) return;
  switch (what) {
    case Predicts::classes:
      pooler(x, "classifier.dense", Activation::gelu);
      return classifier(x, Head::classes, "classifier.out_proj");
    case Predicts::replaced:
      return replaced(x);
    case Predicts::masked:
      masked_head(x, Activation::gelu, "generator_predictions.dense", "generator_predictions.LayerNorm",
                  "generator_lm_head.bias");
      return x.copy("generator_lm_head.weight", x.prefix + "embeddings.word_embeddings.weight");
    default:
      return;
  }
}

}  // namespace pipeformer::import
