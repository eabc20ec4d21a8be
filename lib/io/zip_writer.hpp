/// Zip archives written from front to back, to pipes too: every entry's size is known when its header is written. No
/// time, no owner: the same entries are the same bytes (deflated ones with the same zlib). Source: PKWARE's APPNOTE
/// 6.3.9.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/output_file.hpp"

namespace pipeformer {

class ZipWriter {
 public:
  /// Entries are stored, or deflated.
  ZipWriter(OutputFile& out, bool deflate) : out_(out), deflate_(deflate) {}
  /// An entry of several parts, one after another. The name is UTF-8.
  void add(const std::string& name, const std::vector<std::span<const std::byte>>& parts);
  /// Writes the directory. Must be called last.
  void finish();

 private:
  struct Entry {
    std::string name;
    std::uint32_t checksum;
    std::uint64_t size, packed, offset;
  };
  void write(const std::string& bytes);
  std::string common_fields(const Entry&) const;
  OutputFile& out_;
  bool deflate_;
  std::uint64_t position_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace pipeformer
