#include "io/batch.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/one_nan.hpp"
#include "io/failure_record.hpp"
#include "io/packing.hpp"

namespace pipeformer {
namespace {

/// The axes of a record that number its positions: all for ids, all but the width for vectors and several ids.
Shape position_axes(const Batch& batch, const Shape& shape) {
  return batch.ids && batch.width == 0 ? shape : Shape(shape.begin(), shape.end() - 1);
}

template <class T>
void append(Buffer<T>& to, const Array& record) {
  const auto values = record.values<T>();
  to.insert(to.end(), values.begin(), values.end());
}

}  // namespace

void append_record(Batch& batch, const Array& record) {
  const Shape positions = position_axes(batch, record.shape);
  const std::int64_t length = positions.empty() ? 1 : positions.back();
  const std::int64_t sequences = positions.empty() ? 1 : element_count(Shape(positions.begin(), positions.end() - 1));
  if (batch.ids) {
    append(batch.tokens, record);
  } else {
    append(batch.rows, record);
  }
  for (std::int64_t s = 0; s < sequences; ++s) batch.offsets.push_back(batch.offsets.back() + length);
  batch.shapes.push_back(record.shape);
}

void drop_last_record(Batch& batch) {
  const Shape axes = batch.leading_axes(batch.records() - 1);
  batch.offsets.resize(batch.offsets.size() - static_cast<std::size_t>(element_count(axes)));
  batch.shapes.pop_back();
  if (batch.ids) {
    batch.tokens.resize(static_cast<std::size_t>(batch.positions() * std::max<std::int64_t>(batch.width, 1)));
  } else {
    batch.rows.resize(static_cast<std::size_t>(batch.positions() * batch.width));
  }
}

void clear_batch(Batch& batch, const RecordReader& reader) {
  batch.rows.clear();
  batch.tokens.clear();
  batch.offsets.assign(1, 0);
  batch.shapes.clear();
  batch.first_record = reader.count();
}

bool read_record(RecordReader& reader, Batch& batch, Accept accept) {
  thread_local Array record;  // its memory is used again and again
  if (!reader.next(record)) return false;
  const bool several = accept == Accept::id_rows,
             ids = several || accept == Accept::ids || (accept == Accept::either && !is_floating(record.dtype));
  if (ids) {
    reader.expect_ids(record);
  } else {
    reader.expect_floats(record);
  }
  const std::int64_t width =
      (ids && !several) || record.rank() < (accept == Accept::rows ? 1 : 2) ? 0 : record.shape.back();
  if (ids && !several ? record.rank() < 1 : width == 0)
    throw Error(cat(reader.where(), ": expected ",
                    several                  ? "ids (..., T, K)"
                    : ids                    ? "ids (..., T)"
                    : accept == Accept::rows ? "vectors (..., D)"
                                             : "vectors (..., T, D)",
                    ", not shape ", shape_text(record.shape)));
  reader.expect_like_first(ids, width);
  batch.ids = ids;
  batch.width = width;
  try {
    append_record(batch, record);
  } catch (const OutOfMemory& error) {
    throw Error(cat(reader.where(), ": ", error.what(), ": a batch of ", batch.records(), " records and this one"));
  }
  return true;
}

bool read_batch(RecordReader& reader, Batch& batch, Accept accept, std::int64_t max_rows, std::int64_t max_records) {
  clear_batch(batch, reader);
  try {
    while (read_record(reader, batch, accept) && batch.extent() < max_rows && batch.records() < max_records) {
    }
  } catch (const UpstreamFailure&) {
    if (batch.records() == 0) throw;
  }
  return batch.records() > 0;
}

Shape Batch::leading_axes(std::int64_t r) const {
  Shape axes = position_axes(*this, shapes[static_cast<std::size_t>(r)]);
  if (!axes.empty()) axes.pop_back();
  return axes;
}

std::int64_t Batch::length(std::int64_t r) const {
  const Shape axes = position_axes(*this, shapes[static_cast<std::size_t>(r)]);
  return axes.empty() ? 1 : axes.back();
}

namespace {

template <class T>
void write_values(RecordWriter& writer, const Batch& layout, DType dtype, const T* values, std::int64_t width) {
  Buffer<float> copy;
  for (const Shape& shape : layout.shapes) {
    Shape out = position_axes(layout, shape);
    if (width > 0) out.push_back(width);
    const std::int64_t count = element_count(out);
    if constexpr (std::is_same_v<T, float>)
      writer.write(dtype, out, with_one_nan(values, count, copy));
    else
      writer.write(dtype, out, values);
    values += count;
  }
  writer.flush();
}

}  // namespace

Batch with_lengths(const Batch& batch, const Ragged& ragged) {
  Batch layout;
  layout.width = batch.width;
  layout.first_record = batch.first_record;
  layout.offsets.assign(ragged.offsets.begin(), ragged.offsets.end());
  std::int64_t sequence = 0;
  for (std::int64_t r = 0; r < batch.records(); ++r) {
    Shape shape = batch.leading_axes(r);
    const std::int64_t count = element_count(shape);
    shape.push_back(count > 0 ? ragged.length(sequence) : 0);
    if (!batch.ids) shape.push_back(batch.width);
    layout.shapes.push_back(shape);
    sequence += count;
  }
  layout.ids = batch.ids;
  return layout;
}

void pack(Packer& to, const Batch& batch) {
  to.put(batch.ids);
  to.put(batch.width);
  to.put(batch.first_record);
  to.put_all(std::span<const float>(batch.rows));
  to.put_all(std::span<const std::int32_t>(batch.tokens));
  to.put_all(std::span<const std::int64_t>(batch.offsets));
  to.put(batch.shapes.size());
  for (const Shape& shape : batch.shapes) to.put_all(std::span<const std::int64_t>(shape));
}

void unpack(Unpacker& from, Batch& batch) {
  batch.ids = from.get<bool>();
  batch.width = from.get<std::int64_t>();
  batch.first_record = from.get<std::int64_t>();
  from.get_all(batch.rows);
  from.get_all(batch.tokens);
  from.get_all(batch.offsets);
  batch.shapes.resize(from.get<std::size_t>());
  for (Shape& shape : batch.shapes) from.get_all(shape);
}

void write_rows(RecordWriter& writer, const Batch& layout, const float* rows, std::int64_t width) {
  write_values(writer, layout, DType::f4, rows, width);
}

void write_ids(RecordWriter& writer, const Batch& layout, const std::int32_t* ids) {
  write_values(writer, layout, DType::i4, ids, 0);
}

void write_weights(RecordWriter& writer, const Batch& queries, const Batch& keys, std::int64_t heads, bool heads_axis,
                   const float* const* matrices) {
  Buffer<float> record, copy;
  for (std::int64_t r = 0; r < queries.records(); ++r) {
    Shape shape = queries.leading_axes(r);
    const std::int64_t count = element_count(shape) * heads, size = queries.length(r) * keys.length(r);
    if (heads_axis) shape.push_back(heads);
    shape.insert(shape.end(), {queries.length(r), keys.length(r)});
    record.resize(static_cast<std::size_t>(count * size));
    for (std::int64_t m = 0; m < count && size > 0; ++m) std::copy_n(*matrices++, size, record.data() + m * size);
    if (size == 0) matrices += count;
    writer.write(DType::f4, shape, with_one_nan(record.data(), std::ssize(record), copy));
  }
  writer.flush();
}

}  // namespace pipeformer
