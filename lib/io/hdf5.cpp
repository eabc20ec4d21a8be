#include "io/hdf5.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "core/error.hpp"
#include "io/byte_source.hpp"
#include "io/hdf5_library.hpp"
#include "io/hdf5_reading.hpp"
#include "io/output_file.hpp"

namespace pipeformer {

using hdf5::bfloat16_type, hdf5::bool_type, hdf5::dims_of, hdf5::element_type, hdf5::Handle, hdf5::output_access;
using hdf5::prepare_library, hdf5::property_list;

namespace {

constexpr std::size_t chunk_bytes = 1 << 20;
constexpr std::size_t appender_buffer = 4 << 20;

std::vector<std::string> names_of(const std::vector<Hdf5Entry>& entries, Hdf5Entry::Kind kind) {
  std::vector<std::string> names;
  for (const Hdf5Entry& entry : entries)
    if (entry.kind == kind) names.push_back(entry.name);
  return names;
}

/// The value of an attribute that has one, of a kind that is read.
std::optional<Attribute> scalar(const std::string& file, const AttributeValues& found) {
  if (found.values.size() != 1) return std::nullopt;
  if (const auto* large = std::get_if<std::uint64_t>(&found.values.front()))
    throw Error(cat(file, ": attribute '", found.name, "': ", *large, " does not fit i8"));
  return std::visit(
      [](const auto& value) -> std::optional<Attribute> {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::uint64_t>)
          return std::nullopt;
        else
          return Attribute(value);
      },
      found.values.front());
}

}  // namespace

struct Hdf5File::State {
  std::string name;
  std::shared_ptr<const Hdf5Reading> reading;  ///< A file opened for reading; all others are of one that is written.
  Handle file;
  bool image = false;
  std::unique_ptr<PendingFile> pending;  ///< Output to a regular file.
  std::unique_ptr<OutputFile> out;       ///< Output as an image.
  std::string part;                      ///< Output that is this group of a file; "" is the whole file.

  void check(bool good, const std::string& what) const {
    if (!good) hdf5::fail(name, what);
  }
  void make_group(const std::string& path) const {
    const std::string full = absolute(path);
    const Handle plist = property_list(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(plist, false);
    for (std::size_t end = full.find('/', 1); full.size() > 1; end = full.find('/', end + 1)) {
      const std::string part = full.substr(0, end);
      if (H5Lexists(file, part.c_str(), H5P_DEFAULT) <= 0) {
        const Handle group(H5Gcreate2(file, part.c_str(), H5P_DEFAULT, plist, H5P_DEFAULT), H5Gclose);
        check(static_cast<bool>(group), cat("cannot make group '", part, "'"));
      }
      if (end == std::string::npos) break;
    }
  }
  /// Copies the part from the temporary file into another, in place of what is there.
  void add_part(const std::string& to) const {
    const Hdf5Reading before(name, to);
    before.check_room(part);
    before.check_all();  // the library does not look so closely
    State whole;
    whole.name = name;
    whole.file = Handle(H5Fopen(to.c_str(), H5F_ACC_RDWR, output_access()), H5Fclose);
    check(static_cast<bool>(whole.file), "cannot be added to");
    const Handle source(H5Fopen(pending->temporary().c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
    if (H5Lexists(whole.file, part.c_str(), H5P_DEFAULT) > 0)
      check(H5Ldelete(whole.file, part.c_str(), H5P_DEFAULT) >= 0, cat("cannot replace '", part.substr(1), "'"));
    whole.make_group(part.substr(0, part.rfind('/')));
    check(source && H5Ocopy(source, part.c_str(), whole.file, part.c_str(), H5P_DEFAULT, H5P_DEFAULT) >= 0 &&
              H5Fflush(whole.file, H5F_SCOPE_GLOBAL) >= 0 && whole.file.reset() >= 0,
          "cannot write");
  }
  /// Makes a dataset and its parents; chunk (in rows) 0 is contiguous.
  Handle make_dataset(const std::string& path, hid_t type, const Shape& shape, std::int64_t chunk) const {
    const std::string full = absolute(path);
    require(full.size() > 1, name, ": a dataset needs a name");
    require(shape.size() <= H5S_MAX_RANK, name, ": ", full, ": HDF5 holds at most ", H5S_MAX_RANK, " axes, not ",
            shape.size());
    if (const std::size_t slash = full.rfind('/'); slash > 0) make_group(full.substr(0, slash));
    std::vector<hsize_t> dims = dims_of(shape), most = dims;
    const Handle plist = property_list(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(plist, false);
    H5Pset_fill_time(plist, H5D_FILL_TIME_NEVER);
    if (chunk > 0) {
      most[0] = H5S_UNLIMITED;
      std::vector<hsize_t> piece = dims;
      piece[0] = static_cast<hsize_t>(chunk);
      H5Pset_chunk(plist, static_cast<int>(piece.size()), piece.data());
    }
    const Handle space(dims.empty() ? H5Screate(H5S_SCALAR)
                                    : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), most.data()),
                       H5Sclose);
    const Handle access = property_list(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 521, appender_buffer, 1.0);
    Handle set(H5Dcreate2(file, full.c_str(), type, space, H5P_DEFAULT, plist, access), H5Dclose);
    check(static_cast<bool>(set), cat("cannot make dataset '", full, "'"));
    return set;
  }
  void write(const std::string& path, hid_t type, const Shape& shape, const void* elements) const {
    const Handle set = make_dataset(path, type, shape, 0);
    if (element_count(shape) == 0) return;
    check(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements) >= 0, "cannot write");
  }
};

struct Hdf5Appender::State {
  std::shared_ptr<const Hdf5File::State> file;
  std::string path;
  DType dtype = DType::f4;
  Shape row;
  std::size_t row_bytes = 0;
  Handle set;
  std::int64_t written = 0, rows = 0;
  Buffer<std::byte> buffer;  ///< Rows after `written`.

