/// What the examples of several tasks have in common: records of streams, put into batches.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/random.hpp"
#include "train/examples.hpp"

namespace pipeformer {

void append_ids(const RecordSet&, std::int64_t r, std::vector<std::int32_t>& to);
/// What an encoder reads.
void append_source(const RecordSet&, std::int64_t r, ExampleBatch&);
/// The fingerprint of data of which an option makes something else; 0: nothing.
std::uint64_t with_option(std::uint64_t fingerprint, std::int64_t option);
/// Throws Error naming the record that is too long for the model's encoder or decoder. extra: what the model adds to it
/// (begin, class tokens).
void expect_room(const RecordSet&, std::int64_t r, std::int64_t extra, const Configuration&, bool decoding);
/// Throws Error naming the record that lacks the end id by which the model pools.
void expect_end(const RecordSet&, std::int64_t r, const Configuration&);

/// Numbers are records of both. expect_rooms throws for a record that is too long for who reads it.
class Pairs : public Examples {
 protected:
  template <class ExpectRooms>
  Pairs(RecordSet source, RecordSet target, std::int64_t max_length, const ExpectRooms& expect_rooms)
      : source_(std::move(source)), target_(std::move(target)) {
    require(source_.records() == target_.records(), source_.name(), " has ", source_.records(), " records, ",
            target_.name(), " has ", target_.records());
    for (std::int64_t i = 0; i < target_.records(); ++i) {
      if (max_length > 0 && std::max(source_.length(i), target_.length(i)) > max_length) {
        ++skipped_;
        continue;
      }
      expect_rooms(source_, target_, i);
      all_.push_back(i);
    }
    require(!all_.empty(), source_.name(), ": no records of at most --max-length tokens");
    fingerprint_ = with_option(derive_seed(source_.fingerprint(), target_.fingerprint()), max_length);
  }
  RecordSet source_, target_;
};

/// Numbers are records.
class Lines : public Examples {
 public:
  Lines(RecordSet records, std::int64_t extra, const Configuration& c, std::int64_t max_length)
      : records_(std::move(records)) {
    for (std::int64_t i = 0; i < records_.records(); ++i) {
      if (max_length > 0 && records_.length(i) > max_length) {
        ++skipped_;
        continue;
      }
      expect_room(records_, i, extra, c, c.has_decoder());
      all_.push_back(i);
    }
    require(!all_.empty(), records_.name(), ": no records of at most --max-length tokens");
    fingerprint_ = with_option(records_.fingerprint(), max_length);
  }

 protected:
  RecordSet records_;
};

}  // namespace pipeformer
