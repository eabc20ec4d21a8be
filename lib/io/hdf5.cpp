#include "io/hdf5.hpp"

#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "core/error.hpp"
#include "core/half.hpp"
#include "io/byte_source.hpp"
#include "io/hdf5_strings.hpp"
#include "io/output_file.hpp"

namespace pipeformer {
namespace {

constexpr std::size_t chunk_bytes = 1 << 20;
constexpr std::size_t appender_buffer = 4 << 20;
constexpr std::size_t chunk_cache = 64 << 20;  // other people's chunks may be large, and are read in several pieces
constexpr hsize_t alignment = 64;
constexpr std::size_t largest_sparse = 16 << 20;  // bytes that a dataset may claim however little of it is stored
constexpr double most_deflated = 1032;            // deflate makes at most so many bytes of one

/// The innermost line of HDF5's error stack: the reason ("file signature not found"), or the system's own message.
std::string hdf5_reason() {
  std::string reason;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
        auto& text = *static_cast<std::string*>(out);
        if (text.empty() && entry->desc != nullptr) text = entry->desc;
        return 0;
      },
      &reason);
  const std::string_view mark = "error message = '";
  if (const std::size_t begin = reason.find(mark); begin != std::string::npos) {
    const std::size_t text = begin + mark.size();
    reason = reason.substr(text, reason.find('\'', text) - text);
  }
  return reason;
}

[[noreturn]] void fail(const std::string& name, const std::string& what) {
  const std::string reason = hdf5_reason();
  throw Error(cat(name, ": ", what, reason.empty() ? "" : ": ", reason));
}

/// Owner of one HDF5 identifier.
class Handle {
 public:
  Handle() = default;
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { reset(); }
  herr_t reset() {
    const hid_t id = std::exchange(id_, H5I_INVALID_HID);
    return id >= 0 ? close_(id) : 0;
  }
  explicit operator bool() const { return id_ >= 0; }
  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor)

 private:
  hid_t id_ = H5I_INVALID_HID;
  herr_t (*close_)(hid_t) = nullptr;
};

Handle property_list(hid_t kind) {
  return {H5Pcreate(kind), H5Pclose};
}

/// h5py's boolean: an 8-bit enumeration of FALSE and TRUE.
hid_t bool_type() {
  static const hid_t type = [] {
    const hid_t t = H5Tenum_create(H5T_STD_I8LE);
    std::int8_t value = 0;
    H5Tenum_insert(t, "FALSE", &value);
    value = 1;
    H5Tenum_insert(t, "TRUE", &value);
    return t;
  }();
  return type;
}

/// IEEE 754 binary16: sign 1, exponent 5 (bias 15), fraction 10.
hid_t half_type(bool big_endian = false) {
  static const auto make = [](hid_t base) {
    const hid_t t = H5Tcopy(base);
    H5Tset_fields(t, 15, 10, 5, 0, 10);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, 15);
    return t;
  };
  static const hid_t little = make(H5T_IEEE_F32LE), big = make(H5T_IEEE_F32BE);
  return big_endian ? big : little;
}

/// bfloat16, the upper half of a binary32: sign 1, exponent 8 (bias 127), fraction 7.
hid_t bfloat16_type() {
  static const hid_t type = [] {
    const hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(t, 15, 7, 8, 0, 7);
    H5Tset_size(t, 2);
    return t;
  }();
  return type;
}

/// Widens `count` bfloat16 elements that fill the upper half of the memory of as many floats.
void widen_bfloat16(std::byte* memory, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, memory + 2 * (count + i), sizeof bits);
    const float value = float_from_bfloat16(bits);
    std::memcpy(memory + 4 * i, &value, sizeof value);
  }
}

/// The type of an element both in memory and in the files we write.
hid_t hdf5_type(DType type) {
  switch (type) {
    case DType::f2:
      return half_type();
    case DType::f4:
      return H5T_IEEE_F32LE;
    case DType::f8:
      return H5T_IEEE_F64LE;
    case DType::i4:
      return H5T_STD_I32LE;
    case DType::i8:
      return H5T_STD_I64LE;
    case DType::u1:
      return H5T_STD_U8LE;
    case DType::b1:
      return bool_type();
  }
  throw Error("unknown dtype");
}

