#include "search/phrases.hpp"

#include <utility>

#include "core/error.hpp"
#include "io/packing.hpp"

namespace pipeformer {

Phrases split_phrases(std::span<const std::int32_t> record) {
  Phrases phrases(1);
  for (const std::int32_t id : record) {
    if (id >= 0) {
      phrases.back().push_back(id);
    } else if (!phrases.back().empty()) {
      phrases.emplace_back();
    }
  }
  if (phrases.back().empty()) phrases.pop_back();
  return phrases;
}

void pack(Packer& to, const std::vector<Phrases>& records) {
  to.put(records.size());
  for (const Phrases& phrases : records) {
    to.put(phrases.size());
    for (const auto& phrase : phrases) to.put_all(std::span<const std::int32_t>(phrase));
  }
}

void unpack(Unpacker& from, std::vector<Phrases>& records) {
  records.resize(from.get<std::size_t>());
  for (Phrases& phrases : records) {
    phrases.resize(from.get<std::size_t>());
    for (auto& phrase : phrases) from.get_all(phrase);
  }
}

PhraseStream::PhraseStream(const std::string& address, std::int64_t vocabulary)
    : reader_(RecordReader::open(address)), vocabulary_(vocabulary) {}

bool PhraseStream::read(Phrases& phrases) {
  Array record;
  if (!reader_->next(record)) return false;
  reader_->expect_ids(record);
  if (record.shape.size() != 1)
    throw Error(cat(reader_->where(), ": shape ", shape_text(record.shape),
                    " is not (n,): the phrases of a record stand one after another, with -1 between them"));
  const auto ids = std::as_const(record).values<std::int32_t>();
  for (const std::int32_t id : ids)
    if (id < -1 || id >= vocabulary_)
      throw Error(cat(reader_->where(), ": id ", id, " is outside the vocabulary of ", vocabulary_));
  phrases = split_phrases(ids);
  return true;
}

void PhraseStream::begin() {
  if (begun_) return;
  begun_ = true;
  // One record, or more than one?
  for (Phrases phrases; ahead_.size() < 2 && read(phrases);) ahead_.push_back(std::move(phrases));
  shared_ = ahead_.size() == 1;
}

void PhraseStream::skip(std::int64_t count) {
  begin();
  Phrases phrases;
  for (; !shared_ && count > 0; --count) {
    if (!ahead_.empty())
      ahead_.erase(ahead_.begin());
    else if (!read(phrases))
      return;
  }
}

std::vector<Phrases> PhraseStream::next(std::int64_t count, const std::string& input) {
  begin();
  if (shared_) return ahead_;
  std::vector<Phrases> all = std::exchange(ahead_, {});
  while (std::ssize(all) > count) {
    ahead_.insert(ahead_.begin(), std::move(all.back()));
    all.pop_back();
  }
  for (Phrases phrases; std::ssize(all) < count; all.push_back(std::move(phrases)))
    if (!read(phrases))
      throw Error(cat(reader_->name(), " ended after ", reader_->count(), " records, ", input, " has more"));
  return all;
}

void PhraseStream::finish(const std::string& input) {
  if (Phrases phrases; !shared_ && (!ahead_.empty() || read(phrases)))
    throw Error(cat(input, " ended after ", reader_->count() - 1, " records, ", reader_->name(), " has more"));
}

}  // namespace pipeformer
