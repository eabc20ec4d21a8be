/// Record streams in HDF5 files; opened through RecordReader and RecordWriter.
#pragma once
#include <memory>

#include "io/address.hpp"
#include "io/byte_source.hpp"
#include "io/stream.hpp"

namespace pipeformer {

/// `source` stands at the beginning of the file that the address names; it is read whole when it is no regular file.
std::unique_ptr<RecordReader> open_hdf5_reader(const std::string& name, const Address&, ByteSource& source);
std::unique_ptr<RecordWriter> open_hdf5_writer(const std::string& name, const Address&, std::optional<DType> dtype);

}  // namespace pipeformer
