#include "io/stream.hpp"

#include <algorithm>
#include <new>
#include <span>

#include "io/address.hpp"
#include "io/byte_source.hpp"
#include "io/failure_record.hpp"
#include "io/hdf5.hpp"
#include "io/hdf5_stream.hpp"
#include "io/npy.hpp"
#include "io/npz.hpp"
#include "io/output_file.hpp"
#include "io/relay.hpp"

namespace pipeformer {
namespace {

class NpyReader : public RecordReader {
 public:
  NpyReader(std::string name, std::unique_ptr<ByteSource> source)
      : RecordReader(std::move(name)), source_(std::move(source)) {}

 private:
  bool read(Array& record) override {
    return naming_file([&] { return read_npy(*source_, record); });
  }
  bool skip(RecordLocation& place) override {
    if (!naming_file([&] { return skip_npy(*source_, place.dtype, place.shape, place.offset); })) return false;
    if (!source_->regular()) place.offset.reset();
    return true;
  }
  /// Of a pipe a failure record is news of what fails now; in a file it tells what became of the file.
  template <class Step>
  bool naming_file(const Step& step) {
    if (failure_) throw UpstreamFailure(*failure_);  // nothing of worth can follow
    try {
      return step();
    } catch (const UpstreamFailure& failure) {
      failure_ = failure.what();
      if (!source_->regular()) throw;
      throw Error(cat("the stream ends with a failure: ", failure.what()));
    }
  }
  std::unique_ptr<ByteSource> source_;
  std::optional<std::string> failure_;
};

/// No control characters but those of text, nor the middle of a character at the beginning (the first byte of NPY and
/// of HDF5, for one that is cut short).
bool looks_like_text(std::span<const std::byte> bytes) {
  return !bytes.empty() && (bytes[0] & std::byte{0xc0}) != std::byte{0x80} &&
         std::none_of(bytes.begin(), bytes.end(), [](std::byte byte) {
           const auto c = static_cast<unsigned char>(byte);
           return (c < 0x20 && (c < '\t' || c > '\r')) || c == 0x7f;
         });
}

/// The first bytes of a source, at least 8 unless it is shorter.
std::span<const std::byte> first_bytes(const std::string& name, ByteSource& source) {
  try {
    return source.peek(8);
  } catch (const Error& error) {
    throw Error(cat(name, ": ", error.what()));
  }
}

/// Finds the format of an input from its first bytes.
std::unique_ptr<RecordReader> open_source(const std::string& name, const Address& parts,
                                          std::unique_ptr<ByteSource> source) {
  const auto start = first_bytes(name, *source);
  if (looks_like_hdf5(start)) return open_hdf5_reader(name, parts, *source);
  if (looks_like_npz(start)) return open_npz_reader(name, parts, *source);
  if (!looks_like_npy(start) && !looks_like_failure(start)) {
    require(!looks_like_text(start.first(std::min<std::size_t>(start.size(), 512))), name,
            ": neither NPY nor HDF5: looks like text: tokenize it first");
    require(start.size() < 6, name, ": neither NPY nor HDF5");
  }
  require(parts.group.empty(), name, ": only HDF5 and NPZ files have parts such as '", parts.group, "'");
  return std::make_unique<NpyReader>(name, std::move(source));
}

/// A pipe, of either format.
class PipeReader : public RecordReader {
 public:
  PipeReader(std::string name, Address parts, std::unique_ptr<ByteSource> source)
      : RecordReader(std::move(name)), parts_(std::move(parts)), source_(std::move(source)) {}

  bool next(Array& record) override { return counted(reader().next(record)); }
  bool locate(RecordLocation& place) override { return counted(reader().locate(place)); }

 private:
  RecordReader& reader() {
    if (!reader_) reader_ = open_source(name(), parts_, std::move(source_));
    return *reader_;
  }
  bool counted(bool found) {
    count_ += found;
    return found;
  }
  // The other reader does both.
  bool read(Array&) override { return false; }
  bool skip(RecordLocation&) override { return false; }

  Address parts_;
  std::unique_ptr<ByteSource> source_;
  std::unique_ptr<RecordReader> reader_;
};

class NpyWriter : public RecordWriter {
 public:
  NpyWriter(const std::string& path, std::optional<DType> dtype)
      : RecordWriter(output_name(path), dtype), out_(path, Content::binary) {}
  void flush() override { out_.flush(); }
  void close() override { out_.close(); }