/// The dtype that a file's type is read as, or nothing.
std::optional<DType> dtype_of(hid_t type) {
  const std::size_t size = H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_FLOAT:
      if (H5Tequal(type, half_type()) > 0 || H5Tequal(type, half_type(true)) > 0) return DType::f2;
      if (size <= 4) return DType::f4;
      return size == 8 ? std::optional(DType::f8) : std::nullopt;
    case H5T_INTEGER: {
      const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
      if (size == 1 && !is_signed) return DType::u1;
      if (size < 4 || (size == 4 && is_signed)) return DType::i4;
      return size <= 8 ? std::optional(DType::i8) : std::nullopt;
    }
    case H5T_ENUM: {
      long long values[2] = {-1, -1};
      const Handle base(H5Tget_super(type), H5Tclose);
      if (H5Tget_nmembers(type) != 2 || size > 8) return std::nullopt;
      for (unsigned i = 0; i < 2; ++i) {
        char* name = H5Tget_member_name(type, i);
        const std::string text = name == nullptr ? "" : name;
        H5free_memory(name);
        unsigned char value[8] = {};
        if (H5Tget_member_value(type, i, value) < 0 ||
            H5Tconvert(base, H5T_NATIVE_LLONG, 1, value, nullptr, H5P_DEFAULT) < 0)
          return std::nullopt;
        if (text == "FALSE") std::memcpy(&values[0], value, 8);
        if (text == "TRUE") std::memcpy(&values[1], value, 8);
      }
      return values[0] == 0 && values[1] == 1 ? std::optional(DType::b1) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

const char* class_name(hid_t type) {
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      return "integers of this size";
    case H5T_FLOAT:
      return "floats of this size";
    case H5T_STRING:
      return "strings";
    case H5T_COMPOUND:
      return "compounds (or complex numbers)";
    case H5T_ENUM:
      return "an enumeration that is not boolean";
    case H5T_VLEN:
      return "variable-length sequences";
    case H5T_REFERENCE:
      return "references";
    default:
      return "elements of an unknown class";
  }
}

std::vector<hsize_t> dims_of(const Shape& shape) {
  return {shape.begin(), shape.end()};
}

/// "group/name" without slashes at the ends; the root is "".
std::string clean_path(const std::string& path) {
  const std::size_t begin = path.find_first_not_of('/');
  if (begin == std::string::npos) return "";
  return path.substr(begin, path.find_last_not_of('/') + 1 - begin);
}

std::string absolute(const std::string& path) {
  return "/" + clean_path(path);
}

#ifndef H5_HAVE_THREADSAFE
#error "A tool reads one file and writes another on several threads: HDF5 must be built thread-safe, as Debian's is"
#endif

/// No error stacks on standard error, which HDF5 decides for each thread; and no clean-up at exit: we close what we
/// open, and HDF5 1.10's own clean-up crashes when a file could not be written (a full disk). A file comes from
/// strangers: without the class of external links no other file is followed, and no filter is loaded for it.
void prepare_library() {
  static const herr_t once = H5dont_atexit() | H5open() | H5Lunregister(H5L_TYPE_EXTERNAL) | H5PLset_loading_state(0);
  thread_local const herr_t quiet = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  (void)once, (void)quiet;
}

/// Properties of files that are written: a flush and a close say whether everything arrived.
Handle output_access() {
  Handle access = property_list(H5P_FILE_ACCESS);
  H5Pset_alignment(access, 1, alignment);
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  return access;
}

}  // namespace

struct Hdf5File::State {
  std::string name;
  Handle file;
  bool image = false;
  std::unique_ptr<PendingFile> pending;  ///< Output to a regular file.
  std::unique_ptr<OutputFile> out;       ///< Output as an image.
  std::string part;                      ///< Output that is this group of a file; "" is the whole file.

