/// Training data: the records of one or several streams, with random access.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pipeformer {

/// Ids (T,), or vectors (T, width). Leading axes are batch axes: a record (B, T, D) counts as B examples.
class RecordSet {
 public:
  /// Reads all streams, one after another. Throws Error naming the record for ids outside the vocabulary.
  static RecordSet load_ids(const std::vector<std::string>& addresses, std::int64_t vocabulary);
  /// The same for vectors of one width; throws Error naming the record of another one.
  static RecordSet load_vectors(const std::vector<std::string>& addresses);

  std::int64_t records() const { return static_cast<std::int64_t>(offsets_.size()) - 1; }
  std::int64_t length(std::int64_t r) const {
    return offsets_[static_cast<std::size_t>(r) + 1] - offsets_[static_cast<std::size_t>(r)];
  }
  std::int64_t width() const { return width_; }  ///< 0 for ids.
  const std::int32_t* ids(std::int64_t r) const { return ids_.data() + offsets_[static_cast<std::size_t>(r)]; }
  const float* vectors(std::int64_t r) const {
    return vectors_.data() + offsets_[static_cast<std::size_t>(r)] * width_;
  }
  const std::string& name() const { return name_; }  ///< For messages: the addresses.
  /// A number that other records almost surely do not have.
  std::uint64_t fingerprint() const;

 private:
  std::string name_;
  std::vector<std::int32_t> ids_;
  std::vector<float> vectors_;
  std::vector<std::int64_t> offsets_{0};
  std::int64_t width_ = 0;
};

}  // namespace pipeformer