 private:
  void put(DType dtype, const Shape& shape, const std::byte* elements) override {
    write_npy(out_, dtype, shape, elements);
  }
  OutputFile out_;
};

/// A shape such as (1000000000000, 0) costs its file nothing, but whoever counts its sequences all memory there is.
void check_empty_parts(const Shape& shape) {
  constexpr std::int64_t most = 1 << 24;
  const auto zero = std::find(shape.begin(), shape.end(), 0);
  if (zero != shape.end() && element_count(Shape(shape.begin(), zero)) > most)
    throw Error(cat("shape ", shape_text(shape), " has more than ", most, " empty parts"));
}

}  // namespace

std::string output_format(const std::string& address, const OutputOptions& options) {
  const std::string file = split_address(address).file;
  if (options.format) {
    for (const char* known : {"npy", "npz", "h5"})
      if (*options.format == known) return known;
    throw UsageError(cat("unknown format '", *options.format, "' (npy, npz and h5 are known)"));
  }
  if (has_hdf5_suffix(file)) return "h5";
  if (file.ends_with(".npz")) return "npz";
  if (file == "-" || file.ends_with(".npy") || is_special_file(file)) return "npy";
  throw UsageError(cat(file, ": the suffix names no format: end the name in .npy, .npz or .h5, or give --format"));
}

std::unique_ptr<RecordReader> RecordReader::open(const std::string& address) {
  if (relay() == Relay::away) return relaying::reader(address);
  return open(address, std::make_unique<ByteSource>(split_address(address).file));
}

std::unique_ptr<RecordReader> RecordReader::open(const std::string& address, std::unique_ptr<ByteSource> source) {
  const std::string name = input_name(address);
  const Address parts = split_address(address);
  if (source->regular()) return open_source(name, parts, std::move(source));
  return std::make_unique<PipeReader>(name, parts, std::move(source));
}

template <class Record>
bool RecordReader::advance(bool (RecordReader::*step)(Record&), Record& record) {
  try {
    if (!(this->*step)(record)) return false;
    check_empty_parts(record.shape);
  } catch (const UpstreamFailure&) {
    throw;  // it names what failed, which is not this stream
  } catch (const Error& error) {
    throw Error(cat(name_, ": record ", count_, ": ", error.what()));
  } catch (const std::bad_alloc&) {
    throw Error(cat(name_, ": record ", count_, ": out of memory"));
  }
  ++count_;
  return true;
}

bool RecordReader::skip(RecordLocation& place) {
  Array record;
  if (!read(record)) return false;
  place = {record.dtype, record.shape, std::nullopt};
  return true;
}

bool RecordReader::next(Array& record) {
  return advance(&RecordReader::read, record);
}

bool RecordReader::locate(RecordLocation& place) {
  return advance(&RecordReader::skip, place);
}

std::string RecordReader::where() const {
  return cat(name_, ": record ", count_ - 1);
}

void RecordReader::expect_ids(Array& record) const {
  if (is_floating(record.dtype) || record.dtype == DType::b1)
    throw Error(
        cat(where(), ": expected ids (integers), not ", dtype_name(record.dtype), " ", shape_text(record.shape)));
  try {
    if (record.dtype != DType::i4) record = record.as(DType::i4);
  } catch (const Error& error) {
    throw Error(cat(where(), ": ", error.what()));
  }
}

void RecordReader::expect_floats(Array& record) const {
  if (!is_floating(record.dtype))
    throw Error(cat(where(), ": expected floating-point numbers, not ", dtype_name(record.dtype), " ",
                    shape_text(record.shape)));
  if (record.dtype != DType::f4) record = record.as(DType::f4);
}

void RecordReader::expect_like_first(bool ids, std::int64_t width) {
  if (!first_) first_ = {ids, width};
  if (first_ == std::pair(ids, width)) return;  // before messages are made up, once for each record
  require(first_->first == ids, where(), ": ", ids ? "ids" : "vectors", " in a stream that began with ",
          first_->first ? "ids" : "vectors");
  require(first_->second == width, where(), ": width ", width, " does not match width ", first_->second,
          " of the stream's first record");
}

std::unique_ptr<RecordWriter> RecordWriter::open(const std::string& address, const OutputOptions& options) {
  if (relay() == Relay::away) return relaying::writer(output_name(address));
  const Address parts = split_address(address);
  const std::string format = output_format(address, options);
  if (format != "h5" && !parts.group.empty())
    throw UsageError(cat(address, ": only HDF5 output has parts such as '", parts.group, "'"));
  auto writer = format == "h5"    ? open_hdf5_writer(output_name(address), parts, options)
                : format == "npz" ? open_npz_writer(parts.file, options)
                                  : std::make_unique<NpyWriter>(parts.file, options.dtype);
  relaying::number(writer.get());
  return writer;
}

void RecordWriter::write(DType dtype, const Shape& shape, const void* elements) {
  const auto* bytes = static_cast<const std::byte*>(elements);
  if (dtype_ && *dtype_ != dtype && is_floating(dtype)) {
    Array record(dtype, shape);
    record.bytes.assign(bytes, bytes + record.bytes.size());
    try {
      record = record.as(*dtype_);
    } catch (const Error& error) {
      throw Error(cat(name_, ": record ", count_, ": ", error.what()));
    }
    put(record.dtype, record.shape, record.bytes.data());
  } else {
    put(dtype, shape, bytes);
  }
  ++count_;
}

Array read_single(const std::string& address) {
  const auto reader = RecordReader::open(address);
  Array record, second;
  require(reader->next(record), reader->name(), ": holds no record, expected one");
  require(!reader->next(second), reader->name(), ": holds more than one record, expected one");
  return record;
}

bool next_together(std::span<const NextRecord> streams) {
  const RecordReader *ended = nullptr, *longer = nullptr;
  for (const NextRecord& stream : streams) (stream.reader->next(*stream.record) ? longer : ended) = stream.reader;
  if (ended && longer)
    throw Error(cat(ended->name(), " ended after ", ended->count(), " records, ", longer->name(), " has more"));
  return !ended;
}

}  // namespace pipeformer
