/// What is shared by all that writes with libhdf5: the owner of an identifier, element types, properties. Nothing is
/// read with it (io/hdf5_reading.hpp).
#pragma once
#include <hdf5.h>

#include <string>
#include <utility>
#include <vector>

#include "core/array.hpp"

namespace pipeformer::hdf5 {

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

/// Throws Error of `name` and `what`, with the library's reason.
[[noreturn]] void fail(const std::string& name, const std::string& what);

/// No error stacks on standard error, which HDF5 decides for each thread; and no clean-up at exit: we close what we
/// open, and HDF5 1.10's own clean-up crashes when a file could not be written (a full disk). A file comes from
/// strangers: without the class of external links no other file is followed, and no filter is loaded for it.
void prepare_library();

Handle property_list(hid_t kind);
/// Properties of files that are written: a flush and a close say whether everything arrived.
Handle output_access();

/// The type of an element both in memory and in the files we write.
hid_t element_type(DType);
/// h5py's boolean: an 8-bit enumeration of FALSE and TRUE.
hid_t bool_type();
/// bfloat16, the upper half of a binary32: sign 1, exponent 8 (bias 127), fraction 7.
hid_t bfloat16_type();

std::vector<hsize_t> dims_of(const Shape&);

}  // namespace pipeformer::hdf5
