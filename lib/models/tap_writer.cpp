#include "models/tap_writer.hpp"

#include <fnmatch.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/one_nan.hpp"
#include "core/suggestion.hpp"
#include "io/address.hpp"
#include "io/output_file.hpp"

namespace pipeformer {
namespace {

bool matches(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

const std::byte* bytes_of(const float* x) {
  return reinterpret_cast<const std::byte*>(x);
}

}  // namespace

std::vector<Tap> matching_taps(const TapList& list, const std::string& pattern, const std::string& what) {
  std::vector<Tap> taps;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < list.size(); ++i) {
    names.push_back(list[i].name);
    if (matches(pattern, list[i].name)) taps.push_back({static_cast<std::int32_t>(i)});
  }
  if (taps.empty())
    throw UsageError(cat(what, "'", pattern, "' is none of the ", list.size(), " intermediates",
                         suggestion(pattern, names), "; --list-taps shows them"));
  return taps;
}

TapWriter::TapWriter(const std::string& address, const std::vector<std::string>& patterns, const TapList& list)
    : list_(list), patterns_(patterns), wanted_(list.size(), false), seen_(list.size(), false), streams_(list.size()) {
  if (patterns_.empty()) patterns_ = {"*"};
  for (const std::string& pattern : patterns_)
    for (const Tap tap : matching_taps(list, pattern, "--tap ")) wanted_[static_cast<std::size_t>(tap.id)] = true;
  const Address parts = split_address(address);
  if (has_hdf5_suffix(parts.file)) {
    file_ = Hdf5File::create(parts.file, parts.group);
    file_->make_group(parts.group);
    root_ = group_ = parts.group;
    return;
  }
  if (const auto count = std::count(wanted_.begin(), wanted_.end(), true); count > 1)
    throw UsageError(cat("--tap-file ", address, ": ", count, " intermediates need an HDF5 file: end the name in .h5"));
  writer_ = RecordWriter::open(address, {});
}

Hdf5Stream& TapWriter::stream(Tap tap) {
  const auto id = static_cast<std::size_t>(tap.id);
  seen_[id] = true;
  const std::string& name = list_[id].name;
  if (!streams_[id])
    streams_[id] =
        std::make_unique<Hdf5Stream>(*file_, below(name), cat(file_->name(), ":", name), list_[id].shape.matrix());
  return *streams_[id];
}

void TapWriter::rows(Tap tap, const TapRows& seen) {
  seen_[static_cast<std::size_t>(tap.id)] = true;
  Buffer<float> copy;
  for (std::int64_t s = 0; s < seen.ragged.sequences(); ++s) {
    const Shape shape{seen.ragged.length(s), seen.width};
    const float* x = with_one_nan(seen.x + seen.ragged.begin(s) * seen.width, element_count(shape), copy);
    file_ ? stream(tap).append(DType::f4, shape, bytes_of(x)) : writer_->write(DType::f4, shape, x);
  }
}

void TapWriter::matrix(Tap tap, const TapMatrix& seen) {
  const TapEntry& entry = list_[static_cast<std::size_t>(tap.id)];
  const Shape shape{entry.shape.heads, seen.queries, seen.keys};
  const bool first = seen.head == 0 && seen.first == 0;
  const bool last = seen.head == entry.shape.heads - 1 && seen.first + seen.rows == seen.queries;
  Buffer<float> copy;
  const std::int64_t size = seen.rows * seen.keys;
  const float* x = with_one_nan(seen.x, size, copy);
  if (file_) {
    Hdf5Stream& to = stream(tap);
    if (first) to.begin(DType::f4, shape);
    to.put(bytes_of(x), size);
    if (last) to.end();
    return;
  }
  seen_[static_cast<std::size_t>(tap.id)] = true;
  if (first) record_.clear();
  record_.insert(record_.end(), x, x + size);
  if (last) writer_->write(DType::f4, shape, record_.data());
}

void TapWriter::left_out(Tap of_layer, const Ragged& ragged, bool gradients) {
  const std::string& name = list_[static_cast<std::size_t>(of_layer.id)].name;
  const std::string layer = (gradients ? "gradient/" : "") + name.substr(0, name.rfind('/') + 1);
  for (std::size_t i = 0; i < list_.size(); ++i) {
    if (!wanted_[i] || !list_[i].name.starts_with(layer)) continue;
    const TapShape& of = list_[i].shape;
    const Shape shape = of.matrix() ? Shape{of.heads, 0, 0} : Shape{0, of.width};
    const Tap tap{static_cast<std::int32_t>(i)};
    const float nothing = 0;
    seen_[i] = true;
    for (std::int64_t s = 0; s < ragged.sequences(); ++s)
      file_ ? stream(tap).append(DType::f4, shape, bytes_of(&nothing)) : writer_->write(DType::f4, shape, &nothing);
  }
}

void TapWriter::ids(Tap embeddings, const std::int32_t* ids, const Ragged& ragged) {
  if (!file_) return;
  auto found = ids_.find(embeddings.id);
  if (found == ids_.end()) {
    const std::string& name = list_[static_cast<std::size_t>(embeddings.id)].name;
    const std::string path = below(name.substr(0, name.rfind('/')) + "/ids");
    found = ids_.emplace(embeddings.id, Hdf5Stream(*file_, path, cat(file_->name(), ":", path))).first;
  }
  for (std::int64_t s = 0; s < ragged.sequences(); ++s)
    found->second.append(DType::i4, {ragged.length(s)}, reinterpret_cast<const std::byte*>(ids + ragged.begin(s)));
}

void TapWriter::finish_group() {
  for (auto& stream : streams_)
    if (stream) stream->finish();
  for (auto& [tap, stream] : ids_) stream.finish();
  streams_ = std::vector<std::unique_ptr<Hdf5Stream>>(list_.size());
  ids_.clear();
}

void TapWriter::begin_group(const std::string& name) {
  if (!file_) throw UsageError("--tap-file: several groups need an HDF5 file: end the name in .h5");
  finish_group();
  group_ = root_.empty() ? name : root_ + "/" + name;
}

void TapWriter::close(std::int64_t sequences) {
  for (const std::string& pattern : patterns_) {
    bool used = false;
    for (std::size_t i = 0; i < list_.size(); ++i) used = used || (seen_[i] && matches(pattern, list_[i].name));
    require(used || sequences == 0, "--tap '", pattern, "': this run did not compute it");
  }
  if (!file_) return writer_->close();
  finish_group();
  file_->close();
}

}  // namespace pipeformer
