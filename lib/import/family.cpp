#include "import/family.hpp"

#include <algorithm>
#include <cmath>

#include "core/elementary.hpp"
#include "core/error.hpp"

namespace pipeformer {
namespace {

constexpr std::size_t kMostRows = 200'000;

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

void Exchange::field_labels() {
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

namespace {

std::string list_text(const std::string& numbers) {
  return "[" + numbers + "]";
}

/// "1,1.5" of a JSON array.
std::string numbers_of(const Json& array) {
  std::string list;
  for (std::size_t i = 0; i < array.size(); ++i) list += (i > 0 ? "," : "") + number_text(array[i].number());
  return list;
}

/// What transformers multiplies sines and cosines by where attention_factor says nothing.
double usual_attention_factor(const StackSpec& s, double mscale, double mscale_all) {
  const double factor = s.rotary_factor;
  if (s.rotary_scaling == RotaryScaling::longrope)
    return factor <= 1
               ? 1
               : std::sqrt(1 + elementary::log(factor) / elementary::log(static_cast<double>(s.rotary_context)));
  if (s.rotary_scaling != RotaryScaling::yarn) return 1;
  const auto of = [&](double scale) { return factor <= 1 ? 1 : 0.1 * scale * elementary::log(factor) + 1; };
  return mscale != 0 && mscale_all != 0 ? of(mscale) / of(mscale_all) : of(1);
}

void write_rotary_scaling(Exchange& x, const StackSpec& s) {
  ConfigKeys rope = x.keys.inside("rope_scaling");
  const std::string& kind = name_of(s.rotary_scaling);
  const bool phi3 = x.type() == "phi3";
  if (!phi3) rope.say("rope_type", kind);
  rope.say("type", kind);  // which older readers look for
  if (s.rotary_scaling == RotaryScaling::longrope) {
    rope.say_json("short_factor", list_text(s.rotary_short_factors));
    rope.say_json("long_factor", list_text(s.rotary_long_factors));
    x.keys.say("original_max_position_embeddings", s.rotary_context);
    if (!phi3) rope.say("attention_factor", s.rotary_attention_factor);  // the library's Phi-3 refuses a fourth key
    return;
  }
  rope.say("factor", s.rotary_factor);
  if (s.rotary_scaling == RotaryScaling::llama3) {
    rope.say("low_freq_factor", s.rotary_low_frequency);
    rope.say("high_freq_factor", s.rotary_high_frequency);
  } else if (s.rotary_scaling == RotaryScaling::yarn) {
    rope.say("beta_slow", s.rotary_low_frequency);
    rope.say("beta_fast", s.rotary_high_frequency);
    rope.say("attention_factor", s.rotary_attention_factor);
  }
  if (s.rotary_scaling == RotaryScaling::dynamic)
    x.keys.say("max_position_embeddings", s.rotary_context);
  else if (s.rotary_scaling != RotaryScaling::linear)
    rope.say("original_max_position_embeddings", s.rotary_context);
}

void read_rotary_scaling(Exchange& x, ConfigKeys& rope, const std::string& key, StackSpec& s) {
  Configuration& c = x.configuration;
  std::string type = rope.text("rope_type", rope.text("type", "default"));
  rope.harmless({"type"});
  // What Phi-3's files called it first.
  if (type == "su" || (type == "yarn" && rope.get("long_factor"))) type = "longrope";
  if (type == "default") return;
  const RotaryScaling kinds[] = {RotaryScaling::linear, RotaryScaling::llama3, RotaryScaling::yarn,
                                 RotaryScaling::dynamic, RotaryScaling::longrope};
  const auto* kind =
      std::find_if(std::begin(kinds), std::end(kinds), [&](RotaryScaling k) { return name_of(k) == type; });
  require(kind != std::end(kinds), "config.json: ", key, ": rope_type ", type,
          " is none of default, linear, llama3, yarn, dynamic, longrope");
  s.rotary_scaling = *kind;
  const bool phi3 = x.type() == "phi3";
  const std::int64_t whole = c.context > 0 ? c.context : phi3 ? 4096 : 0;
  // The context before it was stretched: inside, beside, or max_position_embeddings.
  std::int64_t original = 0, beside = 0;
  rope.field("original_max_position_embeddings", original, 0);
  x.keys.field("original_max_position_embeddings", beside, phi3 ? 4096 : 0);
  const double ratio = original + beside > 0 && whole > 0
                           ? static_cast<double>(whole) / static_cast<double>(original > 0 ? original : beside)
                           : 0;
  s.rotary_context = original > 0 ? original : beside > 0 ? beside : whole;
  double attention = 0, mscale = 0, mscale_all = 0;
  switch (s.rotary_scaling) {
    case RotaryScaling::linear:
      rope.field("factor", s.rotary_factor, 1);
      break;
    case RotaryScaling::llama3:
      rope.field("factor", s.rotary_factor, 8);
      rope.field("low_freq_factor", s.rotary_low_frequency, 1);
      rope.field("high_freq_factor", s.rotary_high_frequency, 4);
      if (original == 0) s.rotary_context = 8192;
      break;
    case RotaryScaling::yarn:
      rope.field("factor", s.rotary_factor, ratio);
      rope.field("beta_slow", s.rotary_low_frequency, 1);
      rope.field("beta_fast", s.rotary_high_frequency, 32);
      rope.field("mscale", mscale, 0);
      rope.field("mscale_all_dim", mscale_all, 0);
      rope.expect("truncate", true);
      break;
    case RotaryScaling::dynamic:
      rope.field("factor", s.rotary_factor, 1);
      require(original == 0 || original == whole, "config.json: ", key, ": original_max_position_embeddings ", original,
              " of a dynamic scaling is not max_position_embeddings ", whole);
      // It goes beyond by design.
      c.context = std::llround(static_cast<double>(whole) * std::max(s.rotary_factor, 1.0));
      break;
    case RotaryScaling::longrope:
      rope.field("factor", s.rotary_factor, 1);
      if (ratio > 0) s.rotary_factor = ratio;
      for (const auto& [name, list] :
           {std::pair{"short_factor", &s.rotary_short_factors}, std::pair{"long_factor", &s.rotary_long_factors}}) {
        const auto found = rope.get(name);
        require(found.has_value(), "config.json: ", key, ": ", name, " is missing");
        *list = numbers_of(*found);
      }
      break;
    case RotaryScaling::none:
      break;
  }
  require(s.rotary_scaling == RotaryScaling::linear || s.rotary_context > 0, "config.json: ", key,
          ": the context before it was stretched is not known");
  rope.field("attention_factor", attention, 0);
  s.rotary_attention_factor = attention != 0 ? attention : usual_attention_factor(s, mscale, mscale_all);
  if (s.rotary_scaling == RotaryScaling::longrope) s.rotary_factor = 1;  // it has done what it is for
}

}  // namespace

void field_rotary(Exchange& x, StackSpec& s, const RotaryKeys& names) {
  ConfigKeys& keys = x.keys;
  double share = 1;
  if (x.writing()) {  // the library rounds head width * share down
    share = static_cast<double>(s.rotary_width) / static_cast<double>(s.head_width);
    if (std::floor(static_cast<double>(s.head_width) * share) < static_cast<double>(s.rotary_width))
      share = std::nextafter(share, 2.0);
  }
  keys.field(names.base, s.rotary_base, 10000);
  keys.harmless({"original_max_position_embeddings"});  // read with the scaling that needs it
  if (names.share.empty())
    share = 1;
  else
    keys.field(names.share, share, names.usual_share);
  if (x.writing() && s.rotary_scaling != RotaryScaling::none) write_rotary_scaling(x, s);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto object = keys.get(key);
    if (!object) continue;
    ConfigKeys all = keys.inside(key);
    // Gemma 3, in newer files: one object for each kind of layer.
    const bool kinds = x.type() == "gemma3_text" && object->get("full_attention");
    ConfigKeys rope = kinds ? all.inside("full_attention") : all;
    rope.field("rope_theta", s.rotary_base, s.rotary_base);
    rope.field("partial_rotary_factor", share, share);
    read_rotary_scaling(x, rope, key, s);
    std::vector<std::string> unknown = rope.not_understood();
    if (kinds) {
      ConfigKeys local = all.inside("sliding_attention");
      local.field("rope_theta", s.rotary_local_base, 10000);
      local.expect("rope_type", "default");
      for (const std::string& name : local.not_understood()) unknown.push_back(name);
      for (const std::string& name : all.not_understood()) unknown.push_back(name);
    }
    require(unknown.empty(), "config.json: ", key, ": ", unknown.empty() ? "" : unknown.front(), " is not understood");
  }
  require(share > 0 && share <= 1, "config.json: ", share, " is no share of a head that rotary positions turn");
  if (x.writing()) return;
  s.rotary_width = static_cast<std::int64_t>(static_cast<double>(s.head_width) * share);
  require(s.rotary_width > 0 || s.head_width <= 0, "config.json: ", share, " of a head of ", s.head_width,
          " leaves nothing that rotary positions turn");
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
