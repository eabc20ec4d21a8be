#include "models/interventions.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/hdf5.hpp"
#include "io/stream.hpp"
#include "models/tap_writer.hpp"

namespace pipeformer {
namespace {

const char* option_of(Change change) {
  switch (change) {
    case Change::patch:
      return "--patch ";
    case Change::ablate:
      return "--ablate ";
    case Change::scale:
      return "--scale ";
    case Change::add:
      return "--add ";
  }
  return "";
}

/// Columns [first, first + count) of a row.
struct Columns {
  std::int64_t first, count;
};

/// Cells of a matrix that are -infinity are masked scores: they stay so, or a query would see what comes after it.
void change_cells(Change change, float factor, std::int64_t count, const float* values, bool matrix, float* x) {
  for (std::int64_t i = 0; i < count; ++i) {
    if (matrix && x[i] == -std::numeric_limits<float>::infinity()) continue;
    if (change == Change::scale)
      x[i] *= factor;
    else if (change == Change::add)
      x[i] += values[i];
    else
      x[i] = values ? values[i] : 0.0f;
  }
}

}  // namespace

void Interventions::add(Change change, const std::string& text) {
  const std::string option = option_of(change);
  std::string target = text, value;
  if (change != Change::ablate) {
    const std::size_t equals = text.find('=', text.find(']') == std::string::npos ? 0 : text.rfind("]="));
    if (equals == std::string::npos)
      throw UsageError(cat(option, text, ": expected NAME=", change == Change::scale ? "NUMBER" : "FILE"));
    target = text.substr(0, equals);
    value = text.substr(equals + 1);
    if (change != Change::scale && value.empty()) throw UsageError(cat(option, text, ": expected NAME=FILE"));
    if (change != Change::scale && value == "-")
      throw UsageError(cat(option, text, ": a file is read for each name, and standard input only once"));
  }
  Edit edit;
  edit.change = change;
  edit.text = option + text;
  if (change == Change::patch || change == Change::add) edit.file = value;
  // A selection is what stands in the last brackets, when that is nothing else: [abc] of a pattern is followed by more.
  if (const std::size_t open = target.rfind('[');
      open != std::string::npos && target.ends_with(']') &&
      target.find_first_not_of("0123456789,-;]", open + 1) == std::string::npos) {
    const auto parts = split(target.substr(open + 1, target.size() - open - 2), ';');
    if (parts.size() > 3) throw UsageError(cat(edit.text, ": expected [SEQUENCES;POSITIONS;HEADS]"));
    edit.sequences = Selection(parts[0], edit.text);
    if (parts.size() > 1) edit.positions = Selection(parts[1], edit.text);
    if (parts.size() > 2) edit.heads = Selection(parts[2], edit.text);
    target.resize(open);
  }
  if (change == Change::scale) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), edit.factor);
    if (error != std::errc() || end != value.data() + value.size() || !std::isfinite(edit.factor))
      throw UsageError(cat(edit.text, ": '", value, "' is no number"));
  }
  if (change == Change::ablate) edit.file = mean_file_;
  for (const Tap tap : matching_taps(list_, target, option)) {
    const TapEntry& entry = list_[static_cast<std::size_t>(tap.id)];
    Edit own = edit;
    own.seen = std::make_shared<Edit::Seen>();
    own.name = entry.name;
    if (!own.heads.all()) {
      if (entry.shape.heads == 0) throw UsageError(cat(edit.text, ": ", entry.name, " has no heads"));
      if (own.heads.largest() >= entry.shape.heads)
        throw UsageError(
            cat(edit.text, ": no head ", own.heads.largest(), ": ", entry.name, " has ", entry.shape.heads));
    }
    if (!own.file.empty()) load(own, entry.shape);
    by_tap_[tap.id].push_back(edits_.size());
    edits_.push_back(std::move(own));
  }
}

