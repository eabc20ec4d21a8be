/// Phrases: the sequences of ids that an output must, or must not, hold. A record of ids (n,) holds several, one after
/// another with -1 between them; an empty record holds none.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/array.hpp"
#include "io/stream.hpp"

namespace pipeformer {

using Phrases = std::vector<std::vector<std::int32_t>>;

class Packer;
class Unpacker;
/// Phrases on their way to another process, and there.
void pack(Packer&, const std::vector<Phrases>&);
void unpack(Unpacker&, std::vector<Phrases>&);

/// Splits a record at -1; what is empty between two of them is no phrase.
Phrases split_phrases(std::span<const std::int32_t> record);

/// A stream of such records beside the records of an input.
class PhraseStream {
 public:
  /// A stream of one record serves every record of the input. Ids must be below `vocabulary`.
  PhraseStream(const std::string& address, std::int64_t vocabulary);
  /// The phrases of each of the next `count` records of the input, or of a shared stream those of all. Throws Error
  /// naming a record that is not (n,) of ids in the vocabulary and -1, and when the stream ends before `input` does.
  std::vector<Phrases> next(std::int64_t count, const std::string& input);
  /// Passes over the phrases of the next `count` records, or all when there are fewer.
  void skip(std::int64_t count);
  /// After the last record of `input`: throws Error when there are more.
  void finish(const std::string& input);

 private:
  bool read(Phrases&);
  void begin();
  std::unique_ptr<RecordReader> reader_;
  std::int64_t vocabulary_;
  bool shared_ = true, begun_ = false;
  std::vector<Phrases> ahead_;  ///< Read, but not given yet; of a shared stream the one record.
};

}  // namespace pipeformer
