/// Changes of intermediates on their way through a model: values put in their place (activation patching), taken out
/// (ablation), scaled, or added to (steering).
///
///   NAME[SEQUENCES;POSITIONS;HEADS]=VALUE
///
/// NAME may hold wildcards; each selection is numbers and ranges from 0 ("3", "0,2-4"), empty or left out for all.
/// Heads are columns of a row that stand side by side, or the matrices of attention scores and weights, whose positions
/// are those of the queries.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/array.hpp"
#include "core/selection.hpp"
#include "layers/context.hpp"

namespace pipeformer {

enum class Change { patch, ablate, scale, add };

/// Which sequences of a stream a run is over.
struct RunPart {
  std::int64_t first = 0;   ///< The number of its first one.
  std::int64_t count = -1;  ///< How many there are; -1: nobody knows yet.
  bool ends_early = false;  ///< The stream may have more.
  bool dealt = false;       ///< Other processes have some of them.
};

class Interventions {
 public:
  /// `list` must stay. mean_file: what --ablate-with says ("" : zeros).
  Interventions(const TapList& list, std::string mean_file, const RunPart& part)
      : list_(list), mean_file_(std::move(mean_file)), part_(part) {}

  /// One option's text; loads the values. Throws UsageError, or Error about a file.
  void add(Change, const std::string& text);
  /// What is changed: the name, and the option as the user gave it.
  std::vector<std::pair<std::string, std::string>> changed() const;
  bool touch(Tap tap) const {
    computing_.store(true, std::memory_order_relaxed);
    return by_tap_.count(tap.id) > 0;
  }
  /// Any number of threads at a time. Throws Error for shapes that do not match, naming both.
  void rows(Tap, const TapRows&) const;
  void matrix(Tap, const TapMatrix&) const;
  /// After a run over so many sequences. Throws Error for what was asked for and did not happen, as far as this part of
  /// a stream can tell.
  void close(std::int64_t sequences) const;

 private:
  struct Edit {
    Change change = Change::patch;
    std::string text;  ///< As the user gave it.
    std::string name;  ///< Of the tap.
    std::string file;
    Selection sequences, positions, heads;
    float factor = 0;
    bool everywhere = false;     ///< One vector, for all positions.
    std::vector<Array> records;  ///< f4
    /// What happened: the tap was computed, for a selected sequence, which had a selected position.
    struct Seen {
      std::atomic<bool> tap = false, sequence = false, position = false;
    };
    std::shared_ptr<Seen> seen = std::make_shared<Seen>();
  };
  void load(Edit&, const TapShape&) const;
  /// The values of a sequence; null where there are none.
  const Array* record(const Edit&, std::int64_t sequence) const;

  const TapList& list_;
  std::string mean_file_;
  RunPart part_;
  mutable std::atomic<bool> computing_ = false;  ///< Some intermediate was: not all sequences are empty.
  std::vector<Edit> edits_;
  std::map<std::int32_t, std::vector<std::size_t>> by_tap_;
};

}  // namespace pipeformer
