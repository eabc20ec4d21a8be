#include "metrics/bleu.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "core/elementary.hpp"
#include "metrics/ngrams.hpp"

namespace pipeformer {
namespace {

// The statistics: matches of orders 1 to 4, candidates, words of the hypothesis, words of the reference.
constexpr std::size_t candidates_at = Bleu::max_order, hypothesis_at = 2 * Bleu::max_order,
                      reference_at = hypothesis_at + 1;

double brevity_penalty(std::span<const double> sums) {
  const double hypothesis = sums[hypothesis_at], reference = sums[reference_at];
  if (hypothesis >= reference) return 1.0;
  return hypothesis == 0.0 ? 0.0 : elementary::exp(1.0 - reference / hypothesis);
}

bool any_match(std::span<const double> sums) {
  return std::any_of(sums.begin(), sums.begin() + Bleu::max_order, [](double matches) { return matches > 0.0; });
}

}  // namespace

void Bleu::count(const Segment& segment, std::span<double> statistics) const {
  WordNumbers numbers;
  const Words hypothesis_words(tokenized(segment.hypothesis, options_.tokens));
  const Symbols hypothesis = numbers.numbers(hypothesis_words.list());
  std::vector<std::unique_ptr<Words>> reference_words;
  std::vector<Symbols> references;
  for (const std::string_view line : segment.references) {
    reference_words.push_back(std::make_unique<Words>(tokenized(line, options_.tokens)));
    references.push_back(numbers.numbers(reference_words.back()->list()));
  }
  std::array<std::int64_t, max_order> shared{};
  shared_ngrams(hypothesis, references, shared);
  for (std::size_t n = 1; n <= max_order; ++n) {
    statistics[n - 1] = static_cast<double>(shared[n - 1]);
    statistics[candidates_at + n - 1] = static_cast<double>(ngram_count(hypothesis.size(), n));
  }
  const auto length = static_cast<std::int64_t>(hypothesis.size());
  const auto distance = [length](const Symbols& r) { return std::abs(static_cast<std::int64_t>(r.size()) - length); };
  const auto closest = std::min_element(references.begin(), references.end(), [&](const Symbols& a, const Symbols& b) {
    return std::pair(distance(a), a.size()) < std::pair(distance(b), b.size());
  });
  statistics[hypothesis_at] = static_cast<double>(length);
  statistics[reference_at] = static_cast<double>(closest->size());
}

double Bleu::precision(std::span<const double> sums, std::size_t order) const {
  if (!any_match(sums)) return 0.0;
  const bool add = options_.smoothing == BleuSmoothing::add_k && order > 1;
  const double matches = sums[order - 1] + (add ? options_.smoothing_value : 0.0);
  const double candidates = sums[candidates_at + order - 1] + (add ? options_.smoothing_value : 0.0);
  if (candidates == 0.0) return 0.0;
  if (matches > 0.0) return 100.0 * matches / candidates;
  if (options_.smoothing == BleuSmoothing::floor) return 100.0 * options_.smoothing_value / candidates;
  if (options_.smoothing != BleuSmoothing::exp) return 0.0;
  double halvings = 1.0;
  for (std::size_t n = 1; n <= order; ++n) halvings *= sums[n - 1] == 0.0 ? 2.0 : 1.0;
  return 100.0 / (halvings * candidates);
}

double Bleu::score_of(std::span<const double> sums) const {
  double log_sum = 0.0;
  std::size_t orders = 0;
  for (std::size_t n = 1; n <= max_order; ++n) {
    // Add-k smoothing gives candidates to every order, also to those that the hypothesis is too short for.
    const bool add = options_.smoothing == BleuSmoothing::add_k && options_.smoothing_value > 0.0 && n > 1;
    if (options_.effective_order && sums[candidates_at + n - 1] == 0.0 && !add) break;
    const double p = precision(sums, n);
    if (p == 0.0) return 0.0;
    log_sum += elementary::log(p);
    ++orders;
  }
  return orders == 0 ? 0.0 : brevity_penalty(sums) * elementary::exp(log_sum / static_cast<double>(orders));
}

std::string Bleu::report_of(std::span<const double> sums) const {
  return formatted("BLEU %.2f (%.1f/%.1f/%.1f/%.1f, BP %.3f, ratio %.3f, hyp %.0f, ref %.0f)", score_of(sums),
                   precision(sums, 1), precision(sums, 2), precision(sums, 3), precision(sums, 4),
                   brevity_penalty(sums), ratio(sums[hypothesis_at], sums[reference_at]), sums[hypothesis_at],
                   sums[reference_at]);
}

}  // namespace pipeformer