  void check(bool good, const std::string& what) const {
    if (!good) fail(name, what);
  }
  /// Throws Error when a link on the way leads out of the file.
  void refuse_foreign_links(const std::string& full) const {
    for (std::size_t end = full.find('/', 1); full.size() > 1; end = full.find('/', end + 1)) {
      const std::string part = full.substr(0, end);
      H5L_info_t link;
      if (H5Lget_info(file, part.c_str(), &link, H5P_DEFAULT) < 0) return;
      require(link.type == H5L_TYPE_HARD || link.type == H5L_TYPE_SOFT, name, ": '", part.substr(1),
              "' is a link to another file or of an unknown kind, which is not followed");
      if (end == std::string::npos) return;
    }
  }
  /// Bytes of the file itself, below the library. Throws Error for a range that does not lie in it.
  std::vector<std::uint8_t> bytes(std::uint64_t offset, std::uint64_t size) const {
    const Handle creation(H5Fget_create_plist(file), H5Pclose);
    hsize_t base = 0, total = 0;
    void* handle = nullptr;
    check(H5Pget_userblock(creation, &base) >= 0 && H5Fget_filesize(file, &total) >= 0 &&
              H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) >= 0,
          "cannot read");
    require(base <= total && offset <= total - base && size <= total - base - offset, "it lies beyond the end");
    std::vector<std::uint8_t> result(size);
    if (image) {
      std::memcpy(result.data(), *static_cast<const std::byte**>(handle) + base + offset, size);
    } else {
      require(::pread(*static_cast<int*>(handle), result.data(), size, static_cast<off_t>(base + offset)) ==
                  static_cast<ssize_t>(size),
              "it cannot be read");
    }
    return result;
  }
  std::string variable_length(hid_t object, const std::string& attribute) const {
    try {
      const Handle creation(H5Fget_create_plist(file), H5Pclose);
      std::size_t address_size = 0, length_size = 0;
      H5Pget_sizes(creation, &address_size, &length_size);
      require(address_size == 8 && length_size == 8, "its addresses are not 8 bytes long");
      H5O_info_t info;
      check(H5Oget_info2(object, &info, H5O_INFO_BASIC) >= 0, "no address");
      return variable_length_attribute([&](std::uint64_t at, std::uint64_t size) { return bytes(at, size); }, info.addr,
                                       attribute);
    } catch (const Error& error) {
      throw Error(cat(name, ": attribute '", attribute, "' cannot be read: ", error.what()));
    }
  }
  Handle open_object(const std::string& path) const {
    const std::string full = absolute(path);
    refuse_foreign_links(full);
    return {H5Oopen(file, full.c_str(), H5P_DEFAULT), H5Oclose};
  }
  bool is(const std::string& path, H5I_type_t type) const {
    const Handle object = open_object(path);
    return object && H5Iget_type(object) == type;
  }
  std::vector<std::string> children(const std::string& path, H5I_type_t type) const {
    const std::string full = absolute(path);
    const Handle group(H5Gopen2(file, full.c_str(), H5P_DEFAULT), H5Gclose);
    check(static_cast<bool>(group), cat("no group '", full, "'"));
    std::vector<std::string> names;
    const herr_t done = H5Literate(
        group, H5_INDEX_NAME, H5_ITER_INC, nullptr,
        [](hid_t, const char* child, const H5L_info_t*, void* out) -> herr_t {
          static_cast<std::vector<std::string>*>(out)->emplace_back(child);
          return 0;
        },
        &names);
    check(done >= 0, cat("cannot list '", full, "'"));
    std::erase_if(names, [&](const std::string& child) {
      H5L_info_t link;
      const bool inside = H5Lget_info(group, child.c_str(), &link, H5P_DEFAULT) >= 0 &&
                          (link.type == H5L_TYPE_HARD || link.type == H5L_TYPE_SOFT);
      return !inside || !is(full + "/" + child, type);
    });
    std::sort(names.begin(), names.end());
    return names;
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
  /// Throws Error unless the groups above `path` are groups of the file itself, or are not there yet: a link could lead
  /// to another file.
  void check_room(const std::string& path) const {
    for (std::size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
      const std::string above = path.substr(0, end);
      if (H5Lexists(file, above.c_str(), H5P_DEFAULT) <= 0) return;
      H5L_info_t link{};
      const bool known = H5Lget_info(file, above.c_str(), &link, H5P_DEFAULT) >= 0;
      require(known && link.type == H5L_TYPE_HARD && is(above, H5I_GROUP), name, ": cannot add '", path.substr(1),
              "': '", above.substr(1), "' is no group");
    }
  }
  /// Copies the part from the temporary file into another, in place of what is there.
  void add_part(const std::string& to) const {
    State whole;
    whole.name = name;
    whole.file = Handle(H5Fopen(to.c_str(), H5F_ACC_RDWR, output_access()), H5Fclose);
    check(static_cast<bool>(whole.file), "cannot be added to");
    whole.check_room(part);
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

struct Hdf5Dataset::State {
  std::shared_ptr<const Hdf5File::State> file;
  std::string path;
  Handle set;
  DType dtype = DType::f4;
  bool unsigned_long = false;  ///< Read as i8 after a look at the range.
  bool bfloat16 = false;       ///< Read as f4.
  Shape shape;

  /// Of elements that the file holds as this type, one after another; nothing otherwise.
  std::optional<std::uint64_t> offset_of(hid_t as) const;
  /// Throws Error for elements that lie in another file, and for filters that few builds have.
  void check_storage() const;
  /// Throws Error when the shape claims more than the file holds of it: it must not become an allocation.
  void check_size() const;
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
      set = file->make_dataset(path, hdf5_type(dtype), shape(0), chunk);
    }
    const std::vector<hsize_t> total = dims_of(shape(written + count)), part = dims_of(shape(count));
    std::vector<hsize_t> start(part.size(), 0);
    start[0] = static_cast<hsize_t>(written);
    bool good = H5Dset_extent(set, total.data()) >= 0;
    const Handle space(H5Dget_space(set), H5Sclose);
    const Handle memory(H5Screate_simple(static_cast<int>(part.size()), part.data(), nullptr), H5Sclose);
    good = good && H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, part.data(), nullptr) >= 0 &&
           H5Dwrite(set, hdf5_type(dtype), memory, space, H5P_DEFAULT, from) >= 0;
    file->check(good, "cannot write");
    written += count;
  }
};

