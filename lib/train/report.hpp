/// A training run in words, for its progress line.
#pragma once
#include <string>

#include "train/trainer.hpp"

namespace pipeformer {

/// Updates until a run ends at the latest; 0 when it has no bound.
std::int64_t training_steps(const TrainingSettings&, std::int64_t steps_per_epoch);
/// "epoch 3, loss 2.314, ppl 10.1, 9210 tokens/s": over the updates since the last row of the log; a squared error has
/// no perplexity.
std::string step_note(const Trainer&, bool smoothed);
/// "step 500 epoch 3: loss 2.314, ppl 10.1, valid loss 2.1, valid ppl 8.2 (best), rate 0.00071, 9210 tokens/s"; with
/// label smoothing "loss 2.9 (smoothed), ppl 10.1 (unsmoothed)". All over the updates since the last row.
std::string row_note(const LogRow&);
/// "going on at step 500 from m.h5.checkpoint.h5", and when the run's past was computed with other instructions, what
/// that means for its bits.
std::string resumed_note(const Trainer&, const std::string& checkpoint);
/// "trains 4096 of 1052672 parameters (0.389 %)"
std::string trained_note(std::int64_t trained, std::int64_t all);
/// "12 of 29000 records for training are longer than --max-length and left out"
std::string skipped_note(const Examples&, const std::string& use);

}  // namespace pipeformer
