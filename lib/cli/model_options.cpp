#include "cli/model_options.hpp"

#include "core/error.hpp"

namespace pipeformer {

std::vector<Option> configuration_options() {
  return {
      choice("kind", "encoder-decoder|decoder-only|encoder-only", "what the model is", "encoder-decoder"),
      integer("source-vocabulary", "N", "number of source ids (default: the tokenizer's)", "", 1),
      integer("target-vocabulary", "N", "number of target ids (default: the tokenizer's)", "", 1),
      integer("width", "N", "width of all layers, d_model", "512", 1),
      integer("heads", "N", "attention heads; divides --width", "8", 1),
      integer("kv-heads", "N", "key/value heads; divides --heads (default: as many)", "", 1),
      integer("inner", "N", "inner width of the feed-forward layers, d_ff", "2048", 1),
      integer("encoder-layers", "N", "layers of the encoder", "6", 0, 1000),
      integer("decoder-layers", "N", "layers of the decoder", "6", 0, 1000),
      choice("norm-position", "post|pre", "norm after the residual (the paper) or before the sublayer", "post"),
      choice("norm-kind", "layer|rms", "layer norm or root-mean-square norm", "layer"),
      choice("activation", "relu|gelu|gelu-tanh|silu", "activation of the feed-forward layers", "relu"),
      flag("gated", "gated feed-forward layers"),
      choice("positions", "sinusoidal|sinusoidal-halved|learned|rotary|none", "how positions enter", "sinusoidal"),
      integer("max-positions", "N", "longest sequence of a model with learned positions", "512", 1),
      flag("bias", "biases in attention and feed-forward layers", true),
      flag("output-bias", "a bias on the logits"),
      choice("tied", "all|target|none",
             "one matrix for both embeddings and the output; for target embedding and output; or for none", "all"),
      flag("embedding-scale", "multiply embeddings by the square root of --width", true),
      flag("final-norm", "a norm after the last layer of each stack (default: with --norm-position pre)"),
      integer("begin-id", "N", "id that starts a target (default: the tokenizer's)", "", 0),
      integer("end-id", "N", "id that ends a target (default: the tokenizer's)", "", 0),
  };
}

Configuration configuration_from(const Args& args, const Tokenizer* tokenizer) {
  Configuration c;
  c.kind = args.text("kind");
  c.width = args.integer("width");
  c.heads = args.integer("heads");
  c.kv_heads = args.has("kv-heads") ? args.integer("kv-heads") : c.heads;
  c.inner = args.integer("inner");
  c.encoder_layers = c.has_encoder() ? args.integer("encoder-layers") : 0;
  c.decoder_layers = c.has_decoder() ? args.integer("decoder-layers") : 0;
  c.norm_position = args.text("norm-position");
  c.norm = args.text("norm-kind");
  c.activation = args.text("activation");
  c.gated = args.flag("gated");
  c.positions = args.text("positions");
  c.max_positions = args.integer("max-positions");
  c.bias = args.flag("bias");
  c.output_bias = args.flag("output-bias");
  c.tied = args.text("tied");
  c.embedding_scale = args.flag("embedding-scale");
  c.final_norm = args.given("final-norm") ? args.flag("final-norm") : c.norm_position == "pre";
  const auto number = [&](const char* option, std::int64_t from_tokenizer) {
    if (args.has(option)) return args.integer(option);
    if (!tokenizer) throw UsageError(cat("--", option, " or --tokenizer is needed"));
    return from_tokenizer;
  };
  const std::int64_t vocabulary = tokenizer ? tokenizer->vocabulary_size() : 0;
  if (c.has_encoder()) c.source_vocabulary = number("source-vocabulary", vocabulary);
  if (c.has_decoder()) {
    c.target_vocabulary = number("target-vocabulary", vocabulary);
    c.begin_id = number("begin-id", tokenizer ? tokenizer->begin_id() : 0);
    c.end_id = number("end-id", tokenizer ? tokenizer->end_id() : 0);
  }
  try {
    c.check("options");
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  return c;
}

}  // namespace pipeformer