bool looks_like_hdf5(std::span<const std::byte> bytes) {
  return bytes.size() >= 8 && std::memcmp(bytes.data(), "\x89HDF\r\n\x1a\n", 8) == 0;
}

// Datasets

DType Hdf5Dataset::dtype() const {
  return state_->dtype;
}
const Shape& Hdf5Dataset::shape() const {
  return state_->shape;
}
std::int64_t Hdf5Dataset::rows() const {
  return state_->shape.empty() ? 1 : state_->shape[0];
}

std::optional<std::uint64_t> Hdf5Dataset::State::offset_of(hid_t as) const {
  const Handle type(H5Dget_type(set), H5Tclose);
  const Handle plist(H5Dget_create_plist(set), H5Pclose);
  if (file->image || H5Pget_layout(plist) != H5D_CONTIGUOUS || H5Pget_external_count(plist) != 0) return std::nullopt;
  if (H5Tequal(type, as) <= 0) return std::nullopt;
  const haddr_t offset = H5Dget_offset(set);
  if (offset == HADDR_UNDEF) return std::nullopt;
  return offset;
}

void Hdf5Dataset::State::check_storage() const {
  const Handle plist(H5Dget_create_plist(set), H5Pclose);
  require(H5Pget_layout(plist) != H5D_VIRTUAL && H5Pget_external_count(plist) == 0, file->name, ": dataset '", path,
          "' lies in another file (external or virtual storage), which is not read");
  for (int i = 0; i < H5Pget_nfilters(plist); ++i) {
    unsigned flags = 0;
    std::size_t values = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(plist, static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, nullptr);
    require(filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_FLETCHER32 ||
                filter == H5Z_FILTER_SZIP,
            file->name, ": dataset '", path, "' has filter ", static_cast<int>(filter),
            ": only deflate, shuffle, fletcher32 and szip are read");
  }
}

