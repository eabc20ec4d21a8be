#include "models/model_file.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/error.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "io/address.hpp"

namespace pipeformer {

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

ModelFile::ModelFile(const std::string& address_text) {
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
  if (!group_.empty() && !file_->has_group(stored(group_)))
    throw Error(cat(file_->name(), ": the model has no group ", group_, file_->nearest(stored(group_))));
}

Shape ModelFile::shape(const std::string& name) const {
  if (!has(name)) throw Error(cat(file_->name(), ": the model has no parameter ", name, file_->nearest(stored(name))));
  return file_->dataset(stored(name)).shape();
}

WeightView ModelFile::mapped(const Hdf5Dataset& dataset, const std::string& name, const Shape& expected) {
  const Shape& found = dataset.shape();
  require(found == expected, file_->name(), ": parameter ", name, " has shape ", shape_text(found), ", expected ",
          shape_text(expected));
  const WeightType type = dataset.is_bfloat16()          ? WeightType::bfloat16
                          : dataset.dtype() == DType::f2 ? WeightType::float16
                                                         : WeightType::float32;
  const std::int64_t rows = found.empty() ? 1 : found[0], count = element_count(found);
  WeightView view(nullptr, type, rows, rows > 0 ? count / rows : 0);
  if (!is_floating(dataset.dtype()) || dataset.dtype() == DType::f8) return view;
  const auto offset = dataset.is_bfloat16() ? dataset.bfloat16_offset() : dataset.file_offset();
  if (!offset || *offset % static_cast<std::uint64_t>(element_size(type)) != 0) return view;
  if (!mapping_) mapping_ = std::make_unique<MappedFile>(file_->name());
  require(*offset + static_cast<std::uint64_t>(count * element_size(type)) <= mapping_->bytes().size(), file_->name(),
          ": parameter ", name, " lies beyond the end of the file");
  view.data = mapping_->bytes().data() + *offset;
  return view;
}

Weight ModelFile::get_weight(const std::string& name, const Shape& expected, Initial initial) {
  require(expected.size() == 2, "parameter ", name, " is not a weight");
  shape(name);  // for the message when there is none
  const WeightView view = mapped(file_->dataset(stored(name)), name, expected);
  if (!view.data) return ParameterSource::get_weight(name, expected, initial);
  bound_[name] = view;
  return {view};
}

Parameter ModelFile::get(const std::string& name, const Shape& expected, Initial) {
  shape(name);
  const Hdf5Dataset dataset = file_->dataset(stored(name));
  WeightView view = mapped(dataset, name, expected);
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
      widen(view.type, view.columns, view.row(r), at_least(row, view.columns));
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

std::vector<ParameterEntry> list_parameters(const std::function<void(ParameterSource&)>& build) {
  struct Lister : ParameterSource {
    std::vector<ParameterEntry> entries;
    Parameter get(const std::string& name, const Shape& shape, Initial initial) override {
      for (const ParameterEntry& entry : entries)
        if (entry.name == name) return {};  // shared by two layers (tied embeddings)
      const std::int64_t end = entries.empty() ? 0 : entries.back().offset + entries.back().size;
      entries.push_back({name, shape, initial, (end + 15) / 16 * 16, element_count(shape)});
      return {};
    }
  } lister;
  build(lister);
  return std::move(lister.entries);
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
  for (const Entry& entry : entries_)
    if (entry.name == name) {
      require(entry.shape == shape, "parameter ", name, " has shape ", shape_text(entry.shape), ", expected ",
              shape_text(shape));
      return {values_.data() + entry.offset, gradients_.data() + entry.offset, &version_};
    }
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

void ParameterArena::load_entry(ModelFile& file, const Entry& entry) {
  const Parameter parameter = file.get(entry.name, entry.shape, entry.initial);
  file.explain(parameter.value, entry.size);
  std::copy_n(parameter.value, entry.size, mutable_values() + entry.offset);
}

void ParameterArena::load(ModelFile& file) {
  for (const Entry& entry : entries_) load_entry(file, entry);
}

void ParameterArena::load_shared(ModelFile& file) {
  for (const Entry& entry : entries_)
    if (file.has(entry.name)) load_entry(file, entry);
}

void ParameterArena::write(Hdf5File& file, const Configuration& configuration, const ModelTexts& texts) const {
  write_model_head(file, configuration, texts);
  for (const Entry& entry : entries_) {
    const float* values = values_.data() + entry.offset;
    require(all_finite(values, entry.size), "parameter ", entry.name,
            " holds NaN or infinity: the model is not written");
    file.write(entry.name, DType::f4, entry.shape, values);
  }
}

}  // namespace pipeformer
