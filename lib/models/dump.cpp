#include "models/dump.hpp"

#include <fnmatch.h>

#include <algorithm>

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/output_file.hpp"

namespace pipeformer {

void Dump::add_file(const std::string& address, std::vector<std::string> patterns) {
  const Address parts = split_address(address);
  if (!has_hdf5_suffix(parts.file) && parts.file != "-" && !is_special_file(parts.file))
    throw UsageError(cat(address, ": intermediates are written as HDF5: end the name in .h5"));
  file_ = Hdf5File::create(parts.file, parts.group);
  file_->make_group(parts.group);
  group_ = parts.group;
  if (patterns.empty()) patterns = {"*"};
  for (std::string& pattern : patterns) patterns_.push_back({std::move(pattern)});
}

void Dump::add_stream(const std::string& name, const std::string& address, const Batch& layout, const Batch& keys) {
  OutputOptions options;
  options.any_shape = name.ends_with("/weights");
  streams_.push_back({name, &layout, &keys, RecordWriter::open(address, options)});
}

bool Dump::selected(const std::string& name) const {
  bool any = false;
  for (const Pattern& pattern : patterns_) {
    if (fnmatch(pattern.text.c_str(), name.c_str(), 0) == 0) any = pattern.used = true;
  }
  return any;
}

bool Dump::wants(const std::string& name) const {
  if (file_ && std::find(names_.begin(), names_.end(), name) == names_.end()) names_.push_back(name);
  return (file_ && selected(name)) ||
         std::any_of(streams_.begin(), streams_.end(), [&](const Stream& s) { return s.name == name; });
}

Hdf5Stream& Dump::file_stream(const std::string& name, bool any_shape) {
  for (auto& [known, stream] : groups_) {
    if (known == name) return stream;
  }
  groups_.emplace_back(name, Hdf5Stream(*file_, group_ + "/" + name, cat(file_->name(), ":", name), any_shape));
  return groups_.back().second;
}

void Dump::rows(const std::string& name, const float* x, std::int64_t width, const Ragged& ragged) {
  for (const Stream& stream : streams_) {
    if (stream.name == name) write_rows(*stream.writer, *stream.layout, x, width);
  }
  if (!file_ || !selected(name)) return;
  Hdf5Stream& to = file_stream(name, false);
  for (std::int64_t s = 0; s < ragged.sequences(); ++s) {
    to.append(DType::f4, {ragged.length(s), width}, reinterpret_cast<const std::byte*>(x + ragged.begin(s) * width));
  }
}

void Dump::weights(const std::string& name, std::int64_t heads, const float* const* weights, const Ragged& queries,
                   const Ragged& keys) {
  for (const Stream& stream : streams_) {
    if (stream.name == name) write_weights(*stream.writer, *stream.layout, *stream.keys, heads, true, weights);
  }
  if (!file_ || !selected(name)) return;
  Hdf5Stream& to = file_stream(name, true);
  Buffer<float> record;
  for (std::int64_t s = 0; s < queries.sequences(); ++s) {
    const std::int64_t size = queries.length(s) * keys.length(s);
    record.resize(static_cast<std::size_t>(heads * size));
    for (std::int64_t h = 0; h < heads && size > 0; ++h)
      std::copy_n(weights[s * heads + h], size, record.data() + h * size);
    to.append(DType::f4, {heads, queries.length(s), keys.length(s)}, reinterpret_cast<const std::byte*>(record.data()));
  }
}

void Dump::close() {
  for (Stream& stream : streams_) stream.writer->close();
  if (!file_) return;
  for (const Pattern& pattern : patterns_) {
    if (pattern.used || names_.empty()) continue;
    std::string list;
    for (std::size_t i = 0; i < names_.size() && i < 12; ++i) list += (i == 0 ? "" : ", ") + names_[i];
    throw Error(cat("'", pattern.text, "' matches none of the ", names_.size(), " intermediates: ", list,
                    names_.size() > 12 ? ", ..." : ""));
  }
  for (auto& [name, stream] : groups_) stream.finish();
  file_->close();
}

}  // namespace pipeformer
