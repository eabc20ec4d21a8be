// Vision Transformers: ViT (Dosovitskiy et al. 2021), DeiT (Touvron et al. 2021), DINOv2 (Oquab et al. 2023).
#include <cmath>

#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

void keys_of(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  c.kind = ModelKind::encoder_only;
  keys.field("hidden_size", c.width);
  field_image(keys, c, 16);
  c.class_tokens = 1;
  c.head = Head::none;
  c.pooling = Pooling::first;
  c.begin_id = c.end_id = -1;
  StackSpec& s = c.encoder;
  keys.field("num_hidden_layers", s.layers);
  keys.field("num_attention_heads", s.heads);
  keys.field("hidden_act", s.activation, Activation::gelu);
  s.norm_position = NormPosition::pre;
  s.final_norm = true;
  keys.field("qkv_bias", s.attention_bias, true);
  keys.harmless({"tie_word_embeddings"});
  s.positions = PositionKind::learned;
  s.embedding_scale = false;
}

void embeddings(Exchange& x, const std::string& base) {
  x.rows.push_back({.ours = "encoder/input/weight",
                    .theirs = {base + "patch_embeddings.projection.weight"},
                    .patch = x.configuration.patch_size});
  Configuration& c = x.configuration;
  c.input_bias = x.exists(base + "patch_embeddings.projection.bias", c.input_bias);
  if (c.input_bias) x.row("encoder/input/bias", base + "patch_embeddings.projection.bias");
  x.row("encoder/positions/weight", base + "position_embeddings", 3);
  field_image_positions(x, x.keys, base + "position_embeddings", 1);
  x.leave_out(base + "mask_token");  // only for training without labels
}

void attention(Exchange& x, const std::string& ours, const std::string& theirs) {
  x.attention(ours, theirs + "attention.", {"attention.query", "attention.key", "attention.value", "output.dense"});
}

/// The inner width of DINOv2 by mlp_ratio: rounded down; of gated layers 2/3 of it, to a multiple of 8.
void field_inner(Exchange& x, const std::string& theirs) {
  StackSpec& s = x.configuration.encoder;
  const auto width = static_cast<double>(x.configuration.width);
  if (x.writing()) {
    const double inner = static_cast<double>(s.inner) * (s.gated ? 1.5 : 1), ratio = inner / width;
    return x.keys.say("mlp_ratio", width * ratio < inner ? std::nextafter(ratio, 2 * ratio) : ratio);
  }
  double ratio = 0;
  x.keys.field("mlp_ratio", ratio, 4);
  require(ratio > 0 && ratio <= 65536, "config.json: mlp_ratio is ", ratio, ", which is no ratio of widths");
  x.length(s.inner, theirs, 1);
  auto inner = static_cast<std::int64_t>(width * ratio);
  if (s.gated) inner = (inner * 2 / 3 + 7) / 8 * 8;
  require(s.inner == inner, "config.json: mlp_ratio is ", ratio, ", which makes ", inner, " columns of width ",
          x.configuration.width, ", but ", theirs, " has ", s.inner);
}

}  // namespace