void Hdf5Dataset::State::check_size() const {
  double size = static_cast<double>(dtype_size(dtype));
  for (const std::int64_t axis : shape) size *= static_cast<double>(axis);
  hsize_t file_size = 0;
  H5Fget_filesize(file->file, &file_size);
  const Handle plist(H5Dget_create_plist(set), H5Pclose);
  // What is said to be stored may be a lie as well.
  const auto stored = static_cast<double>(std::min<hsize_t>(H5Dget_storage_size(set), file_size));
  // Narrow elements are widened on reading: to i4 and i8, bfloat16 to f4.
  const double widening =
      static_cast<double>(dtype_size(dtype)) / static_cast<double>(H5Tget_size(Handle(H5Dget_type(set), H5Tclose)));
  const double most = stored * (H5Pget_nfilters(plist) > 0 ? most_deflated : 1.0) * widening;
  require(size <= most + static_cast<double>(largest_sparse), file->name, ": dataset '", path, "': shape ",
          shape_text(shape), " (", size, " bytes) is more than the file holds of it (", stored, " bytes stored)");
  try {
    element_count(shape);
  } catch (const Error& error) {
    throw Error(cat(file->name, ": dataset '", path, "': ", error.what()));
  }
}

std::optional<std::uint64_t> Hdf5Dataset::file_offset() const {
  return state_->offset_of(hdf5_type(state_->dtype));
}
std::optional<std::uint64_t> Hdf5Dataset::bfloat16_offset() const {
  return state_->offset_of(bfloat16_type());
}
bool Hdf5Dataset::is_bfloat16() const {
  return state_->bfloat16;
}

Array Hdf5Dataset::read() const {
  try {
    Array array(state_->dtype, state_->shape);
    read_rows(0, rows(), array.bytes.data());
    return array;
  } catch (const std::bad_alloc&) {
    throw Error(cat(state_->file->name, ": '", state_->path, "' of shape ", shape_text(state_->shape),
                    " does not fit in memory"));
  }
}

void Hdf5Dataset::read_rows(std::int64_t begin, std::int64_t end, std::byte* to) const {
  prepare_library();
  const State& s = *state_;
  require(0 <= begin && begin <= end && end <= rows(), s.file->name, ": '", s.path, "': rows ", begin, " to ", end,
          " of ", rows());
  Shape part = s.shape;
  if (!part.empty()) part[0] = end - begin;
  const std::int64_t count = begin == end ? 0 : element_count(part);
  if (count == 0) return;
  const Handle space(H5Dget_space(s.set), H5Sclose);
  Handle memory;
  if (!part.empty()) {
    const std::vector<hsize_t> dims = dims_of(part);
    std::vector<hsize_t> start(part.size(), 0);
    start[0] = static_cast<hsize_t>(begin);
    memory = Handle(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr), H5Sclose);
    s.file->check(H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, dims.data(), nullptr) >= 0,
                  cat("cannot select rows of '", s.path, "'"));
  }
  const hid_t type = s.unsigned_long ? H5T_STD_U64LE : s.bfloat16 ? bfloat16_type() : hdf5_type(s.dtype);
  // HDF5 converts bfloat16 itself, but slowly: 16 bits go to the upper half and are widened from there.
  std::byte* const landing = s.bfloat16 ? to + 2 * count : to;
  const bool good = H5Dread(s.set, type, part.empty() ? H5S_ALL : static_cast<hid_t>(memory),
                            part.empty() ? H5S_ALL : static_cast<hid_t>(space), H5P_DEFAULT, landing) >= 0;
  s.file->check(good, cat("cannot read '", s.path, "'"));
  if (s.bfloat16) widen_bfloat16(to, count);
  if (s.unsigned_long) {
    for (std::int64_t i = 0; i < count; ++i) {
      std::uint64_t value;
      std::memcpy(&value, to + i * 8, 8);
      require(std::in_range<std::int64_t>(value), s.file->name, ": '", s.path, "': ", value, " does not fit i8");
    }
  }
  if (s.dtype == DType::b1) {
    for (std::int64_t i = 0; i < count; ++i) {
      require(to[i] <= std::byte{1}, s.file->name, ": '", s.path, "': ", static_cast<int>(to[i]),
              " is not a boolean (0 or 1)");
    }
  }
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
    s.file->write(s.path, hdf5_type(s.dtype), s.shape(s.rows), s.buffer.data());
  }
  s.buffer.clear();
}