  Shape shape(std::int64_t count) const {
    Shape result{count};
    result.insert(result.end(), row.begin(), row.end());
    return result;
  }
  void put(const std::byte* from, std::int64_t count) {
    if (count == 0) return;
    if (!set) {
      const auto chunk = static_cast<std::int64_t>(std::max<std::size_t>(1, chunk_bytes / row_bytes));
      set = file->make_dataset(path, element_type(dtype), shape(0), chunk);
    }
    const std::vector<hsize_t> total = dims_of(shape(written + count)), part = dims_of(shape(count));
    std::vector<hsize_t> start(part.size(), 0);
    start[0] = static_cast<hsize_t>(written);
    bool good = H5Dset_extent(set, total.data()) >= 0;
    const Handle space(H5Dget_space(set), H5Sclose);
    const Handle memory(H5Screate_simple(static_cast<int>(part.size()), part.data(), nullptr), H5Sclose);
    good = good && H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, part.data(), nullptr) >= 0 &&
           H5Dwrite(set, element_type(dtype), memory, space, H5P_DEFAULT, from) >= 0;
    file->check(good, "cannot write");
    written += count;
  }
};

bool looks_like_hdf5(std::span<const std::byte> bytes) {
  return bytes.size() >= 8 && std::memcmp(bytes.data(), "\x89HDF\r\n\x1a\n", 8) == 0;
}

// Appending

void Hdf5Appender::append(const std::byte* rows, std::int64_t count) {
  prepare_library();
  State& s = *state_;
  s.rows += count;
  if (s.row_bytes == 0) return;
  const std::size_t size = static_cast<std::size_t>(count) * s.row_bytes;
  if (s.buffer.size() + size > appender_buffer) {
    s.put(s.buffer.data(), static_cast<std::int64_t>(s.buffer.size() / s.row_bytes));
    s.buffer.clear();
    if (size > appender_buffer) return s.put(rows, count);
  }
  s.buffer.insert(s.buffer.end(), rows, rows + size);
}

std::int64_t Hdf5Appender::rows() const {
  return state_->rows;
}

