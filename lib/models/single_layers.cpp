#include "models/single_layers.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.hpp"
#include "io/stream.hpp"

namespace pipeformer {

void ArrayParameters::add(const std::vector<std::string>& names, const std::string& address) {
  const Array whole = read_single(address);
  require(is_floating(whole.dtype), address, ": expected floating-point numbers, not ", dtype_name(whole.dtype));
  const Array array = whole.as(DType::f4);
  for (const float x : array.values<float>()) require(std::isfinite(x), address, ": holds NaN or infinity");
  const auto parts = static_cast<std::int64_t>(names.size());
  require(array.rank() > 0 && array.shape[0] % parts == 0, address, ": shape ", shape_text(array.shape), " is not ",
          parts, " parameters of the same size");
  Shape shape = array.shape;
  shape[0] /= parts;
  const auto size = static_cast<std::size_t>(element_count(shape));
  for (std::size_t i = 0; i < names.size(); ++i) {
    arrays_[names[i]] = {address, Array::of<float>(shape, array.values<float>().subspan(i * size, size))};
  }
}

Shape ArrayParameters::shape(const std::string& name) const {
  const auto found = arrays_.find(name);
  require(found != arrays_.end(), "there is no array for parameter ", name);
  return found->second.array.shape;
}

Parameter ArrayParameters::get(const std::string& name, const Shape& expected, Initial) {
  const Shape found = shape(name);
  Entry& entry = arrays_.at(name);
  require(found == expected, entry.file, ": parameter ", name, " has shape ", shape_text(found), ", expected ",
          shape_text(expected));
  return {entry.array.values<float>().data(), nullptr};
}

namespace {

/// The shape of the parameter that makes a part the layer that it is.
Shape defining_shape(const StoredParameters& source, const std::string& name, const std::string& parameter,
                     std::size_t rank, const char* layer) {
  const std::string full = name + "/" + parameter;
  require(source.has(full), source.where(), name.empty() ? "the whole model" : name, " is no ", layer, " (it has no ",
          parameter, ")");
  Shape shape = source.shape(full);
  require(shape.size() == rank, source.where(), "parameter ", full, " has shape ", shape_text(shape), ", expected ",
          rank, rank == 1 ? " axis" : " axes");
  return shape;
}

}  // namespace

Linear make_linear(StoredParameters& source, const std::string& name) {
  const Shape weight = defining_shape(source, name, "weight", 2, "linear layer");
  return Linear(source, name, weight[1], weight[0], source.has(name + "/bias"));
}

OutputHead make_logits(ModelFile& model) {
  Configuration c = model.configuration();
  auto projection = output_projection(model, c);
  require(projection.has_value(), model.where(), "the model makes no logits");
  c.head_dense = c.head_norm = false;
  return OutputHead(model, c, "", projection->in(), std::move(*projection));
}

Norm make_norm(StoredParameters& source, const std::string& name, const NormShape& shape) {
  return Norm(source, name, defining_shape(source, name, "weight", 1, "norm")[0], shape);
}

FeedForward make_feed_forward(StoredParameters& source, const std::string& name, Activation activation) {
  const Shape weight = defining_shape(source, name, "linear1/weight", 2, "feed-forward layer");
  FeedForwardShape shape;
  shape.width = weight[1];
  shape.inner = weight[0];
  shape.activation = activation;
  shape.gated = source.has(name + "/gate/weight");
  shape.bias = source.has(name + "/linear1/bias");
  return FeedForward(source, name, shape);
}

MultiheadAttentionShape attention_shape(const StoredParameters& source, const std::string& name, std::int64_t heads) {
  MultiheadAttentionShape shape;
  const Shape weight = defining_shape(source, name, "query/weight", 2, "multi-head attention");
  shape.width = weight[1];
  shape.heads = shape.kv_heads = heads;
  require(weight[0] % heads == 0, source.where(), "width ", weight[0], " is not a multiple of ", heads, " heads");
  shape.head_width = weight[0] / heads;
  shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_width)));
  shape.bias = source.has(name + "/query/bias");
  shape.output_bias = source.has(name + "/output/bias");
  return shape;
}

bool is_in_decoder(const std::string& name) {
  return name == "decoder" || name.starts_with("decoder/");
}

namespace {

/// Of a part called like decoder/3/self_attn; 0 of any other.
std::int64_t layer_number(const std::string& name) {
  std::int64_t number = 0;
  const std::size_t slash = name.find('/');
  if (slash != std::string::npos) std::from_chars(name.data() + slash + 1, name.data() + name.size(), number);
  return std::max<std::int64_t>(number, 0);
}

}  // namespace

MultiheadAttentionShape attention_shape(const StoredParameters& source, const std::string& name,
                                        const Configuration& c) {
  defining_shape(source, name, "query/weight", 2, "multi-head attention");
  const LayerShape layer = c.layer_shape(is_in_decoder(name), layer_number(name));
  return name.ends_with("cross_attn") ? layer.cross_attention : layer.self_attention;
}

RelativePositions relative_positions(StoredParameters& source, const std::string& name, const Configuration& c) {
  if (!name.ends_with("self_attn")) return {};
  return make_relative_positions(source, c, is_in_decoder(name));
}

std::string embedding_side(const ModelFile& model) {
  const Configuration& c = model.configuration();
  std::string side = !model.group().empty() ? model.group() : c.has_encoder() ? "encoder" : "decoder";
  require(side == "encoder" ? c.has_encoder() : side == "decoder" && c.has_decoder(), model.name(), ": '", side,
          "' is no part with embeddings of this ", name_of(c.kind), " model");
  return side;
}

}  // namespace pipeformer
