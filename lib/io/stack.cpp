#include "io/stack.hpp"

namespace pipeformer {

Array stack_records(RecordReader& reader) {
  Array all, record;
  require(reader.next(all), reader.name(), ": no records to stack");
  std::int64_t count = 1;
  for (; reader.next(record); ++count) {
    require(record.dtype == all.dtype && record.shape == all.shape, reader.where(), ": ", dtype_name(record.dtype), " ",
            shape_text(record.shape), " cannot be stacked on ", dtype_name(all.dtype), " ", shape_text(all.shape));
    all.bytes.insert(all.bytes.end(), record.bytes.begin(), record.bytes.end());
  }
  all.shape.insert(all.shape.begin(), count);
  return all;
}

void write_unstacked(RecordWriter& writer, const Array& record, const std::string& where) {
  require(record.rank() > 0, where, ": a record of shape () has no leading axis");
  const Shape part(record.shape.begin() + 1, record.shape.end());
  const std::size_t size = static_cast<std::size_t>(element_count(part)) * dtype_size(record.dtype);
  for (std::int64_t i = 0; i < record.shape[0]; ++i) {
    writer.write(record.dtype, part, record.bytes.data() + static_cast<std::size_t>(i) * size);
  }
}

}  // namespace pipeformer
