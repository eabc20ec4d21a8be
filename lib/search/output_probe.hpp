/// What a pass over outputs shows beside them: alignments, and the alternatives at each position.
#pragma once
#include <cstdint>
#include <vector>

#include "layers/context.hpp"
#include "search/candidates.hpp"

namespace pipeformer {

struct OutputView {
  Tap weights;                    ///< Of the cross-attention of the layer that aligns; no number: no alignments.
  Tap logits;                     ///< No number: no alternatives.
  std::int64_t alternatives = 0;  ///< How many at a position.
  const Probe* also = nullptr;    ///< Who sees, and may change, the pass before; may be null.
};

class OutputProbe : public Probe {
 public:
  /// What there is of one sequence, of all its rows: row t predicts token t.
  struct Seen {
    /// The source position that the heads look at most, on average; of equals the first.
    std::vector<std::int32_t> alignment;
    /// (rows, alternatives): the likeliest tokens, best first, and their log-probabilities; -1 and -infinity where
    /// there are not so many.
    std::vector<std::int32_t> tokens;
    std::vector<float> log_probabilities;
  };

  explicit OutputProbe(const OutputView& view) : view_(view) {}
  bool wants(Tap tap) const override {
    return tap.id >= 0 &&
           (tap.id == view_.weights.id || tap.id == view_.logits.id || (view_.also && view_.also->wants(tap)));
  }
  void rows(Tap, const TapRows&) const override;
  void matrix(Tap, const TapMatrix&) const override;
  void ids(Tap embeddings, const std::int32_t* ids, const Ragged& ragged) const override {
    if (view_.also) view_.also->ids(embeddings, ids, ragged);
  }
  /// The sequences that were seen since the last call, in order.
  std::vector<Seen> take() const;

 private:
  void finish_alignment() const;
  OutputView view_;
  // Those who show it something know a constant probe.
  mutable std::vector<Seen> aligned_, ranked_;
  mutable std::vector<float> sums_;  ///< (queries, keys) over the heads, of the last of aligned_.
  mutable std::int64_t keys_ = 0;
};

}  // namespace pipeformer
