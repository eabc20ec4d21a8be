#include "metrics/chrf.hpp"

#include <algorithm>

#include "metrics/ngrams.hpp"
#include "metrics/words.hpp"
#include "text/utf8.hpp"

namespace pipeformer {
namespace {

Symbols characters(std::string_view line, bool whitespace) {
  Symbols codes;
  codes.reserve(line.size());
  for (std::size_t at = 0; at < line.size();) {
    const Utf8Step step = utf8_step(line, at);
    at += step.length;
    if (whitespace || !is_unicode_space(step.code)) codes.push_back(step.code);
  }
  return codes;
}

/// Words with a mark of ASCII at the end, or else at the beginning, apart: "(so)" is "(so" and ")".
std::vector<std::string_view> words_and_marks(const Words& words) {
  std::vector<std::string_view> all;
  for (const std::string_view word : words.list()) {
    const bool one_character = utf8_step(word, 0).length == word.size();
    if (!one_character && is_ascii_punctuation(static_cast<unsigned char>(word.back()))) {
      all.insert(all.end(), {word.substr(0, word.size() - 1), word.substr(word.size() - 1)});
    } else if (!one_character && is_ascii_punctuation(static_cast<unsigned char>(word.front()))) {
      all.insert(all.end(), {word.substr(0, 1), word.substr(1)});
    } else {
      all.push_back(word);
    }
  }
  return all;
}

/// For each order: n-grams of the hypothesis, of the reference, shared.
void count_orders(const Symbols& hypothesis, const Symbols& reference, std::span<double> statistics) {
  std::vector<std::int64_t> shared(statistics.size() / 3);
  shared_ngrams(hypothesis, {&reference, 1}, shared);
  for (std::size_t n = 1; n <= shared.size(); ++n) {
    const std::int64_t in_reference = ngram_count(reference.size(), n);
    if (in_reference == 0) break;
    statistics[3 * n - 3] = static_cast<double>(ngram_count(hypothesis.size(), n));
    statistics[3 * n - 2] = static_cast<double>(in_reference);
    statistics[3 * n - 1] = static_cast<double>(shared[n - 1]);
  }
}

}  // namespace

void Chrf::count(const Segment& segment, std::span<double> statistics) const {
  const Symbols hypothesis = characters(segment.hypothesis, options_.whitespace);
  const auto in_characters = 3 * static_cast<std::size_t>(options_.char_order);
  double best = -1.0;
  std::vector<double> of_reference(size());
  for (const std::string_view line : segment.references) {
    std::fill(of_reference.begin(), of_reference.end(), 0.0);
    count_orders(hypothesis, characters(line, options_.whitespace), std::span(of_reference).first(in_characters));
    if (options_.word_order > 0) {
      const Words hypothesis_words{std::string(segment.hypothesis)}, reference_words{std::string(line)};
      WordNumbers numbers;
      count_orders(numbers.numbers(words_and_marks(hypothesis_words)),
                   numbers.numbers(words_and_marks(reference_words)), std::span(of_reference).subspan(in_characters));
    }
    if (segment.references.size() == 1) {
      std::copy(of_reference.begin(), of_reference.end(), statistics.begin());
    } else if (const double score = score_of(of_reference); score > best) {
      best = score;
      std::copy(of_reference.begin(), of_reference.end(), statistics.begin());
    }
  }
}

double Chrf::score_of(std::span<const double> sums) const {
  constexpr double epsilon = 1e-16;
  double precision = 0.0, recall = 0.0, smoothed = 0.0;
  int orders = 0;
  for (std::size_t i = 0; i < sums.size(); i += 3) {
    const bool both = sums[i] > 0.0 && sums[i + 1] > 0.0;
    const double p = sums[i] > 0.0 ? sums[i + 2] / sums[i] : epsilon;
    const double r = sums[i + 1] > 0.0 ? sums[i + 2] / sums[i + 1] : epsilon;
    smoothed += p == 0.0 && r == 0.0 ? epsilon : f_score(p, r, options_.beta);
    if (!both) continue;
    precision += p;
    recall += r;
    ++orders;
  }
  const std::size_t all_orders = sums.size() / 3;
  if (options_.eps_smoothing) return 100.0 * smoothed / static_cast<double>(all_orders);
  return orders == 0 ? 0.0 : 100.0 * f_score(precision / orders, recall / orders, options_.beta);
}

std::string Chrf::report_of(std::span<const double> sums) const {
  return formatted("chrF%s %.2f", std::string(static_cast<std::size_t>(options_.word_order), '+').c_str(),
                   score_of(sums));
}

}  // namespace pipeformer
