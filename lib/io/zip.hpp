/// Zip archives of entries that are stored, as torch.save and numpy.savez write them, or deflated (RFC 1951), in a
/// mapped file or in memory. Only what is needed to know where each entry's bytes lie: libzip gives a stream and not a
/// place, and a place is what mapping needs. Source: PKWARE's APPNOTE 6.3.9, sections 4.3 to 4.5.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/array.hpp"

namespace pipeformer {

struct ZipEntry {
  std::string name;
  std::uint64_t offset = 0, size = 0;  ///< Of the entry's bytes in the archive.
  bool deflated = false;
  std::uint64_t unpacked = 0;  ///< Bytes that it stands for: `size` when it is stored.
  std::uint32_t checksum = 0;  ///< CRC-32 of these.
};

enum class ZipMethods { stored, stored_and_deflated };

/// The entries of an archive, in the order of its directory; with ZIP64. Directory and entries must agree with each
/// other and lie within the file, apart from one another. Throws Error (without the file's name), also for entries that
/// are encrypted or compressed in other ways, an archive in several parts, and a name that stands twice. Checksums are
/// not looked at.
std::vector<ZipEntry> read_zip_directory(std::span<const std::byte> archive, ZipMethods methods = ZipMethods::stored);

/// The bytes that an entry of this archive stands for. Throws Error, about "it", when they cannot be inflated or
/// are damaged.
Buffer<std::byte> read_zip_entry(std::span<const std::byte> archive, const ZipEntry&);

/// True when bytes begin as an archive with an entry begins.
bool looks_like_zip(std::span<const std::byte>);

}  // namespace pipeformer
