#include "train/report.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "core/elementary.hpp"
#include "core/error.hpp"

namespace pipeformer {
namespace {

std::string digits(double value, int significant) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out.precision(significant);
  out << value;
  return out.str();
}

/// Both over the same updates; a perplexity is that of the loss without smoothing, and says so beside one with it.
std::string loss_and_perplexity(double loss, double perplexity, bool smoothed) {
  std::string text = cat("loss ", digits(loss, 4), smoothed ? " (smoothed)" : "");
  if (std::isnan(perplexity)) return text;
  return cat(text, ", ppl ", digits(perplexity, 4), smoothed ? " (unsmoothed)" : "");
}

std::string percent(double share) {
  return digits(100 * share, 4);
}

/// "recall@1 91.2/90.7, ... %": of targets by their sources, of sources by their targets.
std::string recall_note(const std::vector<double>& recall) {
  std::string text;
  for (std::size_t k = 0; k < kRecallDepths.size(); ++k)
    text += cat(k == 0 ? "recall" : ", ", "@", kRecallDepths[k], " ", percent(recall[k]), "/",
                percent(recall[kRecallDepths.size() + k]));
  return text + " %";
}

}  // namespace

std::int64_t training_steps(const TrainingSettings& settings, std::int64_t steps_per_epoch) {
  const std::int64_t by_epochs = settings.max_epochs * steps_per_epoch;
  if (settings.max_steps == 0) return by_epochs;
  return by_epochs == 0 ? settings.max_steps : std::min(settings.max_steps, by_epochs);
}

std::string step_note(const Trainer& trainer, bool smoothed) {
  const TrainingState& state = trainer.state();
  const double weight = state.window_weight > 0 ? state.window_weight : 1;
  const double perplexity = trainer.predicts_probabilities() ? elementary::exp(state.window_nll / weight)
                                                             : std::numeric_limits<double>::quiet_NaN();
  return cat("epoch ", state.current_epoch(), ", ",
             loss_and_perplexity(state.window_loss / weight, perplexity, smoothed), ", ",
             std::llround(tokens_per_second(state)), " tokens/s");
}

std::string row_note(const LogRow& row) {
  std::string text = cat("step ", row.step, " epoch ", row.epoch);
  if (!std::isnan(row.train_loss))
    text += cat(": ", loss_and_perplexity(row.train_loss, row.train_perplexity, row.smoothed), ", ",
                std::llround(row.tokens_per_second), " tokens/s");
  if (!std::isnan(row.valid_loss)) {
    text += cat(", valid loss ", digits(row.valid_loss, 4));
    if (!std::isnan(row.valid_perplexity)) text += cat(", valid ppl ", digits(row.valid_perplexity, 4));
    if (!row.valid_recall.empty())
      text += cat(", ", recall_note(row.valid_recall));
    else if (!std::isnan(row.valid_accuracy))
      text += cat(", accuracy ", percent(row.valid_accuracy), " %");
    text += cat(std::isnan(row.valid_bleu) ? "" : cat(", BLEU ", digits(row.valid_bleu, 4)), row.best ? " (best)" : "");
  }
  return text + cat(", learning rate ", digits(row.learning_rate, 3));
}

std::string resumed_note(const Trainer& trainer, const std::string& checkpoint) {
  return cat("going on at step ", trainer.state().step, " from ", checkpoint);
}

std::string trained_note(std::int64_t trained, std::int64_t all) {
  return cat("trains ", trained, " of ", all, " parameters (",
             digits(100.0 * static_cast<double>(trained) / static_cast<double>(all), 3), " %)");
}

std::string skipped_note(const Examples& examples, const std::string& use) {
  const auto left = static_cast<std::int64_t>(examples.all().size());
  return cat(examples.skipped(), " of ", left + examples.skipped(), " records for ", use,
             " are longer than --max-length and left out");
}

}  // namespace pipeformer
