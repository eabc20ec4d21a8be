#include "models/configuration.hpp"

#include <algorithm>
#include <array>
#include <iomanip>
#include <vector>

#include "core/error.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kFormatVersion = 2;
constexpr const char* kFormat = "pipeformer model";

/// The one list of fields: visit(name, field, format version that brought it) for each.
template <class Config, class Visit>
void each_field(Config& c, Visit visit_since) {
  const auto visit = [&](const char* name, auto& field) { visit_since(name, field, 1); };
  const auto visit2 = [&](const char* name, auto& field) { visit_since(name, field, 2); };
  visit("kind", c.kind);
  visit("source_vocabulary", c.source_vocabulary);
  visit("target_vocabulary", c.target_vocabulary);
  visit("width", c.width);
  visit("heads", c.heads);
  visit("kv_heads", c.kv_heads);
  visit("inner", c.inner);
  visit("encoder_layers", c.encoder_layers);
  visit("decoder_layers", c.decoder_layers);
  visit("norm_position", c.norm_position);
  visit("norm", c.norm);
  visit("norm_epsilon", c.norm_epsilon);
  visit("activation", c.activation);
  visit("gated", c.gated);
  visit("positions", c.positions);
  visit("max_positions", c.max_positions);
  visit("bias", c.bias);
  visit("output_bias", c.output_bias);
  visit("tied", c.tied);
  visit("embedding_scale", c.embedding_scale);
  visit("final_norm", c.final_norm);
  visit("begin_id", c.begin_id);
  visit("end_id", c.end_id);
  visit2("head", c.head);
  visit2("classes", c.classes);
  visit2("pooling", c.pooling);
  visit2("mask_id", c.mask_id);
  visit2("input_width", c.input_width);
  visit2("class_token", c.class_token);
}

void check_choice(const std::string& where, const char* name, const std::string& value,
                  std::initializer_list<const char*> choices) {
  for (const char* choice : choices)
    if (value == choice) return;
  std::string list;
  for (const char* choice : choices) list += (list.empty() ? "" : ", ") + std::string(choice);
  throw Error(cat(where, ": ", name, " is '", value, "', which is none of ", list));
}

void check_range(const std::string& where, const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  require(value >= low && value <= high, where, ": ", name, " is ", value, ", outside ", low, " to ", high);
}

}  // namespace

Activation activation_from_name(const std::string& name) {
  if (name == "relu") return Activation::relu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu-tanh") return Activation::gelu_tanh;
  if (name == "silu") return Activation::silu;
  if (name == "identity") return Activation::identity;
  throw Error(cat("unknown activation '", name, "'"));
}

void Configuration::check(const std::string& where) const {
  check_choice(where, "kind", kind, {"encoder-decoder", "decoder-only", "encoder-only"});
  check_choice(where, "norm_position", norm_position, {"post", "pre"});
  check_choice(where, "norm", norm, {"layer", "rms"});
  check_choice(where, "activation", activation, {"relu", "gelu", "gelu-tanh", "silu"});
  check_choice(where, "positions", positions, {"sinusoidal", "sinusoidal-halved", "learned", "rotary", "none"});
  check_choice(where, "tied", tied, {"all", "target", "none"});
  check_choice(where, "head", head, {"tokens", "classes", "none"});
  check_choice(where, "pooling", pooling, {"mean", "first"});
  check_range(where, "width", width, 1, 1 << 20);
  check_range(where, "heads", heads, 1, 1 << 16);
  check_range(where, "kv_heads", kv_heads, 1, heads);
  check_range(where, "inner", inner, 1, 1 << 22);
  check_range(where, "max_positions", max_positions, 1, std::int64_t{1} << 31);
  check_range(where, "encoder_layers", encoder_layers, 0, 1000);
  check_range(where, "decoder_layers", decoder_layers, 0, 1000);
  require(width % heads == 0, where, ": width ", width, " is not a multiple of heads ", heads);
  require(heads % kv_heads == 0, where, ": heads ", heads, " is not a multiple of kv_heads ", kv_heads);
  require(positions != "rotary" || width / heads % 2 == 0, where, ": rotary positions need an even head width, not ",
          width / heads);
  require(positions.rfind("sinusoidal", 0) != 0 || width % 2 == 0, where,
          ": sinusoidal positions need an even width, not ", width);
  require(norm_epsilon > 0 && norm_epsilon < 1, where, ": norm_epsilon is ", norm_epsilon, ", outside 0 to 1");
  check_range(where, "input_width", input_width, 0, 1 << 20);
  require(kind == "encoder-only" || (head == "tokens" && !reads_vectors()), where, ": a model of kind ", kind,
          " predicts tokens from ids");
  require(head != "tokens" || !reads_vectors(), where, ": tokens cannot be predicted from vectors");
  require(!class_token || reads_vectors(), where, ": a class token stands before vectors only (input_width)");
  if (head == "classes") check_range(where, "classes", classes, 1, 1 << 30);
  if (has_encoder() && !reads_vectors()) check_range(where, "source_vocabulary", source_vocabulary, 1, 1 << 30);
  if (!has_decoder() && head == "tokens") check_range(where, "mask_id", mask_id, 0, source_vocabulary - 1);
  if (has_decoder()) check_range(where, "target_vocabulary", target_vocabulary, 1, 1 << 30);
  if (kind == "encoder-decoder" && tied == "all")
    require(source_vocabulary == target_vocabulary, where, ": tied embeddings need one vocabulary, not ",
            source_vocabulary, " and ", target_vocabulary);
  if (has_decoder()) {
    check_range(where, "begin_id", begin_id, 0, target_vocabulary - 1);
    check_range(where, "end_id", end_id, 0, target_vocabulary - 1);
  }
}

