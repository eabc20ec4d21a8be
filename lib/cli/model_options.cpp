#include "cli/model_options.hpp"

#include "core/error.hpp"

namespace pipeformer {

std::vector<Option> kind_options() {
  return {
      choice("kind", "encoder-decoder|decoder-only|encoder-only", "what the model is", "encoder-decoder"),
      choice("head", "none|tokens|classes", "what an encoder-only model predicts", "none"),
      integer("classes", "N", "--head classes: number of classes", "", 1),
      integer("input-width", "N", "an encoder-only model reads vectors of this width instead of ids", "", 1),
  };
}

Configuration kind_from(const Args& args) {
  Configuration c;
  c.kind = args.text("kind");
  if (args.given("head") && c.has_decoder()) throw UsageError("--head needs --kind encoder-only");
  if (!c.has_decoder()) c.head = args.text("head");
  args.allow_only(c.head == "classes", "--head classes", {"classes"});
  if (c.head == "classes") c.classes = args.integer("classes");
  if (args.has("input-width")) c.input_width = args.integer("input-width");
  return c;
}

std::vector<Option> configuration_options() {
  return {
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
      integer("mask-id", "N", "id that stands for a masked one (default: the tokenizer's unknown id)", "", 0),
      choice("pooling", "mean|first", "what a classifier sees of a sequence: the mean of its rows, or the first one",
             "mean"),
      flag("class-token", "put a learned vector before each sequence of vectors"),
  };
}

Configuration configuration_from(const Args& args, const Tokenizer* tokenizer, const Configuration& kind) {
  Configuration c = kind;
  args.allow_only(c.has_encoder(), "a model with an encoder", {"source-vocabulary"});
  args.allow_only(c.has_encoder() || args.integer("encoder-layers") == 0, "a model with an encoder",
                  {"encoder-layers"});
  args.allow_only(c.has_decoder(), "a model with a decoder", {"target-vocabulary", "begin-id", "end-id"});
  args.allow_only(c.has_decoder() || args.integer("decoder-layers") == 0, "a model with a decoder", {"decoder-layers"});
  args.allow_only(args.text("positions") == "learned", "--positions learned", {"max-positions"});
  args.allow_only(!c.reads_vectors(), "a model that reads ids", {"source-vocabulary"});
  args.allow_only(c.head == "classes", "a model that predicts classes", {"pooling"});
  args.allow_only(c.reads_vectors(), "a model that reads vectors", {"class-token"});
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
  c.pooling = args.text("pooling");
  c.class_token = args.flag("class-token");
  if (c.has_encoder() && !c.reads_vectors()) c.source_vocabulary = number("source-vocabulary", vocabulary);
  if (c.has_decoder()) {
    c.target_vocabulary = number("target-vocabulary", vocabulary);
    c.begin_id = number("begin-id", tokenizer ? tokenizer->begin_id() : 0);
    c.end_id = number("end-id", tokenizer ? tokenizer->end_id() : 0);
  }
  if (!c.has_decoder() && c.head == "tokens") c.mask_id = number("mask-id", tokenizer ? tokenizer->unknown_id() : 0);
  try {
    c.check("options");
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  return c;
}

}  // namespace pipeformer
