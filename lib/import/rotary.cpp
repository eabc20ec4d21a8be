// Rotary positions in other people's configurations (transformers, modeling_rope_utils).
#include <algorithm>
#include <cmath>

#include "core/elementary.hpp"
#include "core/error.hpp"
#include "import/family.hpp"

namespace pipeformer {
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

}  // namespace pipeformer