// Files

Hdf5File Hdf5File::open(const std::string& path) {
  if (path == "-" || is_special_file(path)) return open_image(ByteSource(path).read_all(), input_name(path));
  prepare_library();
  struct stat status {};
  require(::stat(path.c_str(), &status) == 0, path, ": cannot open: ", std::strerror(errno));
  Hdf5File file;
  file.state_ = std::make_shared<State>();
  State& s = *file.state_;
  s.name = path;
  const Handle access = property_list(H5P_FILE_ACCESS);
  s.file = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose);
  s.check(static_cast<bool>(s.file), "cannot open as HDF5");
  return file;
}

Hdf5File Hdf5File::open_image(std::span<const std::byte> bytes, const std::string& name) {
  prepare_library();
  Hdf5File file;
  file.state_ = std::make_shared<State>();
  State& s = *file.state_;
  s.name = name;
  s.image = true;
  const Handle access = property_list(H5P_FILE_ACCESS);
  H5Pset_fapl_core(access, 1 << 20, false);
  H5Pset_file_image(access, const_cast<std::byte*>(bytes.data()), bytes.size());
  s.file = Handle(H5Fopen("image", H5F_ACC_RDONLY, access), H5Fclose);
  s.check(static_cast<bool>(s.file), "cannot open as HDF5");
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
      open(path).state_->check_room(s.part);
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

bool Hdf5File::has_group(const std::string& path) const {
  return state_->is(path, H5I_GROUP);
}
bool Hdf5File::has_dataset(const std::string& path) const {
  return state_->is(path, H5I_DATASET);
}
std::vector<std::string> Hdf5File::groups(const std::string& path) const {
  return state_->children(path, H5I_GROUP);
}
std::vector<std::string> Hdf5File::datasets(const std::string& path) const {
  return state_->children(path, H5I_DATASET);
}

std::uint64_t Hdf5File::object_address(const std::string& path) const {
  const Handle object = state_->open_object(path);
  H5O_info_t info;
  state_->check(object && H5Oget_info2(object, &info, H5O_INFO_BASIC) >= 0, cat("no object '", path, "'"));
  return info.addr;
}

Hdf5Dataset Hdf5File::dataset(const std::string& path) const {
  auto s = std::make_shared<Hdf5Dataset::State>();
  s->file = state_;
  s->path = clean_path(path);
  const std::string full = absolute(path);
  state_->refuse_foreign_links(full);
  const Handle access = property_list(H5P_DATASET_ACCESS);
  H5Pset_chunk_cache(access, 521, chunk_cache, 1.0);
  s->set = Handle(H5Dopen2(state_->file, full.c_str(), access), H5Dclose);
  require(static_cast<bool>(s->set), state_->name, ": no dataset '", s->path, "'");
  s->check_storage();
  const Handle type(H5Dget_type(s->set), H5Tclose), space(H5Dget_space(s->set), H5Sclose);
  const auto dtype = dtype_of(type);
  require(dtype.has_value(), state_->name, ": dataset '", s->path, "' holds ", class_name(type),
          ", which are not supported");
  s->dtype = *dtype;
  s->bfloat16 = H5Tequal(type, bfloat16_type()) > 0;
  s->unsigned_long = H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) == 8 && H5Tget_sign(type) == H5T_SGN_NONE;
  const int rank = H5Sget_simple_extent_ndims(space);
  require(rank >= 0 && H5Sget_simple_extent_type(space) != H5S_NULL, state_->name, ": dataset '", s->path,
          "' has no shape");
  std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
  H5Sget_simple_extent_dims(space, dims.data(), nullptr);
  for (const hsize_t axis : dims) {
    require(std::in_range<std::int64_t>(axis), state_->name, ": dataset '", s->path, "': an axis is too large");
    s->shape.push_back(static_cast<std::int64_t>(axis));
  }
  s->check_size();
  Hdf5Dataset set;
  set.state_ = std::move(s);
  return set;
}