void Hdf5Appender::finish() {
  State& s = *state_;
  if (s.set) {
    s.put(s.buffer.data(), static_cast<std::int64_t>(s.buffer.size() / s.row_bytes));
    s.file->check(s.set.reset() >= 0, "cannot write");
  } else {
    s.file->write(s.path, element_type(s.dtype), s.shape(s.rows), s.buffer.data());
  }
  s.buffer.clear();
}

// Files

Hdf5File Hdf5File::open(const std::string& path) {
  if (path == "-" || is_special_file(path)) return open_image(ByteSource(path).read_all(), input_name(path));
  Hdf5File file;
  file.state_ = std::make_shared<State>();
  file.state_->name = path;
  file.state_->reading = std::make_shared<const Hdf5Reading>(path, path);
  return file;
}

Hdf5File Hdf5File::open_image(std::span<const std::byte> bytes, const std::string& name) {
  Hdf5File file;
  file.state_ = std::make_shared<State>();
  file.state_->name = name;
  file.state_->reading = std::make_shared<const Hdf5Reading>(name, bytes);
  return file;
}

Hdf5File Hdf5File::create(const std::string& path, const std::string& group) {
  prepare_library();
  Hdf5File file;
  file.state_ = std::make_shared<State>();
  State& s = *file.state_;
  s.name = output_name(path);
  s.image = path == "-" || is_special_file(path);
  const Handle access = output_access(), creation = property_list(H5P_FILE_CREATE);
  H5Pset_obj_track_times(creation, false);
  std::string target = "image";
  if (s.image) {
    s.out = std::make_unique<OutputFile>(path, Content::binary);
    H5Pset_fapl_core(access, 16 << 20, false);
  } else {
    if (!clean_path(group).empty()) s.part = absolute(group);
    // What cannot work is said before the work; it is looked at again when the part is added.
    if (struct stat old{}; !s.part.empty() && ::stat(path.c_str(), &old) == 0 && old.st_size > 0)
      Hdf5Reading(path, path).check_room(s.part);
    s.pending = std::make_unique<PendingFile>(path, group);
    target = s.pending->temporary();
  }
  s.file = Handle(H5Fcreate(target.c_str(), H5F_ACC_TRUNC, creation, access), H5Fclose);
  s.check(static_cast<bool>(s.file), "cannot create");
  return file;
}

const std::string& Hdf5File::name() const {
  return state_->name;
}

void Hdf5File::close() {
  State& s = *state_;
  if (!s.pending && !s.out) return;
  s.check(H5Fflush(s.file, H5F_SCOPE_GLOBAL) >= 0, "cannot write");
  if (s.out) {
    const ssize_t size = H5Fget_file_image(s.file, nullptr, 0);
    s.check(size > 0, "cannot make an image");
    std::vector<std::byte> image(static_cast<std::size_t>(size));
    s.check(H5Fget_file_image(s.file, image.data(), image.size()) == size, "cannot make an image");
    s.file.reset();
    s.out->write(image);
    s.out->close();
    s.out.reset();
  } else {
    s.check(s.file.reset() >= 0, "cannot write");
    if (s.part.empty()) {
      s.pending->commit();
    } else {
      s.pending->commit_part([&](const std::string& copy) { s.add_part(copy); });
    }
    s.pending.reset();
  }
}

std::span<const std::byte> Hdf5File::mapped() const {
  if (!state_->reading->mapped()) return {};
  return state_->reading->bytes();
}

int Hdf5File::descriptor() const {
  return state_->reading->descriptor();
}

bool Hdf5File::has_group(const std::string& path) const {
  return state_->reading->is(path, hdf5::ObjectKind::group);
}
bool Hdf5File::has_dataset(const std::string& path) const {
  return state_->reading->is(path, hdf5::ObjectKind::dataset);
}
std::vector<Hdf5Entry> Hdf5File::entries(const std::string& path) const {
  return state_->reading->entries(path);
}
std::vector<std::string> Hdf5File::groups(const std::string& path) const {
  return names_of(entries(path), Hdf5Entry::Kind::group);
}
std::vector<std::string> Hdf5File::datasets(const std::string& path) const {
  return names_of(entries(path), Hdf5Entry::Kind::dataset);
}

