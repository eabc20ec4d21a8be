// Vision Transformers: ViT (Dosovitskiy et al. 2021), DeiT (Touvron et al. 2021), DINOv2 (Oquab et al. 2023).
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {
namespace {

void keys_of(Import& in) {
  const ConfigKeys& keys = in.keys;
  Configuration& c = in.configuration;
  c.kind = ModelKind::encoder_only;
  c.width = keys.integer("hidden_size");
  c.patch_size = keys.integer("patch_size", 16);
  c.channels = keys.integer("num_channels", 3);
  c.input_width = c.patch_size * c.patch_size * c.channels;
  c.class_tokens = 1;
  c.head = Head::none;
  c.pooling = Pooling::first;
  c.begin_id = c.end_id = -1;
  StackSpec& s = c.encoder;
  s.layers = keys.integer("num_hidden_layers");
  s.heads = keys.integer("num_attention_heads");
  s.activation = activation_of(keys, "hidden_act", "gelu");
  s.norm_position = NormPosition::pre;
  s.norm_epsilon = keys.number("layer_norm_eps", 1e-12);
  s.final_norm = true;
  s.attention_bias = keys.flag("qkv_bias", true);
  s.positions = PositionKind::learned;
  s.embedding_scale = false;
}

void embeddings(Import& in, const std::string& base) {
  in.rows.push_back({.ours = "encoder/input/weight",
                     .theirs = {base + "patch_embeddings.projection.weight"},
                     .patch = in.configuration.patch_size});
  if (in.has(base + "patch_embeddings.projection.bias"))
    in.row("encoder/input/bias", base + "patch_embeddings.projection.bias");
  else
    in.configuration.input_bias = false;
  in.row("encoder/positions/weight", base + "position_embeddings");
  in.configuration.encoder.max_positions = in.shape(base + "position_embeddings").at(1);
  if (in.has(base + "mask_token")) in.leave_out(base + "mask_token");  // only for training without labels
}

void attention(Import& in, const std::string& ours, const std::string& theirs) {
  for (const char* part : {"query", "key", "value"})
    in.layer(ours + "/" + part, theirs + "attention.attention." + part);
  in.layer(ours + "/output", theirs + "attention.output.dense");
}

}  // namespace

void vit(Import& in) {
  keys_of(in);
  const ConfigKeys& keys = in.keys;
  Configuration& c = in.configuration;
  c.encoder.inner = keys.integer("intermediate_size");
  keys.harmless({"pooler_output_size", "pooler_act"});
  for (const std::string prefix : {"vit.", "deit."}) {
    if (in.prefix.empty()) in.find_prefix(prefix);
  }
  const std::string base = in.prefix;
  embeddings(in, base + "embeddings.");
  ImportRow tokens{.ours = "encoder/class_token", .theirs = {base + "embeddings.cls_token"}};
  if (in.has(base + "embeddings.distillation_token")) {
    tokens.theirs.push_back(base + "embeddings.distillation_token");
    c.class_tokens = 2;
  }
  in.rows.push_back(tokens);
  for (std::int64_t i = 0; i < c.encoder.layers; ++i) {
    const std::string ours = cat("encoder/", i, "/"), theirs = cat(base, "encoder.layer.", i, ".");
    attention(in, ours + "self_attn", theirs);
    in.layer(ours + "norm1", theirs + "layernorm_before");
    in.layer(ours + "norm2", theirs + "layernorm_after");
    in.layer(ours + "ffn/linear1", theirs + "intermediate.dense");
    in.layer(ours + "ffn/linear2", theirs + "output.dense");
  }
  in.layer("encoder/norm", base + "layernorm");
  if (in.has(base + "pooler.dense.weight")) {
    c.pooler = true;
    c.pooler_activation = activation_of(keys, "pooler_act", "tanh");
    in.layer("pooler", base + "pooler.dense");
  }
  const std::string architecture = keys.architecture();
  if (architecture.ends_with("ForImageClassification")) {
    c.head = Head::classes;
    c.classes = in.shape("classifier.weight").at(0);
    in.take_labels();
    in.layer("classifier", "classifier");
  } else if (architecture.ends_with("WithTeacher")) {
    // Two classifiers, of the two class tokens; the mean of their logits is one classifier of both tokens.
    c.head = Head::classes;
    c.pooling = Pooling::class_tokens;
    c.classes = in.shape("cls_classifier.weight").at(0);
    in.take_labels();
    in.rows.push_back({.ours = "classifier/weight",
                       .theirs = {"cls_classifier.weight", "distillation_classifier.weight"},
                       .side_by_side = true,
                       .times = 0.5f});
    in.rows.push_back({.ours = "classifier/bias",
                       .theirs = {"cls_classifier.bias", "distillation_classifier.bias"},
                       .times = 0.5f,
                       .add = true});
  }
}

void dinov2(Import& in) {
  keys_of(in);
  const ConfigKeys& keys = in.keys;
  Configuration& c = in.configuration;
  StackSpec& s = c.encoder;
  s.layer_scale = true;
  s.gated = keys.flag("use_swiglu_ffn", false);
  s.norm_epsilon = keys.number("layer_norm_eps", 1e-6);
  if (s.gated) s.activation = Activation::silu;
  keys.harmless({"layerscale_value", "drop_path_rate", "out_features", "out_indices", "stage_names",
                 "reshape_hidden_states", "apply_layernorm", "use_mask_token", "mlp_ratio"});
  in.find_prefix("dinov2.");
  const std::string base = in.prefix;
  embeddings(in, base + "embeddings.");
  in.row("encoder/class_token", base + "embeddings.cls_token");
  const std::string first = base + "encoder.layer.0.mlp.";
  s.inner = in.shape(first + (s.gated ? "weights_out.weight" : "fc2.weight")).at(1);
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat("encoder/", i, "/"), theirs = cat(base, "encoder.layer.", i, ".");
    attention(in, ours + "self_attn", theirs);
    for (int n : {1, 2}) {
      in.layer(cat(ours, "norm", n), cat(theirs, "norm", n));
      in.row(cat(ours, "scale", n), cat(theirs, "layer_scale", n, ".lambda1"));
    }
    if (s.gated) {
      for (const char* what : {".weight", ".bias"}) {
        const std::string both = theirs + "mlp.weights_in" + what,
                          kind = what == std::string(".weight") ? "/weight" : "/bias";
        in.rows.push_back({.ours = ours + "ffn/gate" + kind, .theirs = {both}, .rows = s.inner});
        in.rows.push_back({.ours = ours + "ffn/linear1" + kind, .theirs = {both}, .first = s.inner, .rows = s.inner});
      }
      in.layer(ours + "ffn/linear2", theirs + "mlp.weights_out");
    } else {
      in.layer(ours + "ffn/linear1", theirs + "mlp.fc1");
      in.layer(ours + "ffn/linear2", theirs + "mlp.fc2");
    }
  }
  in.layer("encoder/norm", base + "layernorm");
  if (!keys.architecture().ends_with("ForImageClassification")) return;
  c.head = Head::classes;
  c.pooling = Pooling::first_and_mean;
  c.classes = in.shape("classifier.weight").at(0);
  in.take_labels();
  in.layer("classifier", "classifier");
}

}  // namespace pipeformer::import
