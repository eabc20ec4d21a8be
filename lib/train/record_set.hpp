/// Training data: the records of one or several streams, with random access; mapped, so that they may be larger than
/// memory.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/mapped_records.hpp"

namespace pipeformer {

/// Sequences of ids (T,), or of vectors (T, width). Leading axes are batch axes: a record (B, T, D) is B sequences.
class RecordSet {
 public:
  /// Opens all streams, one after another. Throws Error naming the stream that is of another kind or width than those
  /// before it, the record that holds NaN or infinity, and the streams when they hold no records at all.
  static RecordSet open(const std::vector<std::string>& addresses);

  /// Takes the types of the ids, record for record. Throws Error when they do not fit or a type is not below `types`.
  void attach_types(RecordSet of_ids, std::int64_t types);

  /// Throws Error naming the record unless the set holds ids of this vocabulary.
  void expect_ids(std::int64_t vocabulary) const;
  /// Throws Error naming the streams unless the set holds vectors of this width.
  void expect_vectors(std::int64_t width) const;

  /// How many sequences there are up to the end of each of the streams that were opened.
  const std::vector<std::int64_t>& ends() const { return ends_; }
  std::int64_t records() const { return static_cast<std::int64_t>(sequences_.size()); }
  std::int64_t length(std::int64_t r) const { return sequences_[static_cast<std::size_t>(r)].length; }
  std::int64_t width() const { return width_; }  ///< 0 for ids.
  const std::int32_t* ids(std::int64_t r) const { return static_cast<const std::int32_t*>(start(r)); }
  /// Those of the ids; null: all are 0.
  const std::int32_t* types(std::int64_t r) const { return types_ ? types_->ids(r) : nullptr; }
  const float* vectors(std::int64_t r) const { return static_cast<const float*>(start(r)); }
  const std::string& name() const { return name_; }  ///< For messages: the addresses.
  std::string where(std::int64_t r) const;           ///< "x.npy: record 3", the record that holds sequence r.
  /// A number that other records almost surely do not have.
  std::uint64_t fingerprint() const { return fingerprint_; }

 private:
  struct Sequence {
    const void* start;
    std::int64_t length;
  };
  void add(MappedRecords stream);
  const void* start(std::int64_t r) const { return sequences_[static_cast<std::size_t>(r)].start; }

  std::string name_;
  std::vector<MappedRecords> streams_;  ///< Those that hold records.
  std::vector<Sequence> sequences_;
  std::vector<std::int64_t> ends_;
  std::shared_ptr<const RecordSet> types_;
  std::int64_t width_ = 0;
  std::uint64_t fingerprint_ = 0;
};

}  // namespace pipeformer
