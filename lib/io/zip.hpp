/// Zip archives of stored (uncompressed) entries, as torch.save writes them, found in a mapped file. Only what is
/// needed to know where each entry's bytes lie: libzip gives a stream and not a place, and a place is what mapping
/// needs. Source: PKWARE's APPNOTE 6.3.9, sections 4.3 to 4.5.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pipeformer {

struct ZipEntry {
  std::string name;
  std::uint64_t offset = 0, size = 0;  ///< Of the entry's bytes in the archive.
};

/// The entries of an archive, in the order of its directory; with ZIP64. Directory and entries must agree with each
/// other and lie within the file, apart from one another. Throws Error (without the file's name), also for compressed
/// or encrypted entries, an archive in several parts, and a name that stands twice. Checksums are not looked at.
std::vector<ZipEntry> read_zip_directory(std::span<const std::byte> archive);

/// True when bytes begin as an archive with an entry begins.
bool looks_like_zip(std::span<const std::byte>);

}  // namespace pipeformer
