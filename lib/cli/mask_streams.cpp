#include "cli/mask_streams.hpp"

#include <vector>

#include "core/error.hpp"

namespace pipeformer {
namespace {

enum class Kind { mask, bias, lengths };

/// A stream beside the queries, read one record ahead, so that a record that is alone is known to be.
class Companion {
 public:
  Companion(const std::string& address, Kind kind) : reader_(RecordReader::open(address)), kind_(kind) {
    Array first;
    if (!read(first)) return;
    records_.push_back(std::move(first));
    alone_ = !(has_ahead_ = read(ahead_));
  }

  /// Takes the records that belong to a batch.
  void next(const BatchStream& queries) {
    if (alone_) return;
    if (begun_) records_.clear();
    begun_ = true;
    first_ = queries.batch.first_record;
    while (static_cast<std::int64_t>(records_.size()) < queries.batch.records()) {
      require(has_ahead_, reader_->name(), " ended after ", reader_->count(), " records, ", queries.reader->name(),
              " has more");
      records_.push_back(std::move(ahead_));
      has_ahead_ = read(ahead_);
    }
  }

  const Array& record(std::int64_t r) const { return records_[alone_ ? 0 : static_cast<std::size_t>(r)]; }
  std::string where(std::int64_t r) const { return cat(reader_->name(), ": record ", alone_ ? 0 : first_ + r); }

  void finish(const BatchStream& queries) const {
    require(alone_ || (begun_ ? !has_ahead_ : records_.empty()), queries.reader->name(), " ended after ",
            queries.reader->count(), " records, ", reader_->name(), " has more");
  }

 private:
  bool read(Array& record) {
    if (!reader_->next(record)) return false;
    if (kind_ == Kind::mask) {
      require(record.dtype == DType::b1, reader_->where(), ": expected booleans (1 = may attend), not ",
              dtype_name(record.dtype), " ", shape_text(record.shape));
    } else if (kind_ == Kind::bias) {
      reader_->expect_floats(record);
    } else {
      reader_->expect_ids(record);
    }
    return true;
  }

  std::unique_ptr<RecordReader> reader_;
  Kind kind_;
  std::vector<Array> records_;
  Array ahead_;
  bool has_ahead_ = false, alone_ = false, begun_ = false;
  std::int64_t first_ = 0;
};

/// For each matrix of scores of a batch, the matrix of the companion that broadcasts to it.
template <class T>
void list_matrices(const Companion& companion, const BatchStream& queries, const BatchStream& keys, std::int64_t heads,
                   bool heads_axis, std::vector<const T*>& list) {
  list.clear();
  for (std::int64_t r = 0; r < queries.batch.records(); ++r) {
    const Array& record = companion.record(r);
    Shape scores = queries.batch.leading_axes(r);
    if (heads_axis) scores.push_back(heads);
    const std::size_t outer = scores.size();
    const std::int64_t matrices = element_count(scores);
    scores.insert(scores.end(), {queries.batch.length(r), keys.batch.length(r)});
    // Strides of the companion's axes in matrices: 0 along an axis that it does not have or that is 1.
    const Shape& shape = record.shape;
    bool fits = shape.size() >= 2 && shape.size() <= scores.size() &&
                std::equal(shape.end() - 2, shape.end(), scores.end() - 2);
    Shape strides(outer, 0);
    std::int64_t stride = 1;
    for (std::size_t back = 3; fits && back <= shape.size(); ++back) {
      const std::int64_t axis = shape[shape.size() - back], expected = scores[scores.size() - back];
      fits = axis == expected || axis == 1;
      if (axis != 1) strides[scores.size() - back] = stride;
      stride *= axis;
    }
    require(fits, companion.where(r), ": shape ", shape_text(shape), " does not fit scores of shape ",
            shape_text(scores), " of ", queries.where_record(r));
    const std::int64_t size = scores[outer] * scores[outer + 1];
    for (std::int64_t m = 0; m < matrices; ++m) {
      std::int64_t which = 0, rest = m;
      for (std::size_t axis = outer; axis-- > 0;) {
        which += rest % scores[axis] * strides[axis];
        rest /= scores[axis];
      }
      list.push_back(reinterpret_cast<const T*>(record.bytes.data()) + which * size);
    }
  }
}

}  // namespace

struct MaskStreams::State {
  std::optional<Companion> mask, bias, lengths;
  std::vector<const std::uint8_t*> mask_list;
  std::vector<const float*> bias_list;
  std::vector<std::int64_t> length_list;
};

MaskStreams::MaskStreams(const std::optional<std::string>& mask, const std::optional<std::string>& bias,
                         const std::optional<std::string>& lengths)
    : state_(std::make_shared<State>()) {
  if (mask) state_->mask.emplace(*mask, Kind::mask);
  if (bias) state_->bias.emplace(*bias, Kind::bias);
  if (lengths) state_->lengths.emplace(*lengths, Kind::lengths);
}

bool MaskStreams::any() const {
  return state_->mask || state_->bias || state_->lengths;
}

AttentionMasks MaskStreams::next(const BatchStream& queries, const BatchStream& keys, std::int64_t heads,
                                 bool heads_axis) {
  State& s = *state_;
  AttentionMasks masks;
  if (s.mask) {
    s.mask->next(queries);
    list_matrices(*s.mask, queries, keys, heads, heads_axis, s.mask_list);
    masks.mask = s.mask_list.data();
  }
  if (s.bias) {
    s.bias->next(queries);
    list_matrices(*s.bias, queries, keys, heads, heads_axis, s.bias_list);
    masks.bias = s.bias_list.data();
  }
  if (s.lengths) {
    s.lengths->next(queries);
    s.length_list.clear();
    for (std::int64_t r = 0; r < queries.batch.records(); ++r) {
      const Array& record = s.lengths->record(r);
      const Shape axes = queries.batch.leading_axes(r);
      require(record.shape == axes, s.lengths->where(r), ": shape ", shape_text(record.shape),
              " does not match the leading axes ", shape_text(axes), " of ", queries.where_record(r));
      for (const std::int32_t length : record.values<std::int32_t>()) {
        require(length >= 0 && length <= keys.batch.length(r), s.lengths->where(r), ": length ", length,
                " is outside 0 to ", keys.batch.length(r), ", the keys of ", keys.where_record(r));
        s.length_list.push_back(length);
      }
    }
    masks.key_lengths = s.length_list.data();
  }
  return masks;
}

void MaskStreams::finish(const BatchStream& queries) {
  for (const auto* companion : {&state_->mask, &state_->bias, &state_->lengths}) {
    if (*companion) (*companion)->finish(queries);
  }
}

}  // namespace pipeformer
