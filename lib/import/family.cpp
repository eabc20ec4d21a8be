#include "import/family.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"

namespace pipeformer {
namespace {

constexpr std::size_t kMostRows = 200'000;
constexpr std::int64_t kUsualImage = 224;  ///< The side of an image where a configuration says none.

/// Rounded; 0 of what is negative.
std::int64_t square_root(std::int64_t n) {
  return std::llround(std::sqrt(static_cast<double>(std::max<std::int64_t>(n, 0))));
}

}  // namespace

const Family& family_named(const std::string& model_type) {
  std::string known;
  for (const Family& family : families()) {
    if (model_type == family.model_type) return family;
    known += (known.empty() ? "" : ", ") + family.model_type;
  }
  throw Error(cat("is no family that is known: ", known));
}

bool Exchange::is(const std::string& ending, bool ours) {
  if (!writing()) return keys.architecture().ends_with(ending);
  if (!ours) return false;
  for (const std::string& architecture : family.architectures)
    if (architecture.ends_with(ending)) {
      keys.say_json("architectures", "[" + json_string(architecture) + "]");
      return true;
    }
  return false;
}

void Exchange::length(std::int64_t& value, const std::string& theirs, std::size_t axis) const {
  if (writing()) return;
  const auto found = tensors.find(theirs);
  require(found != tensors.end(), "the checkpoint has no tensor ", theirs);
  require(axis < found->second.size(), "tensor ", theirs, " has shape ", shape_text(found->second));
  value = found->second[axis];
}

void Exchange::find_prefix(const std::string& candidate, bool ours) {
  const auto first = tensors.lower_bound(candidate);
  const bool found = writing() ? ours : first != tensors.end() && first->first.starts_with(candidate);
  prefix = found ? candidate : "";
}

void Exchange::layer(const std::string& ours, const std::string& theirs) {
  // Before a number of layers that no checkpoint has fills the memory: their range is checked when all is read.
  require(rows.size() < kMostRows, "config.json: has layers for more than ", kMostRows, " tensors");
  const bool old = !exists(theirs + ".weight", true) && exists(theirs + ".gamma", false);
  row(ours + "/weight", theirs + (old ? ".gamma" : ".weight"));
  const std::string bias = theirs + (old ? ".beta" : ".bias");
  if (exists(bias, parameters.contains(ours + "/bias"))) row(ours + "/bias", bias);
}

void Exchange::part(const std::string& ours, const std::string& theirs, const TensorRow& slice) {
  for (const bool bias : {false, true}) {
    const std::string what = bias ? "bias" : "weight";
    if (bias && !exists(theirs + ".bias", parameters.contains(ours + "/bias"))) continue;
    TensorRow row = slice;
    row.ours = ours + "/" + what;
    row.theirs = {theirs + "." + what};
    if (bias) row.transposed = false;
    rows.push_back(std::move(row));
  }
}

void Exchange::attention(const std::string& ours, const std::string& theirs, const std::vector<std::string>& names) {
  const char* const parts[] = {"/query", "/key", "/value", "/output"};
  for (std::size_t i = 0; i < std::size(parts); ++i) layer(ours + parts[i], theirs + names.at(i));
}

void Exchange::copy(const std::string& copy, const std::string& original) {
  if (exists(copy, false)) copies.emplace_back(copy, original);
}

void Exchange::field_context() {
  if (writing() && configuration.context == 0) return;
  keys.field("max_position_embeddings", configuration.context, 0);
}

void Exchange::field_tied(bool fallback) {
  bool tied = configuration.tied == Tied::all || configuration.tied == Tied::target;
  keys.field("tie_word_embeddings", tied, fallback);
  configuration.tied = tied ? Tied::all : Tied::none;
}

void Exchange::output(const std::string& output, const std::string& table) {
  if (configuration.tied == Tied::all || configuration.tied == Tied::target)
    copy(output, table);
  else
    row("decoder/output/weight", output);
}

void Exchange::field_problem_type() {
  static constexpr const char* kTheirs[] = {"single_label_classification", "multi_label_classification", "regression"};
  Configuration& c = configuration;
  // Without the key the library takes one output for a number, and several for classes.
  const ProblemType usual = c.classes == 1 ? ProblemType::regression : ProblemType::single_label;
  if (writing()) {
    if (c.problem_type != ProblemType::single_label || c.problem_type != usual)
      keys.say("problem_type", std::string(kTheirs[static_cast<std::size_t>(c.problem_type)]));
    return;
  }
  c.problem_type = usual;
  const auto said = keys.get("problem_type");
  if (!said) return;
  const auto* const found = std::find(std::begin(kTheirs), std::end(kTheirs), said->string());
  if (found == std::end(kTheirs)) said->fail("which is not known");
  c.problem_type = static_cast<ProblemType>(found - kTheirs);
}

void Exchange::field_labels() {
  if (configuration.head == Head::classes) field_problem_type();
  if (writing()) {
    std::string names, numbers;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const std::string comma = i > 0 ? ", " : "", name = json_string(labels[i]);
      names += cat(comma, "\"", i, "\": ", name);
      numbers += cat(comma, name, ": ", i);
    }
    if (labels.empty()) return keys.say("num_labels", configuration.classes);
    keys.say_json("id2label", "{" + names + "}");
    // Two classes of one name have no place in the other direction, which nobody needs.
    if (std::set(labels.begin(), labels.end()).size() == labels.size()) keys.say_json("label2id", "{" + numbers + "}");
    return;
  }
  const auto names = keys.get("id2label");
  if (!names) return;
  if (static_cast<std::int64_t>(names->size()) != configuration.classes)
    names->fail(cat("which names ", names->size(), " classes of ", configuration.classes));
  labels.assign(names->size(), "");
  for (std::size_t i = 0; i < names->size(); ++i) {
    std::size_t at = names->size();
    try {
      at = std::stoul(names->key(i));
    } catch (const std::logic_error&) {
    }
    if (at >= labels.size()) (*names)[i].fail("whose key is no number of a class");
    labels[at] = (*names)[i].string();
    std::replace(labels[at].begin(), labels[at].end(), '\n', ' ');
  }
}

