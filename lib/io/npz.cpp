#include "io/npz.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "core/error.hpp"
#include "core/shortened.hpp"
#include "core/suggestion.hpp"
#include "io/hdf5.hpp"
#include "io/npy.hpp"
#include "io/output_file.hpp"
#include "io/zip_writer.hpp"

namespace pipeformer {
namespace {

constexpr std::string_view kSuffix = ".npy";

class NpzReader : public RecordReader {
 public:
  NpzReader(const std::string& name, NpzFile file) : RecordReader(name), file_(std::move(file)) {}

 private:
  bool read(Array& record) override {
    if (at_ == file_.names().size()) return false;
    record = file_.read(at_++);
    return true;
  }
  NpzFile file_;
  std::size_t at_ = 0;
};

/// An archive on its way out.
class NpzOutput {
 public:
  NpzOutput(const std::string& path, const OutputOptions& options)
      : out_(path, Content::binary), zip_(out_, options.deflate) {}
  void add(const std::string& name, DType dtype, const Shape& shape, const std::byte* elements) {
    const std::string header = npy_header(dtype, shape);
    const std::size_t size = static_cast<std::size_t>(element_count(shape)) * dtype_size(dtype);
    zip_.add(name + std::string(kSuffix), {std::as_bytes(std::span(header)), {elements, size}});
  }
  void add(const std::string& name, const Array& array) { add(name, array.dtype, array.shape, array.bytes.data()); }
  void close() {
    zip_.finish();
    out_.close();
  }

 private:
  OutputFile out_;
  ZipWriter zip_;
};

class NpzWriter : public RecordWriter {
 public:
  NpzWriter(const std::string& path, const OutputOptions& options)
      : RecordWriter(output_name(path), options.dtype), out_(path, options) {}
  void close() override { out_.close(); }

 private:
  void put(DType dtype, const Shape& shape, const std::byte* elements) override {
    out_.add(cat("arr_", count()), dtype, shape, elements);
  }
  NpzOutput out_;
};

/// The parts of a path are names, none of them empty. `where` begins the message.
void check_path(const std::string& where, const std::string& name) {
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    require(!part.empty() && part != "." && part != ".." && part.find('\0') == std::string::npos, where, ": array '",
            shortened(name), "': the name cannot be a path in HDF5");
    begin = end + 1;
  }
}

Array as_stored(Array array, const OutputOptions& options) {
  return options.dtype && is_floating(array.dtype) ? array.as(*options.dtype) : array;
}

}  // namespace

bool looks_like_npz(std::span<const std::byte> bytes) {
  return looks_like_zip(bytes) || (bytes.size() >= 4 && std::memcmp(bytes.data(), "PK\5\6", 4) == 0);
}

NpzFile::NpzFile(std::string name, const Address& address, ByteSource& source) : name_(std::move(name)) {
  if (source.regular() && address.file != "-") {
    mapped_ = std::make_unique<MappedFile>(address.file);
    bytes_ = mapped_->bytes();
  } else {
    image_ = source.read_all();
    bytes_ = image_;
  }
  try {
    entries_ = read_zip_directory(bytes_, ZipMethods::stored_and_deflated);
  } catch (const Error& error) {
    throw Error(cat(name_, ": ", error.what()));
  }
  for (const ZipEntry& entry : entries_)
    names_.push_back(entry.name.ends_with(kSuffix) ? entry.name.substr(0, entry.name.size() - kSuffix.size())
                                                   : entry.name);
  if (address.group.empty()) return;
  const auto found = std::find(names_.begin(), names_.end(), address.group);
  require(found != names_.end(), name_, ": no array '", address.group, "'", suggestion(address.group, names_));
  entries_ = {entries_[static_cast<std::size_t>(found - names_.begin())]};
  names_ = {address.group};
}

void NpzFile::keep(std::size_t first, std::size_t count) {
  first = std::min(first, names_.size());
  const std::size_t last = first + std::min(count, names_.size() - first);
  const auto cut = [&](auto& list) {
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(last), list.end());
    list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(first));
  };
  cut(entries_);
  cut(names_);
}

Array NpzFile::read(std::size_t index) const {
  const ZipEntry& entry = entries_[index];
  Array array;
  try {
    ByteSource bytes(read_zip_entry(bytes_, entry));
    require(read_npy(bytes, array), "it is empty");
    std::byte more{};
    require(bytes.read(&more, 1) == 0, "it has more bytes than its array");
  } catch (const std::bad_alloc&) {
    throw Error(cat("entry '", shortened(entry.name), "' of the archive: out of memory"));
  } catch (const Error& error) {
    throw Error(cat("entry '", shortened(entry.name), "' of the archive: ", error.what()));
  }
  return array;
}

Array NpzFile::named(std::size_t index) const {
  try {
    return read(index);
  } catch (const Error& error) {
    throw Error(cat(name_, ": ", error.what()));
  }
}

std::unique_ptr<RecordReader> open_npz_reader(const std::string& name, const Address& address, ByteSource& source) {
  return std::make_unique<NpzReader>(name, NpzFile(name, address, source));
}

std::unique_ptr<RecordWriter> open_npz_writer(const std::string& path, const OutputOptions& options) {
  return std::make_unique<NpzWriter>(path, options);
}

void npz_to_hdf5(const NpzFile& from, const std::string& address, const OutputOptions& options) {
  const Address parts = split_address(address);
  const std::string group = parts.group.empty() ? "" : parts.group + "/";
  Hdf5File to = Hdf5File::create(parts.file, parts.group);
  for (std::size_t i = 0; i < from.names().size(); ++i) {
    check_path(from.name(), from.names()[i]);
    to.write(group + from.names()[i], as_stored(from.named(i), options));
  }
  to.close();
}

void npz_to_npz(const NpzFile& from, const std::string& path, const OutputOptions& options) {
  NpzOutput out(path, options);
  for (std::size_t i = 0; i < from.names().size(); ++i) out.add(from.names()[i], as_stored(from.named(i), options));
  out.close();
}

void hdf5_to_npz(const std::string& file, const std::vector<std::string>& datasets, const std::string& path,
                 const OutputOptions& options) {
  const Hdf5File from = Hdf5File::open(file);
  NpzOutput out(path, options);
  for (const std::string& name : datasets) out.add(name, as_stored(from.read(name), options));
  out.close();
}

}  // namespace pipeformer