void Hdf5File::write(const std::string& path, const Array& array) {
  write(path, array.dtype, array.shape, array.bytes.data());
}
void Hdf5File::write(const std::string& path, DType type, const Shape& shape, const void* elements) {
  state_->write(path, hdf5_type(type), shape, elements);
}
void Hdf5File::write_bfloat16(const std::string& path, const Shape& shape, const void* elements) {
  state_->write(path, bfloat16_type(), shape, elements);
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
  const Handle object = state_->open_object(path), space(H5Screate(H5S_SCALAR), H5Sclose);
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
  const Handle object = state_->open_object(path);
  state_->check(static_cast<bool>(object), cat("no object '", path, "'"));
  if (H5Aexists(object, name.c_str()) <= 0) return std::nullopt;
  const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
  const Handle type(H5Aget_type(attribute), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
  if (!attribute || H5Sget_simple_extent_npoints(space) != 1) return std::nullopt;
  const auto get = [&](hid_t as, void* to) {
    state_->check(H5Aread(attribute, as, to) >= 0, cat("cannot read attribute '", name, "'"));
  };
  switch (H5Tget_class(type)) {
    case H5T_ENUM: {
      if (dtype_of(type) != DType::b1) return std::nullopt;
      std::int8_t value = 0;
      get(bool_type(), &value);
      return value != 0;
    }
    case H5T_INTEGER: {
      if (H5Tget_sign(type) == H5T_SGN_NONE) {
        std::uint64_t value = 0;
        get(H5T_NATIVE_UINT64, &value);
        require(std::in_range<std::int64_t>(value), state_->name, ": attribute '", name, "': ", value,
                " does not fit i8");
        return static_cast<std::int64_t>(value);
      }
      std::int64_t value = 0;
      get(H5T_NATIVE_INT64, &value);
      return value;
    }
    case H5T_FLOAT: {
      double value = 0;
      get(H5T_NATIVE_DOUBLE, &value);
      return value;
    }
    case H5T_STRING: {
      if (H5Tis_variable_str(type) > 0) return state_->variable_length(object, name);
      std::string value(H5Tget_size(type), '\0');
      get(type, value.data());
      const bool spaces = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
      const std::size_t last = value.find_last_not_of(spaces ? ' ' : '\0');
      value.resize(last == std::string::npos ? 0 : last + 1);
      return value.substr(0, value.find('\0'));
    }
    default:
      return std::nullopt;
  }
}

std::vector<std::string> Hdf5File::attribute_names(const std::string& path) const {
  const Handle object = state_->open_object(path);
  state_->check(static_cast<bool>(object), cat("no object '", path, "'"));
  std::vector<std::string> names;
  H5Aiterate2(
      object, H5_INDEX_NAME, H5_ITER_INC, nullptr,
      [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
      },
      &names);
  std::sort(names.begin(), names.end());
  return names;
}

std::map<std::string, Attribute> Hdf5File::attributes(const std::string& path) const {
  std::map<std::string, Attribute> result;
  for (const std::string& name : attribute_names(path)) {
    if (auto value = attribute(name, path)) result.emplace(name, *std::move(value));
  }
  return result;
}

}  // namespace pipeformer
