#include "metrics/squad.hpp"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>

#include "metrics/ngrams.hpp"
#include "metrics/words.hpp"
#include "text/utf8.hpp"

namespace pipeformer {
namespace {

bool is_alphanumeric(char32_t code) {
  if (code < 0x80) return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || (code >= '0' && code <= '9');
  return (U_MASK(u_charType(static_cast<UChar32>(code))) & (U_GC_L_MASK | U_GC_N_MASK)) != 0;
}

}  // namespace

std::string normalized_answer(std::string_view line) {
  std::string text = lowercase_utf8(line);
  std::erase_if(text, [](char c) { return is_ascii_punctuation(static_cast<unsigned char>(c)); });
  // Letters and digits of all scripts make words; other marks, such as quotes that are not ASCII, stand between them.
  std::string out, word;
  const auto end_word = [&] {
    out += word == "a" || word == "an" || word == "the" ? " " : word;
    word.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    at += step.length;
    if (is_alphanumeric(step.code)) {
      append_utf8(word, step.code);
    } else {
      end_word();
      append_utf8(out, step.code);
    }
  }
  end_word();
  std::string spaced;
  const Words words(std::move(out));
  for (const std::string_view part : words.list()) {
    if (!spaced.empty()) spaced += ' ';
    spaced += part;
  }
  return spaced;
}

namespace {

double shared_words_f1(const std::string& answer, const std::string& right) {
  const Words answer_words(answer), right_words(right);
  if (answer_words.list().empty() || right_words.list().empty()) return answer == right ? 1.0 : 0.0;
  WordNumbers numbers;
  const Symbols a = numbers.numbers(answer_words.list()), r = numbers.numbers(right_words.list());
  std::array<std::int64_t, 1> shared{};
  shared_ngrams(a, {&r, 1}, shared);
  const auto both = static_cast<double>(shared[0]);
  return f_score(both / static_cast<double>(a.size()), both / static_cast<double>(r.size()));
}

}  // namespace

void AnswerMatches::count(const Segment& segment, std::span<double> statistics) const {
  std::vector<std::string> right;
  for (const std::string_view line : segment.references) {
    if (std::string answer = normalized_answer(line); !answer.empty()) right.push_back(std::move(answer));
  }
  const bool answerable = !right.empty();
  if (!answerable) right.emplace_back();
  const std::string answer = normalized_answer(segment.hypothesis);
  double best = 0.0;
  for (const std::string& r : right) {
    best = std::max(best, match_ == AnswerMatch::f1 ? shared_words_f1(answer, r) : answer == r ? 1.0 : 0.0);
  }
  statistics[answerable ? 0 : 2] = best;
  statistics[answerable ? 1 : 3] = 1.0;
}

std::string AnswerMatches::report_of(std::span<const double> sums) const {
  std::string line = formatted("%s %.2f (%.0f questions", match_ == AnswerMatch::f1 ? "answer F1" : "exact match",
                               score_of(sums), sums[1] + sums[3]);
  if (sums[3] > 0.0) {
    line += formatted("; %.2f of %.0f with an answer, %.2f of %.0f without", 100.0 * ratio(sums[0], sums[1]), sums[1],
                      100.0 * ratio(sums[2], sums[3]), sums[3]);
  }
  return line + ")";
}

}  // namespace pipeformer
