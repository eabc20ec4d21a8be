#include "models/model_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "core/error.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "io/address.hpp"
#include "models/adapters.hpp"

namespace pipeformer {

std::vector<ModelPlace> models_at(const std::string& address) {
  const Address parts = split_address(address);
  if (!parts.group.empty() || !std::filesystem::is_regular_file(parts.file))
    return {{"", address}};  // a pipe is read once
  const Hdf5File file = Hdf5File::open(parts.file);
  if (file.attribute("format") != Attribute(std::string(kSeveralModels))) return {{"", address}};
  std::vector<ModelPlace> models;
  for (const std::string& group : file.groups())
    if (file.attribute("kind", group)) models.push_back({group, parts.file + ":" + group});  // a checkpoint has others
  return models;
}

void write_model_head(Hdf5File& file, const Configuration& configuration, const ModelTexts& texts,
                      const std::string& group) {
  if (!group.empty()) file.make_group(group);
  configuration.write(file, group);
  for (const auto& [name, text] : {std::pair("tokenizer", &texts.tokenizer), std::pair("labels", &texts.labels),
                                   std::pair("preprocessor", &texts.preprocessor), std::pair("family", &texts.family)})
    if (!text->empty())
      file.write(group.empty() ? name : cat(group, "/", name), DType::u1, {static_cast<std::int64_t>(text->size())},
                 text->data());
}

ModelFile::ModelFile(const std::string& address_text, std::optional<WeightType> weights) : wanted_(weights) {
  const Address address = split_address(address_text);
  file_ = Hdf5File::open(address.file);
  group_ = address.group;
  if (const auto format = file_->attribute("format"); format && *format == Attribute(std::string(kSeveralModels))) {
    const std::size_t slash = group_.find('/');
    model_ = group_.substr(0, slash);
    group_ = slash == std::string::npos ? "" : group_.substr(slash + 1);
    std::string names;
    for (const std::string& name : file_->groups()) names += (names.empty() ? "" : ", ") + name;
    require(file_->has_group(model_) && !model_.empty(), file_->name(), ": holds several models: ", names,
            "; name one, as in ", file_->name(), ":", file_->groups().empty() ? "" : file_->groups().front());
  }
  configuration_ = Configuration::read(*file_, model_);
  if (const auto scale = file_->attribute(kAdapterScale, model_)) {
    const auto* value = std::get_if<double>(&*scale);
    require(value && std::isfinite(*value) && *value > 0, file_->name(), ": ", kAdapterScale, " is no number above 0");
    adapter_scale_ = *value;
  }
  if (!group_.empty() && !file_->has_group(stored(group_)))
    throw Error(cat(file_->name(), ": the model has no group ", group_, file_->nearest(stored(group_))));
}

std::string adapter_name(const std::string& weight, char which) {
  return cat(weight.substr(0, weight.size() - std::string_view(kWeightSuffix).size()), "/adapter_", which);
}

bool ModelFile::has_adapter(const std::string& name) const {
  return adapter_scale_ > 0 && !adapters_apart_ && name.ends_with(kWeightSuffix) && has(adapter_name(name, 'a'));
}

WeightView ModelFile::with_adapter(const std::string& name, const Shape& expected) {
  require(expected.size() == 2, file_->name(), ": parameter ", name, " has an adapter, but is no matrix");
  const std::int64_t rows = expected[0], columns = expected[1];
  const std::string sum_name = name + " with its adapter";
  auto kept = read_.find(sum_name);  // tied weights are asked for twice
  if (kept == read_.end()) {
    const std::string a = adapter_name(name, 'a'), b = adapter_name(name, 'b');
    const Shape found = shape(a);
    const std::int64_t rank = found.empty() ? 0 : found[0];
    require(rank > 0, file_->name(), ": parameter ", a, " has shape ", shape_text(found), ", expected (rank, ", columns,
            ")");
    const AdapterView adapter{get(a, {rank, columns}, Initial::xavier).value, get(b, {rows, rank}, Initial::zero).value,
                              rank, static_cast<float>(adapter_scale_)};
    const WeightView weight = stored_apart(name, expected);
    Array sum(DType::f4, expected);
    float* values = sum.values<float>().data();
    for (std::int64_t r = 0; r < rows; ++r) widen_row(weight, r, values + r * columns);
    add_adapter(adapter, values, {values, rows, columns});
    kept = read_.emplace(sum_name, std::move(sum)).first;
  }
  return {kept->second.values<float>().data(), rows, columns};
}

namespace {

WeightType type_of(const Hdf5Dataset& dataset) {
  return dataset.is_int8()              ? WeightType::int8
         : dataset.is_bfloat16()        ? WeightType::bfloat16
         : dataset.dtype() == DType::u1 ? WeightType::int4
         : dataset.dtype() == DType::f2 ? WeightType::float16
                                        : WeightType::float32;
}

/// Of the parameter that a dataset holds: 4-bit integers stand two in a byte.
Shape shape_of(const Hdf5Dataset& dataset) {
  Shape shape = dataset.shape();
  if (shape.size() == 2 && type_of(dataset) == WeightType::int4) shape[1] *= 2;
  return shape;
}

}  // namespace

Shape ModelFile::shape(const std::string& name) const {
  if (!has(name)) throw Error(cat(file_->name(), ": the model has no parameter ", name, file_->nearest(stored(name))));
  return shape_of(file_->dataset(stored(name)));
}

WeightType ModelFile::type(const std::string& name) const {
  if (!has(name)) shape(name);  // for the message
  return type_of(file_->dataset(stored(name)));
}

WeightView ModelFile::mapped(const Hdf5Dataset& dataset, const std::string& name, const Shape& expected) {
  const Shape found = shape_of(dataset);
  if (found != expected)
    throw Error(cat(file_->name(), ": parameter ", name, " has shape ", shape_text(found), ", expected ",
                    shape_text(expected)));
  const WeightType type = type_of(dataset);
  const std::int64_t rows = found.empty() ? 1 : found[0], count = element_count(found);
  WeightView view(nullptr, type, rows, rows > 0 ? count / rows : 0);
  const auto offset = type == WeightType::int8                                   ? dataset.int8_offset()
                      : type == WeightType::bfloat16                             ? dataset.bfloat16_offset()
                      : dataset.dtype() == DType::f8                             ? std::nullopt
                      : is_floating(dataset.dtype()) || type == WeightType::int4 ? dataset.file_offset()
                                                                                 : std::nullopt;
  if (!offset || *offset % static_cast<std::uint64_t>(element_size(type)) != 0) return view;
  require(*offset + static_cast<std::uint64_t>(rows * row_bytes(type, view.columns)) <= file_->mapped().size(),
          file_->name(), ": parameter ", name, " lies beyond the end of the file");
  view.data = file_->mapped().data() + *offset;
  view.file = file_->descriptor();
  view.offset = static_cast<std::int64_t>(*offset);
  return view;
}

WeightView ModelFile::stored_parameter(const std::string& name, const Shape& expected) {
  if (!has(name)) shape(name);  // for the message
  return has_adapter(name) ? with_adapter(name, expected) : stored_apart(name, expected);
}

WeightView ModelFile::stored_apart(const std::string& name, const Shape& expected) {
  const Hdf5Dataset dataset = file_->dataset(stored(name));
  WeightView view = mapped(dataset, name, expected);
  const std::string scales = name + kScaleSuffix;
  if (!is_integer(view.type)) {
    if (has(scales))
      throw Error(cat(file_->name(), ": parameter ", name, " is not of int8, but has scales (", scales, ")"));
    if (!view.data) view = {get_apart(name, expected).value, view.rows, view.columns};
    return view;
  }
  require(view.columns <= kInt8Depth, file_->name(), ": parameter ", name, " has rows of ", view.columns,
          " 8-bit integers; the sums of products hold ", kInt8Depth);
  require(has(scales), file_->name(), ": parameter ", name, " is of ", name_of(view.type), ", but has no scales (",
          scales, ")");
  const bool bytes = view.type == WeightType::int8;
  view.scales =
      get(scales, bytes ? Shape{view.rows} : Shape{view.rows, row_scales(view.type, view.columns)}, Initial::one).value;
  if (view.data) return view;
  const auto [kept, fresh] = owned_.try_emplace(name);  // tied weights are asked for twice
  OwnedWeight& weight = kept->second;
  if (fresh) {
    const Array wide = dataset.read();
    weight.elements.resize(static_cast<std::size_t>(wide.size()));
    if (!bytes)
      std::memcpy(weight.elements.data(), wide.bytes.data(), weight.elements.size());
    else
      std::transform(wide.values<std::int32_t>().begin(), wide.values<std::int32_t>().end(), weight.elements.begin(),
                     [](std::int32_t q) { return static_cast<std::byte>(q); });
  }
  view.data = weight.elements.data();
  return view;
}

Weight ModelFile::get_weight(const std::string& name, const Shape& expected, Initial) {
  require(expected.size() == 2, "parameter ", name, " is not a weight");
  if (const auto before = bound_.find(name); before != bound_.end() && wanted_) return {before->second};
  WeightView view = stored_parameter(name, expected);
  if (wanted_ && view.type != *wanted_) {
    OwnedWeight converted = convert(view, *wanted_, cat(file_->name(), ": parameter ", name));
    view = (owned_[name] = std::move(converted)).view(*wanted_, view.rows, view.columns);
  }
  bound_[name] = view;
  return {view};
}

Parameter ModelFile::get(const std::string& name, const Shape& expected, Initial) {
  if (!has(name)) shape(name);  // for the message
  if (!has_adapter(name)) return get_apart(name, expected);
  return {(bound_[name] = with_adapter(name, expected)).values()};
}

Parameter ModelFile::get_apart(const std::string& name, const Shape& expected) {
  const Hdf5Dataset dataset = file_->dataset(stored(name));
  WeightView view = mapped(dataset, name, expected);
  require(!is_integer(view.type), file_->name(), ": parameter ", name, " is of ", name_of(view.type),
          ", which is for running a model; `model quantize --weights f32` widens it");
  if (!view.data || view.type != WeightType::float32) {
    auto kept = read_.find(name);  // tied weights are asked for twice
    if (kept == read_.end()) {
      const Array array = dataset.read();
      require(is_floating(array.dtype), file_->name(), ": parameter ", name, " has type ", dtype_name(array.dtype),
              ", expected f4");
      kept = read_.emplace(name, array.as(DType::f4)).first;
    }
    view = WeightView(kept->second.values<float>().data(), view.rows, view.columns);
  }
  bound_[name] = view;
  return {view.values()};
}

void ModelFile::require_finite() const {
  Buffer<float> row;
  for (const auto& [name, view] : bound_)
    for (std::int64_t r = 0; r < view.rows; ++r) {
      widen_row(view, r, at_least(row, view.columns));
      require(all_finite(row.data(), view.columns), file_->name(), ": parameter ", name, " holds NaN or infinity");
    }
}

std::optional<std::string> ModelFile::text(const std::string& dataset) const {
  if (!has(dataset)) return std::nullopt;
  const Array array = file_->read(stored(dataset));
  require(array.dtype == DType::u1, file_->name(), ": dataset ", dataset, " has type ", dtype_name(array.dtype),
          ", expected u1");
  return std::string(reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size());
}

std::vector<std::string> ModelFile::labels() const {
  std::vector<std::string> names;
  std::istringstream lines(text("labels").value_or(""));
  for (std::string line; std::getline(lines, line);) names.push_back(line);
  return names;
}

ModelTexts ModelFile::texts() const {
  return {text("tokenizer").value_or(""), text("labels").value_or(""), text("preprocessor").value_or(""),
          text("family").value_or("")};
}

namespace {

/// The source of a dry run.
struct Lister : ParameterSource {
  std::vector<ParameterEntry> entries;
  void add(const std::string& name, const Shape& shape, Initial initial, bool weight) {
    for (ParameterEntry& entry : entries)
      if (entry.name == name) {  // shared by two layers (tied embeddings)
        entry.weight &= weight;
        return;
      }
    const std::int64_t end = entries.empty() ? 0 : entries.back().offset + entries.back().size;
    entries.push_back({name, shape, initial, (end + 15) / 16 * 16, element_count(shape), weight});
  }
  Parameter get(const std::string& name, const Shape& shape, Initial initial) override {
    add(name, shape, initial, false);
    return {};
  }
  Weight get_weight(const std::string& name, const Shape& shape, Initial initial) override {
    add(name, shape, initial, true);
    return {{nullptr, shape.at(0), shape.at(1)}, nullptr, nullptr};
  }
};

}  // namespace

std::vector<ParameterEntry> list_parameters(const std::function<void(ParameterSource&)>& build) {
  Lister lister;
  build(lister);
  return std::move(lister.entries);
}

TapList list_taps(const std::function<void(ParameterSource&)>& build, bool gradients) {
  Lister lister;
  TapList taps;
  lister.list_taps(&taps, gradients);
  build(lister);
  return taps;
}

ParameterArena::ParameterArena(const std::function<void(ParameterSource&)>& build) : entries_(list_parameters(build)) {
  if (!entries_.empty()) size_ = (entries_.back().offset + entries_.back().size + 15) / 16 * 16;
  values_.resize(static_cast<std::size_t>(size_));
  gradients_.resize(static_cast<std::size_t>(size_));
  std::fill(values_.begin(), values_.end(), 0.0f);
  std::fill(gradients_.begin(), gradients_.end(), 0.0f);
}

void ParameterArena::clear_gradients() {
  parallel_for(size_, 65536, [&](std::int64_t begin, std::int64_t end) {
    std::fill(gradients_.begin() + begin, gradients_.begin() + end, 0.0f);
  });
}

Parameter ParameterArena::get(const std::string& name, const Shape& shape, Initial) {
  const Entry& found = entry(name);
  require(found.shape == shape, "parameter ", name, " has shape ", shape_text(found.shape), ", expected ",
          shape_text(shape));
  return {values_.data() + found.offset, gradients_.data() + found.offset, &version_};
}

const ParameterEntry& ParameterArena::entry(const std::string& name) const {
  for (const Entry& entry : entries_)
    if (entry.name == name) return entry;
  throw Error(cat("unknown parameter ", name));
}

std::int64_t ParameterArena::parameters() const {
  std::int64_t total = 0;
  for (const Entry& entry : entries_) total += entry.size;
  return total;
}

void ParameterArena::initialize(std::uint64_t seed) {
  ++version_;
  parallel_for(static_cast<std::int64_t>(entries_.size()), 1, [&](std::int64_t e, std::int64_t last) {
    for (; e < last; ++e) {
      const Entry& entry = entries_[static_cast<std::size_t>(e)];
      float* values = values_.data() + entry.offset;
      Random random(derive_seed(seed, hash_name(entry.name)));
      switch (entry.initial) {
        case Initial::zero:
          std::fill_n(values, entry.size, 0.0f);
          break;
        case Initial::one:
          std::fill_n(values, entry.size, 1.0f);
          break;
        case Initial::xavier: {
          const double bound = std::sqrt(6.0 / static_cast<double>(entry.shape[0] + entry.shape[1]));
          for (std::int64_t i = 0; i < entry.size; ++i)
            values[i] = static_cast<float>((2.0 * random.uniform() - 1.0) * bound);
          break;
        }
        case Initial::embedding: {
          const double deviation = 1.0 / std::sqrt(static_cast<double>(entry.shape[1]));
          for (std::int64_t i = 0; i < entry.size; ++i) values[i] = static_cast<float>(random.normal() * deviation);
          break;
        }
      }
    }
  });
}

void ParameterArena::load(ModelFile& file, const std::function<bool(const Entry&)>& keeps, const std::string& before) {
  for (const Entry& entry : entries_) {
    if (!entry.name.starts_with(before) || (keeps && keeps(entry))) continue;
    const Parameter parameter = file.get(entry.name.substr(before.size()), entry.shape, entry.initial);
    file.explain(parameter.value, entry.size);
    std::copy_n(parameter.value, entry.size, mutable_values() + entry.offset);
  }
}

void ParameterArena::write(Hdf5File& file, const Configuration& configuration, const ModelTexts& texts) const {
  write_model_head(file, configuration, texts);
  write_parameters(file);
}

void ParameterArena::write_parameters(Hdf5File& file, const std::string& before) const {
  for (const Entry& entry : entries_) {
    const float* values = values_.data() + entry.offset;
    require(all_finite(values, entry.size), "parameter ", entry.name,
            " holds NaN or infinity: the model is not written");
    file.write(before + entry.name, DType::f4, entry.shape, values);
  }
}

}  // namespace pipeformer