void vit(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  const bool two = x.is("WithTeacher", c.head == Head::classes && c.pooling == Pooling::class_tokens),
             one = !two && x.is("ForImageClassification", c.head == Head::classes);
  if (!one && !two) x.is("Model", true);
  const bool distilled = x.type() == "deit" && c.class_tokens == 2;
  keys_of(x);
  keys.field("layer_norm_eps", c.encoder.norm_epsilon, 1e-12);
  keys.field("intermediate_size", c.encoder.inner);
  keys.harmless({"pooler_output_size"});
  for (const std::string prefix : {"vit.", "deit."})
    if (x.prefix.empty()) x.find_prefix(prefix, (one || two) && prefix == x.type() + ".");
  const std::string base = x.prefix;
  TensorRow tokens{.ours = "encoder/class_token", .theirs = {base + "embeddings.cls_token"}, .axes = 3};
  if (x.exists(base + "embeddings.distillation_token", distilled)) {
    tokens.theirs.push_back(base + "embeddings.distillation_token");
    c.class_tokens = 2;
  }
  x.rows.push_back(tokens);
  embeddings(x, base + "embeddings.");
  for (std::int64_t i = 0; i < c.encoder.layers; ++i) {
    const std::string ours = cat("encoder/", i, "/"), theirs = cat(base, "encoder.layer.", i, ".");
    attention(x, ours + "self_attn", theirs);
    x.layer(ours + "norm1", theirs + "layernorm_before");
    x.layer(ours + "norm2", theirs + "layernorm_after");
    x.layer(ours + "ffn/linear1", theirs + "intermediate.dense");
    x.layer(ours + "ffn/linear2", theirs + "output.dense");
  }
  x.layer("encoder/norm", base + "layernorm");
  c.pooler = x.exists(base + "pooler.dense.weight", c.pooler);
  if (c.pooler) {
    keys.field("pooler_act", c.pooler_activation, Activation::tanh);
    x.layer("pooler", base + "pooler.dense");
  }
  keys.harmless({"pooler_act"});
  if (one) {
    c.head = Head::classes;
    x.length(c.classes, "classifier.weight", 0);
    x.field_labels();
    x.layer("classifier", "classifier");
  } else if (two) {
    // Two classifiers, of the two class tokens; the mean of their logits is one classifier of both tokens.
    c.head = Head::classes;
    c.pooling = Pooling::class_tokens;
    x.length(c.classes, "cls_classifier.weight", 0);
    x.field_labels();
    x.rows.push_back({.ours = "classifier/weight",
                      .theirs = {"cls_classifier.weight", "distillation_classifier.weight"},
                      .side_by_side = true,
                      .times = 0.5f});
    x.rows.push_back({.ours = "classifier/bias",
                      .theirs = {"cls_classifier.bias", "distillation_classifier.bias"},
                      .times = 0.5f,
                      .add = true});
  }
}

void dinov2(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  StackSpec& s = c.encoder;
  const bool classes = x.is("ForImageClassification", c.head == Head::classes);
  if (!classes) x.is("Model", true);
  keys_of(x);
  s.layer_scale = true;
  keys.field("use_swiglu_ffn", s.gated, false);
  keys.field("layer_norm_eps", s.norm_epsilon, 1e-6);
  if (s.gated) s.activation = Activation::silu;
  keys.harmless({"layerscale_value", "drop_path_rate", "out_features", "out_indices", "stage_names",
                 "reshape_hidden_states", "apply_layernorm", "use_mask_token"});
  x.find_prefix("dinov2.", classes);
  const std::string base = x.prefix;
  embeddings(x, base + "embeddings.");
  x.row("encoder/class_token", base + "embeddings.cls_token", 3);
  const std::string first = base + "encoder.layer.0.mlp.";
  field_inner(x, first + (s.gated ? "weights_out.weight" : "fc2.weight"));
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat("encoder/", i, "/"), theirs = cat(base, "encoder.layer.", i, ".");
    attention(x, ours + "self_attn", theirs);
    for (int n : {1, 2}) {
      x.layer(cat(ours, "norm", n), cat(theirs, "norm", n));
      x.row(cat(ours, "scale", n), cat(theirs, "layer_scale", n, ".lambda1"));
    }
    if (s.gated) {
      for (const char* what : {".weight", ".bias"}) {
        const std::string both = theirs + "mlp.weights_in" + what,
                          kind = what == std::string(".weight") ? "/weight" : "/bias";
        x.rows.push_back({.ours = ours + "ffn/gate" + kind, .theirs = {both}, .rows = s.inner});
        x.rows.push_back({.ours = ours + "ffn/linear1" + kind, .theirs = {both}, .first = s.inner, .rows = s.inner});
      }
      x.layer(ours + "ffn/linear2", theirs + "mlp.weights_out");
    } else {
      x.layer(ours + "ffn/linear1", theirs + "mlp.fc1");
      x.layer(ours + "ffn/linear2", theirs + "mlp.fc2");
    }
  }
  x.layer("encoder/norm", base + "layernorm");
  if (!classes) return;
  c.head = Head::classes;
  c.pooling = Pooling::first_and_mean;
  x.length(c.classes, "classifier.weight", 0);
  x.field_labels();
  x.layer("classifier", "classifier");
}

}  // namespace pipeformer::import
