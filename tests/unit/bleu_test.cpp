#include "text/bleu.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

using namespace pipeformer;
using Words = std::vector<std::string>;

namespace {

Words words_13a(const std::string& line) {
  return bleu_words(line, BleuTokens::mteval13a);
}

double bleu(const std::string& hypothesis, const std::string& reference) {
  Bleu score;
  score.add(hypothesis, reference);
  return score.score();
}

double chrf(const std::string& hypothesis, const std::string& reference) {
  Chrf score;
  score.add(hypothesis, reference);
  return score.score();
}

}  // namespace

TEST_CASE("13a tokens", "[text]") {
  CHECK(words_13a("Hello, world!") == Words{"Hello", ",", "world", "!"});
  CHECK(words_13a("It's 3.14, or 1,000.50 (about).") ==
        Words{"It's", "3.14", ",", "or", "1,000.50", "(", "about", ")", "."});
  CHECK(words_13a("a-b 3-4 x-5") == Words{"a-b", "3", "-", "4", "x-5"});
  CHECK(words_13a("&quot;A&amp;B&quot; &lt;c&gt;") == Words{"\"", "A", "&", "B", "\"", "<", "c", ">"});
  CHECK(words_13a("&amp;lt;") == Words{"<"});  // The entities are replaced one kind after another.
  CHECK(words_13a("U.S. etc...") == Words{"U", ".", "S", ".", "etc", ".", ".", "."});
  CHECK(words_13a("5% of $7.50") == Words{"5", "%", "of", "$", "7.50"});
  CHECK(words_13a("ends 2005.") == Words{"ends", "2005", "."});
  CHECK(words_13a("„Grüße“, sagt’s") == Words{"„Grüße“", ",", "sagt’s"});
  CHECK(words_13a("  a\tb\u00A0c\u3000d ") == Words{"a", "b", "c", "d"});
  CHECK(words_13a("<skipped>x") == Words{"x"});
  CHECK(words_13a("").empty());
  CHECK(bleu_words("Hello, world! ", BleuTokens::none) == Words{"Hello,", "world!"});
}

TEST_CASE("BLEU of a sentence against itself is 100", "[text]") {
  CHECK(bleu("the cat sat on the mat", "the cat sat on the mat") == Approx(100.0));
}

TEST_CASE("BLEU by hand: clipped counts, smoothing, brevity", "[text]") {
  // Matches 5, 3, 1, 0 of 6, 5, 4, 3: the first zero counts as 1/2 of one match.
  Bleu one;
  one.add("the cat sat by the mat", "the cat sat on the mat");
  CHECK(one.precision(1) == Approx(100.0 * 5 / 6));
  CHECK(one.precision(2) == Approx(100.0 * 3 / 5));
  CHECK(one.precision(3) == Approx(100.0 * 1 / 4));
  CHECK(one.precision(4) == Approx(100.0 / (2 * 3)));
  CHECK(one.score() == Approx(100.0 * std::pow(5.0 / 6 * 3 / 5 * 1 / 4 * 1 / 6, 0.25)));

  // "the" seven times: clipped to the two of the reference; the higher orders halve again and again.
  Bleu clipped;
  clipped.add("the the the the the the the", "the cat is on the mat");
  CHECK(clipped.precision(1) == Approx(100.0 * 2 / 7));
  CHECK(clipped.precision(2) == Approx(100.0 / (2 * 6)));
  CHECK(clipped.precision(3) == Approx(100.0 / (4 * 5)));
  CHECK(clipped.precision(4) == Approx(100.0 / (8 * 4)));

  // Five words right of ten: only brevity counts.
  CHECK(bleu("a b c d e", "a b c d e f g h i j") == Approx(100.0 * std::exp(1.0 - 10.0 / 5.0)));
}

TEST_CASE("BLEU adds counts over the corpus", "[text]") {
  Bleu corpus;
  corpus.add("a b c d", "a b c d");
  corpus.add("x", "y z");
  CHECK(corpus.hypothesis_length() == 5);
  CHECK(corpus.reference_length() == 6);
  CHECK(corpus.precision(1) == Approx(100.0 * 4 / 5));
  CHECK(corpus.precision(4) == Approx(100.0));
  CHECK(corpus.brevity_penalty() == Approx(std::exp(1.0 - 6.0 / 5.0)));
  CHECK(corpus.score() == Approx(100.0 * std::exp(1.0 - 6.0 / 5.0) * std::pow(0.8, 0.25)));
}

TEST_CASE("BLEU is 0 without matches, without 4-grams and without words", "[text]") {
  CHECK(bleu("x y z w v", "a b c d e") == 0.0);
  CHECK(bleu("a b c", "a b c") == 0.0);  // No hypothesis has four words.
  CHECK(bleu("", "a b c d") == 0.0);
  CHECK(bleu("", "") == 0.0);
  CHECK(Bleu().score() == 0.0);
}

TEST_CASE("chrF by hand", "[text]") {
  CHECK(chrf("the cat", "the cat") == Approx(100.0));
  CHECK(chrf("thecat", "the cat") == Approx(100.0));  // White space is left out.
  // "abc" and "abd": orders 1 to 3 exist: matches 2/3, 1/2, 0/1 on both sides.
  const double mean = (2.0 / 3 + 1.0 / 2 + 0.0) / 3;
  CHECK(chrf("abc", "abd") == Approx(100.0 * mean));
  // "ab" and "abc": precision 2/2, 1/1; recall 2/3, 1/2; the reference's order 3 has no counterpart.
  const double recall = (2.0 / 3 + 1.0 / 2) / 2;
  CHECK(chrf("ab", "abc") == Approx(100.0 * 5 * recall / (4 + recall)));
  CHECK(chrf("äöü", "äöü") == Approx(100.0));  // Characters, not bytes: three orders, all equal.
  CHECK(chrf("ä", "ö") == 0.0);
  CHECK(chrf("", "abc") == 0.0);
  CHECK(chrf("abc", "") == 0.0);
}

TEST_CASE("accuracy is the share of equal lines", "[text]") {
  Accuracy accuracy;
  accuracy.add("a", "a");
  accuracy.add("a", "A");
  accuracy.add("", "");
  accuracy.add("b ", "b");
  CHECK(accuracy.score() == Approx(50.0));
  CHECK(accuracy.equal() == 2);
  CHECK(accuracy.lines() == 4);
}
