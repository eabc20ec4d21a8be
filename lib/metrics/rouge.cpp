#include "metrics/rouge.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <deque>

#include "metrics/ngrams.hpp"
#include "metrics/porter_stemmer.hpp"
#include "text/utf8.hpp"

namespace pipeformer {
namespace {

/// Numbers for the words of lines that are compared.
class RougeWords {
 public:
  explicit RougeWords(bool stemmer) : stemmer_(stemmer) {}

  Symbols numbers(std::string_view line) {
    const std::string& text = texts_.emplace_back(lowercase_utf8(line));
    Symbols numbers;
    const auto is_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    for (std::size_t at = 0; at < text.size(); ++at) {
      const std::size_t begin = at;
      while (at < text.size() && is_word(text[at])) ++at;
      if (at == begin) continue;
      std::string_view word = std::string_view(text).substr(begin, at - begin);
      if (stemmer_ && word.size() > 3) word = texts_.emplace_back(porter_stem(word));
      numbers.push_back(words_.number(word));
    }
    return numbers;
  }

 private:
  bool stemmer_;
  std::deque<std::string> texts_;
  WordNumbers words_;
};

/// The length of the longest common subsequence, a row of its table as bits (Hyyrö 2004): bit j is 0 where the length
/// grows by one from j to j + 1 words of b.
std::int64_t lcs_length(const Symbols& a, const Symbols& b) {
  if (a.empty() || b.empty()) return 0;
  const std::size_t blocks = (b.size() + 63) / 64;
  const std::uint32_t most = *std::max_element(b.begin(), b.end());
  std::vector<std::uint64_t> places((most + std::size_t{1}) * blocks), row(blocks, ~std::uint64_t{0});
  for (std::size_t j = 0; j < b.size(); ++j) places[b[j] * blocks + j / 64] |= std::uint64_t{1} << (j % 64);
  for (const std::uint32_t word : a) {
    if (word > most) continue;
    std::uint64_t carry = 0;
    for (std::size_t k = 0; k < blocks; ++k) {
      const std::uint64_t shared = row[k] & places[word * blocks + k];
      const std::uint64_t partial = row[k] + shared, sum = partial + carry;
      carry = static_cast<std::uint64_t>(partial < shared) | static_cast<std::uint64_t>(sum < partial);
      row[k] = sum | (row[k] & ~shared);
    }
  }
  std::int64_t length = 0;
  for (std::size_t k = 0; k < blocks; ++k) {
    const std::size_t bits = std::min<std::size_t>(64, b.size() - 64 * k);
    length += static_cast<std::int64_t>(bits) -
              std::popcount(bits == 64 ? row[k] : row[k] & ((std::uint64_t{1} << bits) - 1));
  }
  return length;
}

/// Marks the words of `reference` in one longest common subsequence; of several the one that the reference
/// implementation finds from the end: back along the reference first.
void mark_lcs(const Symbols& reference, const Symbols& sentence, std::vector<char>& marks) {
  const std::size_t width = sentence.size() + 1;
  std::vector<std::int32_t> table((reference.size() + 1) * width);
  for (std::size_t i = 1; i <= reference.size(); ++i) {
    for (std::size_t j = 1; j <= sentence.size(); ++j) {
      table[i * width + j] = reference[i - 1] == sentence[j - 1]
                                 ? table[(i - 1) * width + j - 1] + 1
                                 : std::max(table[(i - 1) * width + j], table[i * width + j - 1]);
    }
  }
  for (std::size_t i = reference.size(), j = sentence.size(); i > 0 && j > 0;) {
    if (reference[i - 1] == sentence[j - 1]) {
      marks[i - 1] = 1;
      --i;
      --j;
    } else if (table[i * width + j - 1] > table[(i - 1) * width + j]) {
      --j;
    } else {
      --i;
    }
  }
}

std::vector<Symbols> sentences(std::string_view line, const std::string& separator, RougeWords& words) {
  std::vector<Symbols> all;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = separator.empty() ? line.size() : std::min(line.find(separator, begin), line.size());
    all.push_back(words.numbers(line.substr(begin, end - begin)));
    begin = end + std::max<std::size_t>(1, separator.size());
  }
  return all;
}

struct Shared {
  std::int64_t shared = 0, in_hypothesis = 0, in_reference = 0;
};

Shared summary_level(const std::vector<Symbols>& hypothesis, const std::vector<Symbols>& reference) {
  Shared s;
  std::vector<std::int64_t> left_in_hypothesis, left_in_reference;
  const auto count = [](const std::vector<Symbols>& side, std::vector<std::int64_t>& left, std::int64_t& total) {
    for (const Symbols& sentence : side) {
      for (const std::uint32_t word : sentence) {
        if (word >= left.size()) left.resize(word + std::size_t{1});
        ++left[word];
        ++total;
      }
    }
  };
  count(hypothesis, left_in_hypothesis, s.in_hypothesis);
  count(reference, left_in_reference, s.in_reference);
  for (const Symbols& right : reference) {
    std::vector<char> marks(right.size());
    for (const Symbols& sentence : hypothesis) mark_lcs(right, sentence, marks);
    for (std::size_t i = 0; i < right.size(); ++i) {
      if (!marks[i] || left_in_hypothesis[right[i]] == 0 || left_in_reference[right[i]] == 0) continue;
      ++s.shared;
      --left_in_hypothesis[right[i]];
      --left_in_reference[right[i]];
    }
  }
  return s;
}

}  // namespace

void Rouge::count(const Segment& segment, std::span<double> statistics) const {
  RougeWords words(options_.stemmer);
  const bool by_sentence = kind_ == RougeKind::lcs_summary;
  const std::size_t order = kind_ == RougeKind::bigrams ? 2 : 1;
  std::vector<Symbols> hypothesis = by_sentence ? sentences(segment.hypothesis, options_.sentence_break, words)
                                                : std::vector<Symbols>{words.numbers(segment.hypothesis)};
  double best = -1.0;
  for (const std::string_view line : segment.references) {
    Shared s;
    if (by_sentence) {
      s = summary_level(hypothesis, sentences(line, options_.sentence_break, words));
    } else {
      const Symbols reference = words.numbers(line);
      std::array<std::int64_t, 2> shared{};
      if (kind_ == RougeKind::lcs) {
        shared[0] = lcs_length(hypothesis[0], reference);
      } else {
        shared_ngrams(hypothesis[0], {&reference, 1}, std::span(shared).first(order));
      }
      s = {shared[order - 1], ngram_count(hypothesis[0].size(), order), ngram_count(reference.size(), order)};
    }
    const double precision = ratio(static_cast<double>(s.shared), static_cast<double>(s.in_hypothesis));
    const double recall = ratio(static_cast<double>(s.shared), static_cast<double>(s.in_reference));
    const double f = f_score(precision, recall);
    if (f <= best) continue;
    best = f;
    statistics[0] = precision;
    statistics[1] = recall;
    statistics[2] = f;
  }
  statistics[3] = 1.0;
}

std::string Rouge::report_of(std::span<const double> sums) const {
  const char* name = kind_ == RougeKind::unigrams  ? "ROUGE-1"
                     : kind_ == RougeKind::bigrams ? "ROUGE-2"
                     : kind_ == RougeKind::lcs     ? "ROUGE-L"
                                                   : "ROUGE-Lsum";
  return formatted("%s %.2f (P %.2f, R %.2f)", name, score_of(sums), 100.0 * ratio(sums[0], sums[3]),
                   100.0 * ratio(sums[1], sums[3]));
}

}  // namespace pipeformer
