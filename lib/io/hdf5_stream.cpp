#include "io/hdf5_stream.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "core/error.hpp"
#include "io/hdf5.hpp"

namespace pipeformer {
namespace {

constexpr std::size_t block_bytes = 4 << 20;

std::string below(const std::string& group, const char* name) {
  return group + "/" + name;
}

bool is_root(const std::string& group) {
  return group.find_first_not_of('/') == std::string::npos;
}

/// A dataset that is one record.
class SingleReader : public RecordReader {
 public:
  SingleReader(std::string name, Hdf5Dataset data) : RecordReader(std::move(name)), data_(std::move(data)) {}
  bool bfloat16() const override { return data_.is_bfloat16(); }

 private:
  bool read(Array& record) override {
    if (count_ > 0) return false;
    record = data_.read();
    return true;
  }
  bool skip(RecordLocation& place) override {
    if (count_ > 0) return false;
    place = {data_.dtype(), data_.shape(), data_.file_offset()};
    return true;
  }
  Hdf5Dataset data_;
};

/// Rows of `data` cut at `offsets`, perhaps given the shapes in `shapes`, read in blocks that hold many small records.
class RaggedReader : public RecordReader {
 public:
  RaggedReader(std::string name, Hdf5Dataset data, const Hdf5Dataset& offsets, const std::optional<Hdf5Dataset>& shapes)
      : RecordReader(std::move(name)), data_(std::move(data)) {
    require(!is_floating(offsets.dtype()) && offsets.dtype() != DType::b1 && offsets.shape().size() == 1, name_,
            ": 'offsets' must be integers of rank 1, not ", dtype_name(offsets.dtype()), " ",
            shape_text(offsets.shape()));
    require(!data_.shape().empty(), name_, ": 'data' of a stream needs at least one axis");
    offsets_ = offsets.read().as(DType::i8);
    const auto cut = offsets_.values<std::int64_t>();
    require(!cut.empty() && cut[0] == 0, name_, ": 'offsets' must begin with 0");
    for (std::size_t i = 1; i < cut.size(); ++i) {
      require(cut[i] >= cut[i - 1], name_, ": offsets[", i, "] = ", cut[i], " is less than offsets[", i - 1,
              "] = ", cut[i - 1]);
    }
    require(cut.back() == data_.rows(), name_, ": the last offset is ", cut.back(), ", but 'data' has ", data_.rows(),
            " rows");
    Shape row(data_.shape().begin() + 1, data_.shape().end());
    row_bytes_ = static_cast<std::size_t>(element_count(row)) * dtype_size(data_.dtype());
    if (shapes) read_shapes(*shapes);
  }
  bool bfloat16() const override { return data_.is_bfloat16(); }

 private:
  void read_shapes(const Hdf5Dataset& shapes) {
    const auto cut = std::as_const(offsets_).values<std::int64_t>();
    const Shape& axes = shapes.shape();
    require(data_.shape().size() == 1 && !is_floating(shapes.dtype()) && shapes.dtype() != DType::b1 &&
                axes.size() == 2 && axes[0] + 1 == static_cast<std::int64_t>(cut.size()) && axes[1] > 0,
            name_, ": 'shapes' must be integers (", cut.size() - 1, ", rank) beside 'data' of rank 1, not ",
            dtype_name(shapes.dtype()), " ", shape_text(axes), " beside ", shape_text(data_.shape()));
    shapes_ = shapes.read().as(DType::i8);
    rank_ = static_cast<std::size_t>(axes[1]);
    for (std::size_t i = 0; i + 1 < cut.size(); ++i) {
      try {
        element_count(shape_of(i));
      } catch (const Error& error) {
        throw Error(cat(name_, ": record ", i, ": ", error.what(), "; 'offsets' gives it ", cut[i + 1] - cut[i]));
      }
      require(element_count(shape_of(i)) == cut[i + 1] - cut[i], name_, ": record ", i, " has ", cut[i + 1] - cut[i],
              " elements, but shape ", shape_text(shape_of(i)));
    }
  }

