/// Destinations for the intermediates of a run (law 5): chosen ones to streams of their own, or whatever patterns
/// select to one HDF5 file.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/batch.hpp"
#include "io/hdf5_stream.hpp"
#include "layers/context.hpp"

namespace pipeformer {

class Dump : public Observer {
 public:
  Dump() = default;

  /// Writes every intermediate whose name matches a pattern ('*' any characters, also '/'; '?' one; [abc]) to an HDF5
  /// file or, FILE.h5:GROUP, to a group of one: below its name a stream with one record for each sequence, (T, width),
  /// or (heads, Tq, Tk) for attention weights. No pattern: everything.
  void add_file(const std::string& address, std::vector<std::string> patterns);

  /// Writes the intermediate `name` to an address of its own, one record for each record of `layout`, the batch that
  /// its rows belong to; for attention weights (..., heads, Tq, Tk), whose keys are those of `keys`. Both batches are
  /// the tool's, filled again and again.
  void add_stream(const std::string& name, const std::string& address, const Batch& layout, const Batch& keys);

  /// True when something is to be written.
  bool active() const { return file_ || !streams_.empty(); }
  /// Finishes all files. Throws Error when a pattern matched nothing although something was computed.
  void close();

  bool wants(const std::string& name) const override;
  void rows(const std::string& name, const float* x, std::int64_t width, const Ragged& ragged) override;
  void weights(const std::string& name, std::int64_t heads, const float* const* weights, const Ragged& queries,
               const Ragged& keys) override;

 private:
  struct Stream {
    std::string name;
    const Batch *layout, *keys;
    std::unique_ptr<RecordWriter> writer;
  };
  struct Pattern {
    std::string text;
    mutable bool used = false;
  };
  bool selected(const std::string& name) const;
  Hdf5Stream& file_stream(const std::string& name, bool any_shape);

  std::vector<Stream> streams_;
  std::optional<Hdf5File> file_;
  std::string group_;  ///< Of the file, for all its streams.
  std::vector<Pattern> patterns_;
  mutable std::vector<std::string>
      names_;  ///< Everything that was computed, for the message about a pattern without a match.
  std::vector<std::pair<std::string, Hdf5Stream>> groups_;
};

}  // namespace pipeformer