void Configuration::write(Hdf5File& file) const {
  file.set_attribute("format", std::string(kFormat));
  file.set_attribute("format_version", kFormatVersion);
  each_field(*this, [&](const char* name, const auto& value, std::int64_t) { file.set_attribute(name, value); });
}

Configuration Configuration::read(const Hdf5File& file) {
  const auto format = file.attribute("format");
  require(format && std::holds_alternative<std::string>(*format) && std::get<std::string>(*format) == kFormat,
          file.name(), ": is not a model (it has no attribute format = '", kFormat, "')");
  const auto version = file.attribute("format_version");
  require(version && std::holds_alternative<std::int64_t>(*version), file.name(), ": has no format_version");
  require(std::get<std::int64_t>(*version) <= kFormatVersion, file.name(), ": is a model of format version ",
          std::get<std::int64_t>(*version), "; this program reads up to ", kFormatVersion);
  Configuration c;
  each_field(c, [&](const char* name, auto& value, std::int64_t since) {
    using T = std::decay_t<decltype(value)>;
    const auto attribute = file.attribute(name);
    if (!attribute && since > std::get<std::int64_t>(*version)) return;
    require(attribute.has_value(), file.name(), ": model attribute ", name, " is missing");
    const T* typed = std::get_if<T>(&*attribute);
    require(typed != nullptr, file.name(), ": model attribute ", name, " has the wrong type");
    value = *typed;
  });
  if (std::get<std::int64_t>(*version) == 1 && !c.has_decoder()) c.head = "none";
  c.check(file.name());
  return c;
}

std::string Configuration::difference(const Configuration& other) const {
  const auto text = [](const Attribute& attribute) {
    return std::visit([](const auto& value) { return cat(std::boolalpha, std::setprecision(17), value); }, attribute);
  };
  std::vector<Attribute> wanted;
  each_field(*this, [&](const char*, const auto& value, std::int64_t) { wanted.emplace_back(value); });
  std::string first;
  std::size_t field = 0;
  each_field(other, [&](const char* name, const auto& value, std::int64_t) {
    const Attribute &expected = wanted[field++], found = value;
    if (first.empty() && found != expected) first = cat(name, " is ", text(found), ", not ", text(expected));
  });
  return first;
}

LayerShape Configuration::layer_shape(bool decoder) const {
  LayerShape shape;
  shape.self_attention = {width, heads, kv_heads, bias, positions == "rotary", decoder};
  shape.cross_attention = {width, heads, kv_heads, bias, false, false};
  shape.feed_forward = {width, inner, activation_from_name(activation), gated, bias};
  shape.norm = {norm == "rms", static_cast<float>(norm_epsilon)};
  shape.pre_norm = norm_position == "pre";
  shape.cross = decoder && kind == "encoder-decoder";
  return shape;
}

}  // namespace pipeformer