std::string Hdf5File::nearest(const std::string& path) const {
  return state_->reading->nearest(path);
}

std::uint64_t Hdf5File::object_address(const std::string& path) const {
  return state_->reading->object(path);
}

Hdf5Dataset Hdf5File::dataset(const std::string& path) const {
  return {state_->reading, state_->name, path};
}

void Hdf5File::write(const std::string& path, const Array& array) {
  write(path, array.dtype, array.shape, array.bytes.data());
}
void Hdf5File::write(const std::string& path, DType type, const Shape& shape, const void* elements) {
  state_->write(path, element_type(type), shape, elements);
}
void Hdf5File::write_bfloat16(const std::string& path, const Shape& shape, const void* elements) {
  state_->write(path, bfloat16_type(), shape, elements);
}
void Hdf5File::write_int8(const std::string& path, const Shape& shape, const void* elements) {
  state_->write(path, H5T_STD_I8LE, shape, elements);
}
void Hdf5File::make_group(const std::string& path) {
  state_->make_group(path);
}

Hdf5Appender Hdf5File::append_to(const std::string& path, DType type, const Shape& row) {
  Hdf5Appender appender;
  appender.state_ = std::make_shared<Hdf5Appender::State>();
  auto& s = *appender.state_;
  s.file = state_;
  s.path = path;
  s.dtype = type;
  s.row = row;
  s.row_bytes = static_cast<std::size_t>(element_count(row)) * dtype_size(type);
  return appender;
}

// Attributes

void Hdf5File::set_attribute(const std::string& name, const Attribute& value, const std::string& path) {
  const Handle object(H5Oopen(state_->file, absolute(path).c_str(), H5P_DEFAULT), H5Oclose);
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  state_->check(static_cast<bool>(object), cat("no object '", path, "'"));
  if (H5Aexists(object, name.c_str()) > 0) H5Adelete(object, name.c_str());
  const auto put = [&](hid_t type, const void* data) {
    const Handle attribute(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    state_->check(attribute && H5Awrite(attribute, type, data) >= 0, cat("cannot write attribute '", name, "'"));
  };
  if (const auto* flag = std::get_if<bool>(&value)) {
    const std::int8_t byte = *flag ? 1 : 0;
    put(bool_type(), &byte);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    put(H5T_STD_I64LE, integer);
  } else if (const auto* number = std::get_if<double>(&value)) {
    put(H5T_IEEE_F64LE, number);
  } else {
    const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    // Of fixed length: variable ones lie in the global heap, where the library trusts every number of the file.
    const std::string& text = std::get<std::string>(value);
    H5Tset_size(type, std::max<std::size_t>(1, text.size()));
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    put(type, text.empty() ? "" : text.data());
  }
}

std::optional<Attribute> Hdf5File::attribute(const std::string& name, const std::string& path) const {
  const auto all = state_->reading->attributes(path);
  const auto found = std::lower_bound(all->begin(), all->end(), name,
                                      [](const AttributeValues& a, const std::string& b) { return a.name < b; });
  if (found == all->end() || found->name != name) return std::nullopt;
  if (!found->problem.empty())
    throw Error(cat(state_->name, ": attribute '", name, "' cannot be read: ", found->problem));
  return scalar(state_->name, *found);
}

std::map<std::string, Attribute> Hdf5File::attributes(const std::string& path) const {
  std::map<std::string, Attribute> result;
  for (const AttributeValues& found : attribute_values(path)) {
    require(found.problem.empty(), state_->name, ": attribute '", found.name, "' cannot be read: ", found.problem);
    if (auto value = scalar(state_->name, found)) result.emplace(found.name, *std::move(value));
  }
  return result;
}

std::vector<AttributeValues> Hdf5File::attribute_values(const std::string& path) const {
  return *state_->reading->attributes(path);
}

}  // namespace pipeformer