  Shape shape_of(std::size_t record) const {
    const auto axes = shapes_.values<std::int64_t>().subspan(record * rank_, rank_);
    return {axes.begin(), axes.end()};
  }

  /// The rows of the next record, and its dtype and shape; false at the end.
  bool next_rows(DType& dtype, Shape& shape, std::int64_t& begin, std::int64_t& end) const {
    const auto cut = offsets_.values<std::int64_t>();
    const auto at = static_cast<std::size_t>(count_);
    if (at + 1 >= cut.size()) return false;
    begin = cut[at];
    end = cut[at + 1];
    dtype = data_.dtype();
    shape = data_.shape();
    shape[0] = end - begin;
    if (rank_ > 0) shape = shape_of(at);
    return true;
  }

  bool skip(RecordLocation& place) override {
    std::int64_t begin = 0, end = 0;
    if (!next_rows(place.dtype, place.shape, begin, end)) return false;
    place.offset = file_offset_;
    if (place.offset) *place.offset += static_cast<std::uint64_t>(begin) * row_bytes_;
    return true;
  }

  bool read(Array& record) override {
    std::int64_t begin = 0, end = 0;
    if (!next_rows(record.dtype, record.shape, begin, end)) return false;
    const std::size_t size = static_cast<std::size_t>(end - begin) * row_bytes_;
    try {
      record.bytes.resize(size);
      if (size >= block_bytes) {
        data_.read_rows(begin, end, record.bytes.data());
      } else if (size > 0) {
        if (begin < block_begin_ || end > block_end_) load(begin);
        std::memcpy(record.bytes.data(), block_.data() + static_cast<std::size_t>(begin - block_begin_) * row_bytes_,
                    size);
      }
    } catch (const std::bad_alloc&) {
      throw Error(cat("shape ", shape_text(record.shape), " does not fit in memory"));
    }
    return true;
  }

  void load(std::int64_t begin) {
    const std::int64_t rows = static_cast<std::int64_t>(std::max<std::size_t>(1, block_bytes / row_bytes_));
    block_begin_ = begin;
    block_end_ = std::min(data_.rows(), begin + rows);
    block_.resize(static_cast<std::size_t>(block_end_ - block_begin_) * row_bytes_);
    data_.read_rows(block_begin_, block_end_, block_.data());
  }

  Hdf5Dataset data_;
  Array offsets_, shapes_;
  std::size_t row_bytes_ = 0, rank_ = 0;
  std::optional<std::uint64_t> file_offset_ = data_.file_offset();
  Buffer<std::byte> block_;
  std::int64_t block_begin_ = 0, block_end_ = 0;
};

class Hdf5Writer : public RecordWriter {
 public:
  Hdf5Writer(const std::string& name, const Address& address, const OutputOptions& options)
      : RecordWriter(name, options.dtype),
        group_(address.group),
        file_(Hdf5File::create(address.file, address.group)),
        stream_(file_, group_, name, options.any_shape) {}

  void close() override {
    if (!scalar_) stream_.finish();
    file_.close();
  }

 private:
  void put(DType dtype, const Shape& shape, const std::byte* elements) override {
    if (scalar_ || shape.empty()) {
      require(count() == 0, name(), ": record ", count(),
              ": a record of rank 0 must be alone in HDF5: write the stream as NPY");
      file_.write(is_root(group_) ? "data" : group_, dtype, shape, elements);
      scalar_ = true;
      return;
    }
    stream_.append(dtype, shape, elements);
  }

