/// The log of a training run: TSV, one row now and then, for pandas and gnuplot.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pipeformer {

/// One row. Losses are means per answer (target token, masked token, class) in nats, the training loss with label
/// smoothing; NaN where not measured.
struct LogRow {
  std::int64_t step, epoch;  ///< The epoch of the last update, from 1.
  double train_loss, train_perplexity, valid_loss, valid_perplexity, learning_rate, tokens_per_second, seconds;
  double valid_accuracy;  ///< Share of the answers that are the likeliest.
  double valid_bleu;      ///< In percent, when it is what training looks at.
  /// Of pairs, in place of the accuracy, which is the mean of the first and the fourth: the shares of targets that are
  /// among the best 1, 5 and 10 for their source, and of sources for their target.
  std::vector<double> valid_recall;
  bool best;      ///< The best validation so far.
  bool smoothed;  ///< The training loss is with label smoothing; perplexities never are.
};

class TrainingLog {
 public:
  /// Goes on with the log up to a step: a resumed run begins at its checkpoint, so rows written after it are taken
  /// back. An empty path: no log. of_pairs: rows have recalls.
  TrainingLog(std::string path, std::int64_t last_step, bool of_pairs);
  void append(const LogRow&) const;

 private:
  std::string path_;
  bool of_pairs_;
};

}  // namespace pipeformer
