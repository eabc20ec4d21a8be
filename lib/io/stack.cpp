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

namespace {

class Slice : public RecordWriter {
 public:
  Slice(std::unique_ptr<RecordWriter> inner, std::int64_t skip, std::int64_t take)
      : RecordWriter(inner->name(), std::nullopt), inner_(std::move(inner)), skip_(skip), take_(take) {}
  void flush() override { inner_->flush(); }
  void close() override { inner_->close(); }

 protected:
  void put(DType dtype, const Shape& shape, const std::byte* elements) override {
    if (seen_ >= skip_ && seen_ - skip_ < take_) inner_->write(dtype, shape, elements);
    ++seen_;
  }

 private:
  std::unique_ptr<RecordWriter> inner_;
  std::int64_t skip_, take_, seen_ = 0;
};

class Part : public RecordReader {
 public:
  Part(std::unique_ptr<RecordReader> inner, std::int64_t skip, std::int64_t take)
      : RecordReader(inner->name()), inner_(std::move(inner)), skip_(skip), left_(take) {}
  bool bfloat16() const override { return inner_->bfloat16(); }
  bool next(Array& record) override { return counted(reached() && inner_->next(record)); }
  bool locate(RecordLocation& place) override { return counted(reached() && inner_->locate(place)); }

 private:
  /// Whether the next record is one of the part.
  bool reached() {
    RecordLocation passed;
    while (skip_ > 0 && inner_->locate(passed)) --skip_;
    count_ = inner_->count();
    return skip_ == 0 && left_ > 0;
  }
  bool counted(bool found) {
    count_ = inner_->count();
    left_ -= found;
    return found;
  }
  // The other reader does both.
  bool read(Array&) override { return false; }
  bool skip(RecordLocation&) override { return false; }

  std::unique_ptr<RecordReader> inner_;
  std::int64_t skip_, left_;
};

}  // namespace

std::unique_ptr<RecordReader> part_of(std::unique_ptr<RecordReader> reader, std::int64_t skip, std::int64_t take) {
  return std::make_unique<Part>(std::move(reader), skip, take);
}

std::unique_ptr<RecordWriter> slice_of(std::unique_ptr<RecordWriter> writer, std::int64_t skip, std::int64_t take) {
  return std::make_unique<Slice>(std::move(writer), skip, take);
}

}  // namespace pipeformer
