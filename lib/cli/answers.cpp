#include "cli/answers.hpp"

#include <cstdio>

#include "text/utf8.hpp"

namespace pipeformer {
namespace {

/// Characters [begin, end) of a line.
std::string cut(const std::string& line, const TextSpan& characters) {
  std::string text;
  std::int32_t character = 0;
  for (std::size_t at = 0; at < line.size(); ++character) {
    const std::size_t length = utf8_step(line, at).length;
    if (character >= characters.first && character < characters.last) text += line.substr(at, length);
    at += length;
  }
  return text;
}

}  // namespace

std::span<const std::int32_t> offsets_of(const Batch& batch, std::int64_t s) {
  return {batch.tokens.data() + 3 * batch.ragged().begin(s), static_cast<std::size_t>(3 * batch.ragged().length(s))};
}

void write_answer(RecordWriter& writer, const AnswerForm& form, const std::vector<FoundSpan>& best, const Batch& ids,
                  std::int64_t s, const Batch* offsets) {
  std::vector<std::int32_t> numbers;
  if (form.give == "scores") {
    std::vector<float> scores;
    for (const FoundSpan& f : best) scores.push_back(static_cast<float>(f.score));
    return writer.write(DType::f4, {std::ssize(scores)}, scores.data());
  }
  if (form.give == "ids") {
    const TextSpan span = best.front().span;
    const auto first = ids.tokens.begin() + ids.ragged().begin(s);
    if (span.last > 0) numbers.assign(first + span.first, first + span.last + 1);
    return writer.write(DType::i4, {std::ssize(numbers)}, numbers.data());
  }
  for (const FoundSpan& f : best) {
    const TextSpan span = form.give == "characters" ? characters_of(f.span, offsets_of(*offsets, s)) : f.span;
    numbers.insert(numbers.end(), {span.first, span.last});
  }
  writer.write(DType::i4, form.several ? Shape{std::ssize(best), 2} : Shape{2}, numbers.data());
}

std::string answer_line(const std::vector<FoundSpan>& best, bool several, const std::string& text,
                        std::span<const std::int32_t> offsets) {
  std::string line;
  for (const FoundSpan& f : best) {
    line += (line.empty() ? "" : "\t") + cut(text, characters_of(f.span, offsets));
    if (!several) continue;
    char number[32];
    std::snprintf(number, sizeof number, "\t%.6g", f.score);
    line += number;
  }
  return line + '\n';
}

}  // namespace pipeformer
