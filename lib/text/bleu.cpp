#include "text/bleu.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "text/utf8.hpp"

namespace pipeformer {
namespace {

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    at += step.length;
    if (is_unicode_space(step.code)) {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    inside = true;
    append_utf8(words.back(), step.code);
  }
  return words;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_stop(char c) {
  return c == '.' || c == ',';
}

/// ASCII punctuation and symbols except the apostrophe, comma, full stop and hyphen; the space too, which makes no
/// difference.
bool is_mark(char c) {
  return (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~') || c == '/';
}

/// The substitutions of mteval-v13a, each over the whole line before the next, matches not overlapping. They look at
/// ASCII only, so bytes will do for characters.
std::string mteval_13a(std::string_view line) {
  std::string text(line);
  replace_all(text, "<skipped>", "");
  if (text.find('&') != std::string::npos) {
    replace_all(text, "&quot;", "\"");
    replace_all(text, "&amp;", "&");
    replace_all(text, "&lt;", "<");
    replace_all(text, "&gt;", ">");
  }
  text = " " + text + " ";

  std::string out;
  for (const char c : text) {
    if (is_mark(c)) {
      out.append({' ', c, ' '});
    } else {
      out.push_back(c);
    }
  }
  // Two characters that match `first` and `second` become `joined`: each pair consumed whole.
  const auto substitute_pairs = [&text, &out](auto first, auto second, auto join) {
    text.swap(out);
    out.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (i + 1 < text.size() && first(text[i]) && second(text[i + 1])) {
        join(text[i], text[i + 1]);
        ++i;
      } else {
        out.push_back(text[i]);
      }
    }
  };
  const auto not_digit = [](char c) { return !is_digit(c); };
  substitute_pairs(not_digit, is_stop, [&out](char a, char b) { out.append({a, ' ', b, ' '}); });
  substitute_pairs(is_stop, not_digit, [&out](char a, char b) { out.append({' ', a, ' ', b}); });
  substitute_pairs(
      is_digit, [](char c) { return c == '-'; },
      [&out](char a, char b) {
        out.append({a, ' ', b, ' '});
      });
  return out;
}

using Counts = std::unordered_map<std::string, std::int64_t>;

/// Sum over the n-grams of the hypothesis of min(its count, the reference's count).
std::int64_t clipped_matches(const Counts& hypothesis, const Counts& reference) {
  std::int64_t matches = 0;
  for (const auto& [gram, count] : hypothesis) {
    const auto found = reference.find(gram);
    if (found != reference.end()) matches += std::min(count, found->second);
  }
  return matches;
}

Counts ngrams(const std::vector<std::string>& words, std::size_t order) {
  Counts counts;
  for (std::size_t i = 0; i + order <= words.size(); ++i) {
    std::string gram;
    for (std::size_t k = i; k < i + order; ++k) gram.append(words[k]).push_back(' ');  // No word holds a space.
    ++counts[gram];
  }
  return counts;
}

std::vector<std::string> visible_characters(std::string_view line) {
  std::vector<std::string> characters;
  for (std::size_t at = 0; at < line.size();) {
    const Utf8Step step = utf8_step(line, at);
    at += step.length;
    if (is_unicode_space(step.code)) continue;
    append_utf8(characters.emplace_back(), step.code);
  }
  return characters;
}

std::int64_t ngram_count(std::size_t length, int order) {
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(length) - order + 1);
}

double ratio(std::int64_t a, std::int64_t b) {
  return b ? static_cast<double>(a) / static_cast<double>(b) : 0.0;
}

}  // namespace

std::vector<std::string> bleu_words(std::string_view line, BleuTokens tokens) {
  return split_words(tokens == BleuTokens::mteval13a ? mteval_13a(line) : std::string(line));
}

void Bleu::add(std::string_view hypothesis, std::string_view reference) {
  const std::vector<std::string> hypothesis_words = bleu_words(hypothesis, tokens_);
  const std::vector<std::string> reference_words = bleu_words(reference, tokens_);
  hypothesis_length_ += static_cast<std::int64_t>(hypothesis_words.size());
  reference_length_ += static_cast<std::int64_t>(reference_words.size());
  for (int order = 1; order <= max_order; ++order) {
    const auto n = static_cast<std::size_t>(order);
    matches_[n - 1] += clipped_matches(ngrams(hypothesis_words, n), ngrams(reference_words, n));
    candidates_[n - 1] += ngram_count(hypothesis_words.size(), order);
  }
}

double Bleu::precision(int order) const {
  if (std::all_of(matches_.begin(), matches_.end(), [](std::int64_t m) { return m == 0; })) return 0.0;
  double halvings = 1.0;
  for (int n = 1; n < order; ++n) {
    if (matches_[static_cast<std::size_t>(n) - 1] == 0) halvings *= 2.0;
  }
  const auto i = static_cast<std::size_t>(order) - 1;
  if (candidates_[i] == 0) return 0.0;
  if (matches_[i] == 0) return 100.0 / (2.0 * halvings * static_cast<double>(candidates_[i]));
  return 100.0 * ratio(matches_[i], candidates_[i]);
}

double Bleu::brevity_penalty() const {
  if (hypothesis_length_ >= reference_length_) return 1.0;
  return hypothesis_length_ == 0 ? 0.0 : std::exp(1.0 - ratio(reference_length_, hypothesis_length_));
}

double Bleu::length_ratio() const {
  return ratio(hypothesis_length_, reference_length_);
}

double Bleu::score() const {
  double log_sum = 0.0;
  for (int order = 1; order <= max_order; ++order) {
    const double p = precision(order);
    if (p == 0.0) return 0.0;
    log_sum += std::log(p);
  }
  return brevity_penalty() * std::exp(log_sum / max_order);
}

void Chrf::add(std::string_view hypothesis, std::string_view reference) {
  const std::vector<std::string> hypothesis_characters = visible_characters(hypothesis);
  const std::vector<std::string> reference_characters = visible_characters(reference);
  for (int order = 1; order <= max_order; ++order) {
    const auto n = static_cast<std::size_t>(order);
    const std::int64_t in_reference = ngram_count(reference_characters.size(), order);
    // sacreBLEU leaves a line's n-grams out where its reference is too short to have any.
    if (in_reference == 0) continue;
    hypothesis_[n - 1] += ngram_count(hypothesis_characters.size(), order);
    reference_[n - 1] += in_reference;
    matches_[n - 1] += clipped_matches(ngrams(hypothesis_characters, n), ngrams(reference_characters, n));
  }
}

double Chrf::score() const {
  double precision = 0.0, recall = 0.0;
  int orders = 0;
  for (std::size_t i = 0; i < max_order; ++i) {
    if (hypothesis_[i] == 0 || reference_[i] == 0) continue;
    precision += ratio(matches_[i], hypothesis_[i]);
    recall += ratio(matches_[i], reference_[i]);
    ++orders;
  }
  if (orders == 0 || precision + recall == 0.0) return 0.0;
  precision /= orders;
  recall /= orders;
  return 100.0 * 5.0 * precision * recall / (4.0 * precision + recall);
}

}  // namespace pipeformer
