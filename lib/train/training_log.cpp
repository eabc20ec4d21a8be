#include "train/training_log.hpp"

#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "core/error.hpp"
#include "io/output_file.hpp"

namespace pipeformer {
namespace {

constexpr const char* kHeader =
    "step\tepoch\ttrain_loss\ttrain_ppl\tvalid_loss\tvalid_ppl\tlearning_rate\ttokens_per_second\tseconds\t"
    "valid_accuracy\tvalid_bleu\n";

/// The first column; of what is no row, a step that never comes.
std::int64_t step_of(const std::string& row) {
  std::int64_t step = 0;
  const auto parsed = std::from_chars(row.data(), row.data() + row.size(), step);
  return parsed.ec == std::errc() ? step : std::numeric_limits<std::int64_t>::max();
}

}  // namespace

TrainingLog::TrainingLog(std::string path, std::int64_t last_step) : path_(std::move(path)) {
  if (path_.empty()) return;
  std::string kept = kHeader;
  std::ifstream in;
  if (!is_special_file(path_)) in.open(path_);  // a terminal or a pipe has nothing to keep, and reading it may not end
  if (std::string line; last_step > 0 && std::getline(in, line)) {
    require(line + "\n" == kHeader, path_, ": is no log of train, to go on with");
    while (std::getline(in, line) && !in.eof() && step_of(line) <= last_step) kept += line + "\n";
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
  for (const double value :
       {row.train_loss, row.train_perplexity, row.valid_loss, row.valid_perplexity, row.learning_rate,
        row.tokens_per_second, row.seconds, row.valid_accuracy, row.valid_bleu}) {
    text << '\t';
    if (!std::isnan(value)) text << value;
  }
  text << '\n';
  std::ofstream out(path_, std::ios::app);
  out << text.str() << std::flush;
  require(out.good(), path_, ": cannot be written");
}

}  // namespace pipeformer
