/// What a probe sees, to a file: of each name that is asked for a stream with one record for each sequence, (T, width),
/// or (heads, Tq, Tk) for attention scores and weights.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/hdf5_stream.hpp"
#include "layers/context.hpp"

namespace pipeformer {

/// The taps whose names match a pattern ('*' any characters, also '/'; '?' one; [abc]). Throws UsageError when there
/// are none; `what` begins the message.
std::vector<Tap> matching_taps(const TapList&, const std::string& pattern, const std::string& what);

class TapWriter {
 public:
  /// To an HDF5 file or, FILE.h5:GROUP, to a group of one, each stream below its name. A file of another suffix is the
  /// stream of the one name that the patterns match. No pattern: everything. Throws UsageError.
  TapWriter(const std::string& address, const std::vector<std::string>& patterns, const TapList&);

  bool wants(Tap tap) const { return wanted_[static_cast<std::size_t>(tap.id)]; }
  void rows(Tap, const TapRows&);
  /// A part of a record; the parts come in the order of heads and rows.
  void matrix(Tap, const TapMatrix&);
  /// Empty records, (0, width) or (heads, 0, 0), of the layer that a tap is of, so that records of all streams stay in
  /// step.
  void left_out(Tap of_layer, const Ragged&, bool gradients);
  /// The ids of the side that embeddings belong to, in HDF5: the stream "encoder/ids" or "decoder/ids".
  void ids(Tap embeddings, const std::int32_t* ids, const Ragged&);
  /// What comes from now on is written below a group of that name. Throws UsageError without an HDF5 file.
  void begin_group(const std::string& name);
  /// Finishes the file, after a run over so many sequences. Throws Error when a pattern matched nothing that was
  /// computed.
  void close(std::int64_t sequences);

 private:
  Hdf5Stream& stream(Tap);
  std::string below(const std::string& name) const { return group_.empty() ? name : group_ + "/" + name; }
  void finish_group();

  const TapList& list_;
  std::vector<std::string> patterns_;
  std::vector<bool> wanted_, seen_;
  std::optional<Hdf5File> file_;
  std::string root_, group_;  ///< Of the file: for all its streams, for those that come now.
  std::vector<std::unique_ptr<Hdf5Stream>> streams_;
  std::map<std::int32_t, Hdf5Stream> ids_;  ///< By the tap of the embeddings.
  std::unique_ptr<RecordWriter> writer_;    ///< Of one name, where there is no file.
  std::vector<float> record_;               ///< Its record, as far as it came.
};

}  // namespace pipeformer
