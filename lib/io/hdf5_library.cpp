#include "io/hdf5_library.hpp"

#include <string_view>

#include "core/error.hpp"

namespace pipeformer::hdf5 {
namespace {

constexpr hsize_t alignment = 64;

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

/// IEEE 754 binary16: sign 1, exponent 5 (bias 15), fraction 10.
hid_t half_type() {
  static const hid_t type = [] {
    const hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(t, 15, 10, 5, 0, 10);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, 15);
    return t;
  }();
  return type;
}

}  // namespace

void fail(const std::string& name, const std::string& what) {
  const std::string reason = hdf5_reason();
  throw Error(cat(name, ": ", what, reason.empty() ? "" : ": ", reason));
}

Handle property_list(hid_t kind) {
  return {H5Pcreate(kind), H5Pclose};
}

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

hid_t bfloat16_type() {
  static const hid_t type = [] {
    const hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(t, 15, 7, 8, 0, 7);
    H5Tset_size(t, 2);
    return t;
  }();
  return type;
}

hid_t element_type(DType type) {
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

std::vector<hsize_t> dims_of(const Shape& shape) {
  return {shape.begin(), shape.end()};
}

#ifndef H5_HAVE_THREADSAFE
#error "A tool reads one file and writes another on several threads: HDF5 must be built thread-safe, as Debian's is"
#endif

void prepare_library() {
  static const herr_t once = H5dont_atexit() | H5open() | H5Lunregister(H5L_TYPE_EXTERNAL) | H5PLset_loading_state(0);
  thread_local const herr_t quiet = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  (void)once, (void)quiet;
}

Handle output_access() {
  Handle access = property_list(H5P_FILE_ACCESS);
  H5Pset_alignment(access, 1, alignment);
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  return access;
}

}  // namespace pipeformer::hdf5