  std::string group_;
  Hdf5File file_;
  Hdf5Stream stream_;
  bool scalar_ = false;
};

}  // namespace

Hdf5Stream::Hdf5Stream(const Hdf5File& file, std::string group, std::string name, bool any_shape)
    : file_(file), group_(std::move(group)), name_(std::move(name)), any_shape_(any_shape) {}

void Hdf5Stream::append(DType dtype, const Shape& shape, const std::byte* elements) {
  begin(dtype, shape);
  put(elements, any_shape_ ? element_count(shape) : shape[0]);
  end();
}

void Hdf5Stream::begin(DType dtype, const Shape& shape) {
  if (count_ == 0) start(dtype, shape);
  const std::size_t fixed = any_shape_ ? shape.size() : shape.size() - 1;
  const bool fits = dtype == dtype_ && fixed == row_.size() &&
                    (any_shape_ || std::equal(shape.begin() + 1, shape.end(), row_.begin()));
  if (!fits)
    throw Error(cat(name_, ": record ", count_, ": ", dtype_name(dtype), " ", shape_text(shape),
                    " cannot stand in an HDF5 stream of ", dtype_name(dtype_),
                    any_shape_ ? cat(" of rank ", row_.size()) : cat(" rows ", shape_text(row_)),
                    ": write the stream as NPY"));
  if (shapes_) shapes_->append(reinterpret_cast<const std::byte*>(shape.data()), 1);
}

void Hdf5Stream::end() {
  put_offset();
  ++count_;
}

void Hdf5Stream::start(DType dtype, const Shape& shape) {
  dtype_ = dtype;
  row_.assign(shape.begin() + (any_shape_ ? 0 : 1), shape.end());
  data_ = file_.append_to(below(group_, "data"), dtype, any_shape_ ? Shape{} : row_);
  offsets_ = file_.append_to(below(group_, "offsets"), DType::i8, {});
  if (any_shape_)
    shapes_ = file_.append_to(below(group_, "shapes"), DType::i8, {static_cast<std::int64_t>(shape.size())});
  put_offset();
}

void Hdf5Stream::put_offset() {
  const std::int64_t rows = data_->rows();
  offsets_->append(reinterpret_cast<const std::byte*>(&rows), 1);
}

void Hdf5Stream::finish() {
  if (count_ == 0) {
    any_shape_ = false;  // nothing tells the rank
    start(DType::f4, {0});
  }
  data_->finish();
  offsets_->finish();
  if (shapes_) shapes_->finish();
}

std::unique_ptr<RecordReader> open_hdf5_reader(const std::string& name, const Address& address, ByteSource& source) {
  const Hdf5File file = source.regular() && address.file != "-" ? Hdf5File::open(address.file)
                                                                : Hdf5File::open_image(source.read_all(), name);
  return open_hdf5_reader(name, file, address.group);
}

std::unique_ptr<RecordReader> open_hdf5_reader(const std::string& name, const Hdf5File& file,
                                               const std::string& group) {
  if (file.has_dataset(group)) return std::make_unique<SingleReader>(name, file.dataset(group));
  require(file.has_group(group), name, ": no dataset or group '", group, "'",
          file.has_group(group) ? "" : file.nearest(group));
  const std::string data = below(group, "data"), offsets = below(group, "offsets"), shapes = below(group, "shapes");
  if (file.has_dataset(data)) {
    if (file.has_dataset(offsets))
      return std::make_unique<RaggedReader>(
          name, file.dataset(data), file.dataset(offsets),
          file.has_dataset(shapes) ? std::optional(file.dataset(shapes)) : std::nullopt);
    return std::make_unique<SingleReader>(name, file.dataset(data));
  }
  std::string names;
  for (const auto& list : {file.groups(group), file.datasets(group)}) {
    for (const std::string& child : list) names += (names.empty() ? "" : ", ") + child;
  }
  throw Error(cat(name, ": no stream ('data' and 'offsets') here",
                  names.empty() ? ", nothing at all" : ": give FILE:NAME, one of ", names));
}

std::unique_ptr<RecordWriter> open_hdf5_writer(const std::string& name, const Address& address,
                                               const OutputOptions& options) {
  return std::make_unique<Hdf5Writer>(name, address, options);
}

}  // namespace pipeformer