void Interventions::load(Edit& edit, const TapShape& shape) const {
  // A file of taps is addressed by the name itself.
  const Address address = split_address(edit.file);
  if (has_hdf5_suffix(address.file)) {
    const std::string group = address.group.empty() ? edit.name : address.group + "/" + edit.name;
    if (Hdf5File::open(address.file).has_group(group)) edit.file = address.file + ":" + group;
  }
  const auto reader = RecordReader::open(edit.file);
  Array record;
  while (reader->next(record)) {
    reader->expect_floats(record);
    edit.records.push_back(std::exchange(record, Array()));  // of weights it may be large: no copy
  }
  require(!edit.records.empty(), edit.file, ": holds no record");
  if (edit.change == Change::ablate) {  // the mean over all positions of all records
    require(!shape.matrix(), edit.text, ": ", edit.name, " has no mean vector: its rows differ in length");
    std::vector<double> sums(static_cast<std::size_t>(shape.width));
    std::int64_t rows = 0;
    for (std::size_t r = 0; r < edit.records.size(); ++r) {
      const Array& values = edit.records[r];
      require(!values.shape.empty() && values.shape.back() == shape.width, edit.file, ": record ", r, ": shape ",
              shape_text(values.shape), " does not match ", edit.name, ", ", shape_text(shape));
      const auto x = values.values<float>();
      for (std::size_t i = 0; i < x.size(); ++i) sums[i % sums.size()] += x[i];
      rows += std::ssize(x) / shape.width;
    }
    require(rows > 0, edit.file, ": holds no position");
    std::vector<float> mean;
    for (const double sum : sums) mean.push_back(static_cast<float>(sum / static_cast<double>(rows)));
    edit.records = {Array::of<float>({shape.width}, mean)};
  }
  edit.everywhere = edit.records.size() == 1 && edit.records[0].shape.size() == 1 && !shape.matrix();
  for (std::size_t r = 0; r < edit.records.size() && !edit.everywhere; ++r) {
    const Shape& found = edit.records[r].shape;
    const bool fits = shape.matrix() ? found.size() == 3 || (found.size() == 2 && edit.heads.before(shape.heads) == 1)
                                     : found.size() == 2;
    require(fits, edit.file, ": record ", r, ": shape ", shape_text(found), " does not match ", edit.name, ", ",
            shape_text(shape));
  }
}

const Array* Interventions::record(const Edit& edit, std::int64_t sequence) const {
  if (edit.records.empty()) return nullptr;
  if (edit.everywhere) return edit.records.data();
  // A record for each selected sequence, for each of the run, or for each of the stream of which the run is a part.
  const std::int64_t given = std::ssize(edit.records);
  const bool selected = given == edit.sequences.before(edit.sequences.largest() + 1);
  const bool of_part = part_.first > 0 && (part_.count >= 0 ? given == part_.count : given <= part_.first);
  const std::int64_t index = selected ? edit.sequences.before(sequence) : of_part ? sequence - part_.first : sequence;
  require(index >= 0 && index < given, edit.file, ": has ", given, " records, and none for record ", sequence,
          " of the run");
  return &edit.records[static_cast<std::size_t>(index)];
}

void Interventions::rows(Tap tap, const TapRows& seen) const {
  const std::int64_t head_width = list_[static_cast<std::size_t>(tap.id)].shape.head_width();
  for (const std::size_t index : by_tap_.at(tap.id)) {
    const Edit& edit = edits_[index];
    edit.seen->tap.store(true, std::memory_order_relaxed);
    for (std::int64_t s = 0; s < seen.ragged.sequences(); ++s) {
      const std::int64_t number = seen.places.number(s), first = seen.places.position(s);
      const std::int64_t length = seen.ragged.length(s);
      if (!edit.sequences.has(number)) continue;
      edit.seen->sequence.store(true, std::memory_order_relaxed);
      if (length == 0) continue;
      const Array* values = record(edit, number);
      const std::int64_t file_rows = values && !edit.everywhere ? values->shape[0] : 0;
      const std::int64_t file_width = values ? values->shape.back() : 0;
      const std::int64_t chosen_width = edit.heads.all() ? seen.width : edit.heads.before(seen.width) * head_width;
      const bool part = !edit.positions.all() && file_rows == edit.positions.before(edit.positions.largest() + 1);
      const bool narrow = file_width != seen.width;
      const bool fits = !values || ((file_width == seen.width || file_width == chosen_width) &&
                                    (edit.everywhere || part || seen.places.growing || file_rows == first + length));
      require(fits, edit.file, ": shape ", values ? shape_text(values->shape) : "", " does not match ", edit.name,
              " of record ", number, ", ", shape_text(Shape{first + length, seen.width}));
      require(seen.places.growing || edit.positions.largest() < first + length, edit.text, ": record ", number, " has ",
              first + length, " positions");
      for (std::int64_t t = 0; t < length; ++t) {
        const std::int64_t position = first + t, row = part ? edit.positions.before(position) : position;
        if (!edit.positions.has(position)) continue;
        edit.seen->position.store(true, std::memory_order_relaxed);
        if (values && !edit.everywhere && row >= file_rows) continue;  // generated beyond what was given
        const float* from =
            values ? values->values<float>().data() + (edit.everywhere ? 0 : row * file_width) : nullptr;
        float* x = seen.x + (seen.ragged.begin(s) + t) * seen.width;
        for (std::int64_t column = 0; column < seen.width; column += head_width) {
          const std::int64_t head = column / head_width;
          if (!edit.heads.has(head)) continue;
          const std::int64_t source = narrow ? edit.heads.before(head) * head_width : column;
          change_cells(edit.change, edit.factor, head_width, from ? from + source : nullptr, false, x + column);
        }
      }
    }
  }
}