StackSpec& Exchange::field_causal(const std::string& language_model, std::string& side, const std::string& tagger) {
  Configuration& c = configuration;
  const std::vector<std::string> ends{"start", "end"};
  const bool positions = c.head == Head::token_classes;
  const bool classifies = is("ForSequenceClassification", c.head == Head::classes);
  const bool spans = !classifies && is("ForQuestionAnswering", positions && labels == ends);
  const bool tags = !classifies && !spans && is("ForTokenClassification", positions);
  const bool encodes = classifies || spans || tags;
  side = encodes ? "encoder/" : "decoder/";
  keys.field("vocab_size", encodes ? c.source_vocabulary : c.target_vocabulary);
  if (!encodes) {
    is(language_model, true);
    c.kind = ModelKind::decoder_only;
    return c.decoder;
  }
  const std::string theirs = classifies ? "score" : spans ? "qa_outputs" : tagger;
  c.kind = ModelKind::encoder_only;
  c.encoder.causal = true;
  c.head = classifies ? Head::classes : Head::token_classes;
  c.pooling = Pooling::last;
  c.classifier_bias = !classifies;
  length(c.classes, theirs + ".weight", 0);
  row("classifier/weight", theirs + ".weight");
  if (c.classifier_bias) row("classifier/bias", theirs + ".bias");
  if (!spans) {
    field_labels();
    return c.encoder;
  }
  require(c.classes == 2, "tensor qa_outputs.weight has ", c.classes,
          " rows, not one for the start and one for the end of an answer");
  labels = ends;
  return c.encoder;
}

void Exchange::field_control_ids(bool starts_with_id) {
  Configuration& c = configuration;
  std::vector<std::int64_t> ends = c.end_ids();
  keys.ids("eos_token_id", ends, 3);
  ends.resize(3, -1);
  c.end_id = ends[0];
  c.end_id2 = ends[1];
  c.end_id3 = ends[2];
  keys.suppressed(c.suppressed_id);
  if (!starts_with_id) {
    if (writing()) {
      std::int64_t begin = c.begin_id;
      keys.id("bos_token_id", begin);  // the library has a default, which may be no id of this vocabulary
      if (padding >= 0) keys.id("pad_token_id", padding);
    }
    c.begin_id = -1;
    return;
  }
  keys.id("decoder_start_token_id", c.begin_id);
  if (!writing() && c.begin_id < 0) keys.id("bos_token_id", c.begin_id);
  require(c.begin_id >= 0, "config.json has no decoder_start_token_id: what a decoder starts from is not known");
  keys.id("forced_bos_token_id", c.forced_id);
  std::vector<std::int64_t> forced;
  if (c.forced_end) forced = c.end_ids();
  keys.ids("forced_eos_token_id", forced, 3);
  c.forced_end = !forced.empty();
}

