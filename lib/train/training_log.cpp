#include "train/training_log.hpp"

#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "core/error.hpp"
#include "io/output_file.hpp"
#include "ops/pair_cross_entropy.hpp"

namespace pipeformer {
namespace {

constexpr const char* kColumns =
    "step\tepoch\ttrain_loss\ttrain_ppl\tvalid_loss\tvalid_ppl\tlearning_rate\ttokens_per_second\tseconds\t"
    "valid_accuracy\tvalid_bleu";

std::string header(bool of_pairs) {
  std::string text = kColumns;
  if (of_pairs)
    for (const char* side : {"target", "source"})
      for (const std::int64_t depth : kRecallDepths) text += cat("\tvalid_", side, "_recall_", depth);
  return text;
}

/// The first column; of what is no row, a step that never comes.
std::int64_t step_of(const std::string& row) {
  std::int64_t step = 0;
  const auto parsed = std::from_chars(row.data(), row.data() + row.size(), step);
  return parsed.ec == std::errc() ? step : std::numeric_limits<std::int64_t>::max();
}

}  // namespace

TrainingLog::TrainingLog(std::string path, std::int64_t last_step, bool of_pairs)
    : path_(std::move(path)), of_pairs_(of_pairs) {
  if (path_.empty()) return;
  const std::string columns = header(of_pairs_);
  std::string kept = columns + "\n";
  std::ifstream in;
  if (!is_special_file(path_)) in.open(path_);  // a terminal or a pipe has nothing to keep, and reading it may not end
  if (std::string line; last_step > 0 && std::getline(in, line)) {
    // A log of pairs that an older program began lacks the recalls: its rows have none.
    require(line == columns || (of_pairs_ && line == kColumns), path_, ": is no log of train, to go on with");
    const std::string missing(line == columns ? 0 : 2 * kRecallDepths.size(), '\t');
    while (std::getline(in, line) && !in.eof() && step_of(line) <= last_step) kept += line + missing + "\n";
  }
  OutputFile out(path_, Content::text);
  out.write(kept);
  out.close();
}

void TrainingLog::append(const LogRow& row) const {
  if (path_.empty()) return;
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text.precision(7);
  text << row.step << '\t' << row.epoch;
  std::vector<double> values{row.train_loss,       row.train_perplexity, row.valid_loss,
                             row.valid_perplexity, row.learning_rate,    row.tokens_per_second,
                             row.seconds,          row.valid_accuracy,   row.valid_bleu};
  values.insert(values.end(), row.valid_recall.begin(), row.valid_recall.end());
  if (of_pairs_) values.resize(9 + 2 * kRecallDepths.size(), std::numeric_limits<double>::quiet_NaN());
  for (const double value : values) {
    text << '\t';
    if (!std::isnan(value)) text << value;
  }
  text << '\n';
  std::ofstream out(path_, std::ios::app);
  out << text.str() << std::flush;
  require(out.good(), path_, ": cannot be written");
}

}  // namespace pipeformer
