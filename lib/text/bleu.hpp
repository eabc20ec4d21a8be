/// Scores of translations against one reference: corpus BLEU and chrF as sacreBLEU computes them (Post 2018, "A Call
/// for Clarity in Reporting BLEU Scores"), and exact match. All scores are percentages, 0 to 100.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pipeformer {

/// How lines become words for BLEU: `mteval13a` is NIST's mteval-v13a as sacreBLEU has it, its default; `none` splits
/// at white space.
enum class BleuTokens { mteval13a, none };

/// Words of one line. Throws nothing; invalid UTF-8 counts as replacement characters.
std::vector<std::string> bleu_words(std::string_view line, BleuTokens tokens);

/// Corpus BLEU (Papineni et al. 2002), n = 1..4:  BP * exp(mean_n log p_n),  p_n = matches_n / candidates_n over the
/// whole corpus, matches clipped by the reference's counts; BP = 1 when hyp_length >= ref_length, else exp(1 -
/// ref_length / hyp_length). The k-th zero precision becomes 1 / (2^k candidates_n) ("exp" smoothing, mteval-v13a).
class Bleu {
 public:
  static constexpr int max_order = 4;

  explicit Bleu(BleuTokens tokens = BleuTokens::mteval13a) : tokens_(tokens) {}
  void add(std::string_view hypothesis, std::string_view reference);

  double score() const;
  /// In percent, smoothed; order 1..4. 0 when nothing matches at all, or no hypothesis is that long.
  double precision(int order) const;
  double brevity_penalty() const;
  double length_ratio() const;  ///< Hypothesis words per reference word; 0 without reference words.
  std::int64_t hypothesis_length() const { return hypothesis_length_; }
  std::int64_t reference_length() const { return reference_length_; }

 private:
  BleuTokens tokens_;
  std::array<std::int64_t, max_order> matches_{}, candidates_{};
  std::int64_t hypothesis_length_ = 0, reference_length_ = 0;
};

/// Corpus chrF2 (Popović 2015): character n-grams, n = 1..6, white space left out, beta = 2. Precision and recall are
/// averaged over the orders that both sides have, then combined:  F = (1 + beta^2) P R / (beta^2 P + R).
class Chrf {
 public:
  static constexpr int max_order = 6;

  void add(std::string_view hypothesis, std::string_view reference);
  double score() const;

 private:
  std::array<std::int64_t, max_order> hypothesis_{}, reference_{}, matches_{};
};

/// Share of lines that equal their reference byte for byte.
class Accuracy {
 public:
  void add(std::string_view hypothesis, std::string_view reference) {
    equal_ += hypothesis == reference;
    ++lines_;
  }
  double score() const { return lines_ ? 100.0 * static_cast<double>(equal_) / static_cast<double>(lines_) : 0.0; }
  std::int64_t equal() const { return equal_; }
  std::int64_t lines() const { return lines_; }

 private:
  std::int64_t equal_ = 0, lines_ = 0;
};

}  // namespace pipeformer
