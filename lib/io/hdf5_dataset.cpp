#include <algorithm>
#include <new>
#include <utility>

#include "core/error.hpp"
#include "io/hdf5.hpp"
#include "io/hdf5_chunks.hpp"
#include "io/hdf5_reading.hpp"

namespace pipeformer {
namespace {

constexpr std::size_t largest_sparse = 16 << 20;  // bytes that a dataset may claim however little of it is stored
constexpr double most_deflated = 1032;            // deflate makes at most so many bytes of one

}  // namespace

struct Hdf5Dataset::State {
  std::shared_ptr<const Hdf5Reading> reading;
  std::string name, path;  ///< Of the file; in it.
  std::unique_ptr<const hdf5::Elements> elements;
  DType dtype = DType::f4;
  Shape shape;

  const hdf5::Datatype& type() const { return elements->messages().type; }
  /// Where the elements lie in the file one after another; nothing otherwise.
  std::optional<std::uint64_t> offset() const;
  /// Throws Error when the shape claims more than the file holds of it: it must not become an allocation.
  void check_size() const;
};

Hdf5Dataset::Hdf5Dataset(std::shared_ptr<const Hdf5Reading> reading, std::string name, const std::string& path) {
  auto s = std::make_shared<State>();
  s->path = clean_path(path);
  require(reading->is(path, hdf5::ObjectKind::dataset), name, ": no dataset '", s->path, "'");
  try {
    hdf5::DatasetMessages messages = reading->objects().dataset(reading->object(path));
    const auto dtype = messages.type.dtype();
    require(dtype.has_value(), "it holds ", messages.type.name(), ", which are not supported");
    require(!messages.space.null, "it has no shape");
    s->dtype = *dtype;
    for (const std::uint64_t axis : messages.space.dims) {
      require(std::in_range<std::int64_t>(axis), "it has an axis of ", axis);
      s->shape.push_back(static_cast<std::int64_t>(axis));
    }
    s->elements = std::make_unique<const hdf5::Elements>(reading->objects().extent(), std::move(messages));
    s->reading = std::move(reading);
    s->check_size();
  } catch (const Error& error) {
    throw Error(cat(name, ": dataset '", s->path, "': ", error.what()));
  }
  s->name = std::move(name);
  state_ = std::move(s);
}

DType Hdf5Dataset::dtype() const {
  return state_->dtype;
}
const Shape& Hdf5Dataset::shape() const {
  return state_->shape;
}
std::int64_t Hdf5Dataset::rows() const {
  return state_->shape.empty() ? 1 : state_->shape[0];
}

std::optional<std::uint64_t> Hdf5Dataset::State::offset() const {
  const hdf5::Bytes plain = elements->plain();
  if (!reading->mapped() || elements->messages().layout.kind != hdf5::Layout::Kind::contiguous || plain.empty())
    return std::nullopt;
  return static_cast<std::uint64_t>(plain.data() - reading->bytes().data());
}

void Hdf5Dataset::State::check_size() const {
  double size = static_cast<double>(dtype_size(dtype));
  for (const std::int64_t axis : shape) size *= static_cast<double>(axis);
  // What is said to be stored may be a lie as well.
  const auto stored = static_cast<double>(std::min<std::uint64_t>(elements->stored(), reading->bytes().size()));
  // Narrow elements are widened on reading: to i4 and i8, bfloat16 to f4.
  const double widening = static_cast<double>(dtype_size(dtype)) / static_cast<double>(type().size);
  const double most = stored * (elements->messages().filters.empty() ? 1.0 : most_deflated) * widening;
  require(size <= most + static_cast<double>(largest_sparse), "shape ", shape_text(shape), " (", size,
          " bytes) is more than the file holds of it (", stored, " bytes stored)");
  element_count(shape);
}

std::optional<std::uint64_t> Hdf5Dataset::file_offset() const {
  return state_->type().as_in_memory() ? state_->offset() : std::nullopt;
}
std::optional<std::uint64_t> Hdf5Dataset::bfloat16_offset() const {
  return is_bfloat16() ? state_->offset() : std::nullopt;
}
bool Hdf5Dataset::is_bfloat16() const {
  return state_->type().is_bfloat16();
}
std::optional<std::uint64_t> Hdf5Dataset::int8_offset() const {
  return is_int8() ? state_->offset() : std::nullopt;
}
bool Hdf5Dataset::is_int8() const {
  return state_->type().is_int8();
}

Array Hdf5Dataset::read() const {
  try {
    Array array(state_->dtype, state_->shape);
    read_rows(0, rows(), array.bytes.data());
    return array;
  } catch (const std::bad_alloc&) {
    throw Error(
        cat(state_->name, ": '", state_->path, "' of shape ", shape_text(state_->shape), " does not fit in memory"));
  }
}

void Hdf5Dataset::read_rows(std::int64_t begin, std::int64_t end, std::byte* to) const {
  const State& s = *state_;
  require(0 <= begin && begin <= end && end <= rows(), s.name, ": '", s.path, "': rows ", begin, " to ", end, " of ",
          rows());
  Shape part = s.shape;
  if (!part.empty()) part[0] = end - begin;
  const std::int64_t count = begin == end ? 0 : element_count(part);
  if (count == 0) return;
  const auto first = static_cast<std::uint64_t>(begin), last = static_cast<std::uint64_t>(end);
  const hdf5::Datatype& type = s.type();
  try {
    if (const hdf5::Bytes plain = s.elements->plain(); !plain.empty()) {
      const std::size_t row = static_cast<std::size_t>(count / (end - begin)) * type.size;
      hdf5::convert_elements(type, plain.data() + first * row, count, to);
    } else if (type.as_in_memory() && s.dtype != DType::b1) {
      s.elements->read(first, last, to);
    } else {
      Buffer<std::byte> raw(static_cast<std::size_t>(count) * type.size);
      s.elements->read(first, last, raw.data());
      hdf5::convert_elements(type, raw.data(), count, to);
    }
  } catch (const Error& error) {
    throw Error(cat(s.name, ": '", s.path, "': ", error.what()));
  }
}

}  // namespace pipeformer
