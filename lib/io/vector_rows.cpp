#include "io/vector_rows.hpp"

#include <algorithm>

#include "io/failure_record.hpp"

namespace pipeformer {
namespace {

bool read_record(RecordReader& reader, VectorRows& to, Array& record) {
  if (!reader.next(record)) return false;
  reader.expect_floats(record);
  if (record.rank() < 1 || record.shape.back() == 0)
    throw Error(cat(reader.where(), ": expected vectors (..., D), not shape ", shape_text(record.shape)));
  to.width = record.shape.back();
  reader.expect_like_first(false, to.width);
  const auto values = record.values<float>();
  if (!all_finite(values.data(), std::ssize(values))) throw Error(cat(reader.where(), ": not finite"));
  to.values.insert(to.values.end(), values.begin(), values.end());
  to.shapes.push_back(record.shape);
  to.ends.push_back(std::ssize(to.values) / to.width);
  return true;
}

}  // namespace

std::int64_t VectorRows::record_of(std::int64_t row) const {
  return first_record + (std::upper_bound(ends.begin(), ends.end(), row) - ends.begin());
}

std::int64_t pass_over_vectors(RecordReader& reader, std::int64_t records) {
  std::int64_t vectors = 0;
  for (RecordLocation place; records > 0 && reader.locate(place); --records)
    vectors += place.shape.empty() ? 0 : element_count(Shape(place.shape.begin(), place.shape.end() - 1));
  return vectors;
}

bool read_vector_rows(RecordReader& reader, VectorRows& to, std::int64_t most_rows) {
  to.values.clear();
  to.shapes.clear();
  to.ends.clear();
  Array record;  // its memory is used again and again
  try {
    while (read_record(reader, to, record) && to.rows() < most_rows) {
    }
  } catch (const UpstreamFailure&) {
    if (to.shapes.empty()) throw;
  }
  to.first_record = reader.count() - std::ssize(to.shapes);
  return !to.shapes.empty();
}

}  // namespace pipeformer
