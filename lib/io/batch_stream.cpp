#include "io/batch_stream.hpp"

#include "core/error.hpp"
#include "io/failure_record.hpp"

namespace pipeformer {

std::string BatchStream::where_record(std::int64_t r) const {
  return cat(reader->name(), ": record ", batch.first_record + r);
}

std::string BatchStream::where(std::int64_t row) const {
  std::int64_t r = 0;
  for (std::int64_t end = 0; r < batch.records() - 1; ++r) {
    end += element_count(batch.leading_axes(r)) * batch.length(r);
    if (row < end) break;
  }
  return where_record(r);
}

void BatchStream::expect_width(std::int64_t width, const std::string& whose) const {
  require(batch.ids || batch.width == width, where_record(0), ": width ", batch.width, " does not match ", whose,
          " width ", width);
}

void BatchStream::expect_shapes_of(const BatchStream& other) const {
  for (std::int64_t r = 0; r < batch.records(); ++r) {
    const Shape &mine = batch.shapes[static_cast<std::size_t>(r)],
                &its = other.batch.shapes[static_cast<std::size_t>(r)];
    if (mine != its)
      throw Error(cat(where_record(r), ": shape ", shape_text(mine), " does not match shape ", shape_text(its), " of ",
                      other.reader->name()));
  }
}

namespace {

/// Appends the next record of every stream; false when all are at their end.
bool read_records(std::span<BatchStream* const> streams) {
  const BatchStream *ended = nullptr, *more = nullptr;
  for (BatchStream* stream : streams)
    (read_record(*stream->reader, stream->batch, stream->accept) ? more : ended) = stream;
  if (ended && more) {
    throw Error(cat(ended->reader->name(), " ended after ", ended->reader->count(), " records, ", more->reader->name(),
                    " has more"));
  }
  if (ended) return false;
  const BatchStream& first = *streams.front();
  const std::int64_t r = first.batch.records() - 1;
  for (const BatchStream* stream : streams) {
    const Shape axes = stream->batch.leading_axes(r), expected = first.batch.leading_axes(r);
    if (axes != expected)
      throw Error(cat(stream->where_record(r), ": leading axes ", shape_text(axes), " do not match ",
                      shape_text(expected), " of ", first.reader->name()));
  }
  return true;
}

}  // namespace

bool read_batches(std::span<BatchStream* const> streams, std::int64_t max_rows, std::int64_t max_records) {
  const Batch& first = streams.front()->batch;
  for (BatchStream* stream : streams) clear_batch(stream->batch, *stream->reader);
  for (std::int64_t r = 0; r < max_records && (r == 0 || first.extent() < max_rows); ++r) {
    try {
      if (!read_records(streams)) break;
    } catch (const UpstreamFailure&) {
      if (r == 0) throw;
      for (BatchStream* stream : streams)
        if (stream->batch.records() > r) drop_last_record(stream->batch);
      break;
    }
  }
  return first.records() > 0;
}

std::int64_t skip_records(std::span<BatchStream* const> streams, std::int64_t count) {
  std::int64_t sequences = 0;
  RecordLocation place;
  for (std::int64_t r = 0; r < count; ++r) {
    const BatchStream *ended = nullptr, *more = nullptr;
    for (BatchStream* stream : streams) {
      (stream->reader->locate(place) ? more : ended) = stream;
      if (stream != streams.front() || more != stream) continue;
      const bool ids = stream->accept == Accept::ids || (stream->accept == Accept::either && !is_floating(place.dtype));
      const std::ptrdiff_t inner = ids ? 1 : 2;
      sequences +=
          std::ssize(place.shape) > inner ? element_count(Shape(place.shape.begin(), place.shape.end() - inner)) : 1;
    }
    if (ended && more)
      throw Error(cat(ended->reader->name(), " ended after ", ended->reader->count(), " records, ",
                      more->reader->name(), " has more"));
    if (ended) break;
  }
  return sequences;
}

}  // namespace pipeformer