void Interventions::matrix(Tap tap, const TapMatrix& seen) const {
  const std::int64_t heads = list_[static_cast<std::size_t>(tap.id)].shape.heads;
  for (const std::size_t index : by_tap_.at(tap.id)) {
    const Edit& edit = edits_[index];
    edit.seen->tap.store(true, std::memory_order_relaxed);
    if (!edit.sequences.has(seen.sequence)) continue;
    edit.seen->sequence.store(true, std::memory_order_relaxed);
    if (!edit.heads.has(seen.head) || seen.rows == 0) continue;
    const Array* values = record(edit, seen.sequence);
    require(seen.growing || edit.positions.largest() < seen.queries, edit.text, ": record ", seen.sequence, " has ",
            seen.queries, " positions");
    std::int64_t file_rows = 0, file_keys = 0, plane = 0;
    bool part = false;
    if (values) {
      const Shape& shape = values->shape;
      const std::int64_t file_heads = shape.size() == 2 ? 1 : shape[0];
      file_rows = shape[shape.size() - 2];
      file_keys = shape.back();
      part = !edit.positions.all() && file_rows == edit.positions.before(edit.positions.largest() + 1);
      const bool fits =
          (file_heads == heads || file_heads == edit.heads.before(heads)) &&
          (seen.growing_keys ? file_keys >= seen.keys || file_rows <= seen.first : file_keys == seen.keys) &&
          (seen.growing || part || file_rows == seen.queries);
      require(fits, edit.file, ": shape ", shape_text(shape), " does not match ", edit.name, " of record ",
              seen.sequence, ", ", shape_text(Shape{heads, seen.queries, seen.keys}));
      plane = file_heads == heads ? seen.head : edit.heads.before(seen.head);
    }
    for (std::int64_t i = 0; i < seen.rows; ++i) {
      const std::int64_t position = seen.first + i, row = part ? edit.positions.before(position) : position;
      if (!edit.positions.has(position)) continue;
      edit.seen->position.store(true, std::memory_order_relaxed);
      if (values && row >= file_rows) continue;
      const float* from = values ? values->values<float>().data() + (plane * file_rows + row) * file_keys : nullptr;
      change_cells(edit.change, edit.factor, seen.keys, from, true, seen.x + i * seen.keys);
    }
  }
}

std::vector<std::pair<std::string, std::string>> Interventions::changed() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const Edit& edit : edits_) all.emplace_back(edit.name, edit.text);
  return all;
}

void Interventions::close(std::int64_t sequences) const {
  if (part_.dealt || !computing_) return;  // the others may have seen what is missing here; or nothing was to be seen
  const bool whole = part_.first == 0 && !part_.ends_early;
  const std::int64_t end = part_.first + sequences;
  for (const Edit& edit : edits_) {
    require(edit.seen->tap, edit.text, ": this run did not compute ", edit.name);
    require(part_.ends_early || edit.sequences.largest() < end, edit.text, ": there is no record ",
            edit.sequences.largest(), ", the run had ", end);
    require(!whole || edit.seen->sequence, edit.text, ": this run did not compute ", edit.name);
    require(edit.positions.all() || !edit.seen->sequence || edit.seen->position, edit.text,
            ": no record of the run has such a position");
    const std::int64_t given = std::ssize(edit.records), taken = edit.sequences.before(sequences);
    if (given == 0 || edit.everywhere) continue;
    if (whole) {
      require(given == taken || given == sequences, edit.file, ": has ", given, " records, the run took ", taken,
              taken == sequences ? "" : cat(" of ", sequences));
      continue;
    }
    const bool selected = given == edit.sequences.before(edit.sequences.largest() + 1);
    require(selected || given == sequences || given == end || (given > end && part_.ends_early), edit.file, ": has ",
            given, " records, the run took ", sequences, " from number ", part_.first, " on");
  }
}

}  // namespace pipeformer
