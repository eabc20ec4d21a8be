/// A training run in words, for its progress line.
#pragma once
#include <string>

#include "train/trainer.hpp"

namespace pipeformer {

/// Updates until a run ends at the latest; 0 when it has no bound.
std::int64_t training_steps(const TrainingSettings&, std::int64_t steps_per_epoch);
/// "epoch 3, loss 2.314, ppl 10.1, 9210 tokens/s"
std::string step_note(const TrainingState&, double loss, double tokens_per_second);
/// "step 500 epoch 3: loss 2.314, ppl 10.1, valid loss 2.1, valid ppl 8.2 (best), rate 0.00071, 9210 tokens/s"
std::string row_note(const LogRow&);
/// "12 of 29000 records for training are longer than --max-length and left out"
std::string skipped_note(const Examples&, const std::string& use);

}  // namespace pipeformer
