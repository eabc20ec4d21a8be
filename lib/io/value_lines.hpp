/// Lines of text, or records as lines of their values, so that what compares lines takes records as well.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "io/stream.hpp"
#include "io/text_lines.hpp"

namespace pipeformer {

/// A text file, or a stream of records (NPY, HDF5), of which each is the line of its elements in C order, separated by
/// spaces: integers as they are, floating numbers with as many digits as tell their value. What the input is shows in
/// its first bytes, which are looked at with the first line.
class ValueLines {
 public:
  /// Opens a file or an address, "-" for standard input; throws Error naming it.
  explicit ValueLines(const std::string& address);

  /// The next line, valid until the next call; false at the end.
  bool next(std::string_view& line);
  std::int64_t count() const { return count_; }      ///< Lines or records read so far.
  const std::string& name() const { return name_; }  ///< "(stdin)" for "-".
  /// "labels.txt: line 3", from 1, or "labels.npy: record 2", from 0: the prefix of messages about one of them, of
  /// which `number` counts from 0.
  std::string where(std::int64_t number) const;

 private:
  void open();
  std::string address_, name_;
  std::unique_ptr<ByteSource> source_;  ///< Until it is known what it holds.
  std::unique_ptr<TextLines> text_;
  std::unique_ptr<RecordReader> records_;
  Array record_;
  std::string line_;
  std::int64_t count_ = 0;
};

}  // namespace pipeformer