void field_sizes(ConfigKeys& keys, Configuration& c, StackSpec& s) {
  keys.field("hidden_size", c.width);
  keys.field("num_hidden_layers", s.layers);
  keys.field("num_attention_heads", s.heads);
  keys.field("intermediate_size", s.inner);
}

void field_image(ConfigKeys& keys, Configuration& c, std::int64_t usual_patch) {
  if (keys.writing() &&
      c.patch_size == 0) {  // a model trained here knows the vectors only: patches of colours, or grey
    for (const std::int64_t channels : {3, 1}) {
      const std::int64_t side = square_root(c.input_width / channels);
      if (c.patch_size > 0 || side * side * channels != c.input_width) continue;
      c.patch_size = side;
      c.channels = channels;
    }
    require(c.patch_size > 0, "input_width: ", c.input_width, " is no square patch of 1 or 3 colours");
  }
  keys.field("patch_size", c.patch_size, usual_patch);
  keys.field("num_channels", c.channels, 3);
  for (const auto& [key, value] : {std::pair("patch_size", c.patch_size), std::pair("num_channels", c.channels)})
    require(value > 0 && value <= 65536, "config.json: ", key, " is ", value, ", outside 1 to 65536");
  c.input_width = c.patch_size * c.patch_size * c.channels;
  if (!keys.writing()) return;
  const std::int64_t patches = c.encoder.max_positions - std::max<std::int64_t>(c.class_tokens, 1);
  const std::int64_t side = square_root(patches);
  require(side * side == patches, "max_positions: ", patches, " patches are not those of a square image");
  keys.say("image_size", side * c.patch_size);
}

void field_image_positions(Exchange& x, const ConfigKeys& keys, const std::string& theirs, std::size_t axis) {
  if (x.writing()) return;
  Configuration& c = x.configuration;
  x.length(c.encoder.max_positions, theirs, axis);
  std::int64_t height = kUsualImage, width = kUsualImage;
  if (const auto size = keys.get("image_size")) {
    const bool sides = size->is_array();
    if (sides && size->size() != 2) size->fail("not a side, or height and width");
    height = (sides ? (*size)[0] : *size).integer();
    width = (sides ? (*size)[1] : *size).integer();
    for (const std::int64_t side : {height, width})
      if (side < 1 || side > 65536) size->fail("outside 1 to 65536");
  }
  // What is left of a side that is no multiple of a patch's makes no patch.
  const std::int64_t patches = (height / c.patch_size) * (width / c.patch_size);
  require(c.encoder.max_positions == patches + c.class_tokens, "tensor ", theirs, " has ", c.encoder.max_positions,
          " positions, but images of ", height, " x ", width, " in patches of ", c.patch_size, " x ", c.patch_size,
          " have ", patches, ", and ", c.class_tokens, " before them");
}

void field_layer_types(Exchange& x, StackSpec& s, const std::string& usual) {
  if (x.writing()) {
    std::string list;
    for (std::int64_t i = 0; i < s.layers; ++i)
      list += cat(i > 0 ? ", " : "", s.windowed(i) ? "\"sliding_attention\"" : "\"full_attention\"");
    return x.keys.say_json("layer_types", "[" + list + "]");
  }
  const auto kinds = x.keys.get("layer_types");
  if (s.window == 0 && !kinds) return;
  s.window_pattern = usual;
  if (!kinds) return;
  s.window_pattern.clear();
  for (std::size_t i = 0; i < kinds->size(); ++i) {
    const std::string kind = (*kinds)[i].string();
    if (kind != "sliding_attention" && kind != "full_attention")
      (*kinds)[i].fail("which is no kind of layer that is known");
    if (kind == "sliding_attention" && s.window == 0) (*kinds)[i].fail("but the configuration has no window");
    s.window_pattern += kind == "sliding_attention" ? 'w' : 'f';
  }
  require(static_cast<std::int64_t>(kinds->size()) == s.layers, "config.json: layer_types names ", kinds->size(),
          " layers of ", s.layers);
  if (s.window == 0) s.window_pattern.clear();
}

}  // namespace pipeformer
