#include "train/training_log.hpp"

#include <cmath>
#include <fstream>
#include <sstream>

#include "core/error.hpp"
#include "io/output_file.hpp"

namespace pipeformer {
namespace {

constexpr const char* kHeader =
    "step\tepoch\ttrain_loss\ttrain_ppl\tvalid_loss\tvalid_ppl\tlearning_rate\ttokens_per_second\tseconds\t"
    "valid_accuracy\tvalid_bleu\n";

}  // namespace

TrainingLog::TrainingLog(std::string path, std::int64_t last_step) : path_(std::move(path)) {
  if (path_.empty()) return;
  std::string kept = kHeader;
  std::ifstream in;
  if (!is_special_file(path_)) in.open(path_);  // a terminal or a pipe has nothing to keep, and reading it may not end
  std::string line;
  std::getline(in, line);  // the header
  while (last_step > 0 && std::getline(in, line) && !in.eof() && std::stoll("0" + line) <= last_step)
    kept += line + "\n";
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
