#include "metrics/metrics.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "core/threads.hpp"
#include "metrics/accuracy.hpp"
#include "metrics/entities.hpp"
#include "metrics/labels.hpp"
#include "metrics/multi_label.hpp"
#include "metrics/paired.hpp"
#include "metrics/porter_stemmer.hpp"
#include "metrics/regression.hpp"
#include "metrics/squad.hpp"
#include "metrics/ter.hpp"

using namespace pipeformer;
using Lines = std::vector<std::string>;

namespace {

Lines words(const std::string& line, BleuTokens tokens) {
  const Words words(tokenized(line, tokens));
  return {words.list().begin(), words.list().end()};
}
Lines words_13a(const std::string& line) {
  return words(line, BleuTokens::mteval13a);
}

/// Adds lines; references[r] is a file of references.
template <class M>
M&& added(M&& metric, const Lines& hypotheses, const std::vector<Lines>& references) {
  for (std::size_t i = 0; i < hypotheses.size(); ++i) {
    std::vector<std::string_view> right;
    for (const Lines& file : references) right.push_back(file[i]);
    const Segment segment{hypotheses[i], right};
    metric.add({&segment, 1});
  }
  return std::forward<M>(metric);
}
template <class M>
double scored(M&& metric, const Lines& hypotheses, const std::vector<Lines>& references) {
  return added(metric, hypotheses, references).score();
}

double bleu(const std::string& hypothesis, const std::string& reference) {
  return scored(Bleu(), {hypothesis}, {{reference}});
}
double chrf(const std::string& hypothesis, const std::string& reference) {
  return scored(Chrf(), {hypothesis}, {{reference}});
}

}  // namespace

TEST_CASE("13a tokens", "[text]") {
  CHECK(words_13a("Hello, world!") == Lines{"Hello", ",", "world", "!"});
  CHECK(words_13a("It's 3.14, or 1,000.50 (about).") ==
        Lines{"It's", "3.14", ",", "or", "1,000.50", "(", "about", ")", "."});
  CHECK(words_13a("a-b 3-4 x-5") == Lines{"a-b", "3", "-", "4", "x-5"});
  CHECK(words_13a("&quot;A&amp;B&quot; &lt;c&gt;") == Lines{"\"", "A", "&", "B", "\"", "<", "c", ">"});
  CHECK(words_13a("&amp;lt;") == Lines{"<"});  // The entities are replaced one kind after another.
  CHECK(words_13a("U.S. etc...") == Lines{"U", ".", "S", ".", "etc", ".", ".", "."});
  CHECK(words_13a("5% of $7.50") == Lines{"5", "%", "of", "$", "7.50"});
  CHECK(words_13a("ends 2005.") == Lines{"ends", "2005", "."});
  CHECK(words_13a("„Grüße“, sagt’s") == Lines{"„Grüße“", ",", "sagt’s"});
  CHECK(words_13a("  a\tb\u00A0c\u3000d ") == Lines{"a", "b", "c", "d"});
  CHECK(words_13a("<skipped>x") == Lines{"x"});
  CHECK(words_13a("").empty());
  CHECK(words("Hello, world! ", BleuTokens::none) == Lines{"Hello,", "world!"});
}

TEST_CASE("BLEU of a sentence against itself is 100", "[text]") {
  CHECK(bleu("the cat sat on the mat", "the cat sat on the mat") == Approx(100.0));
}

TEST_CASE("BLEU by hand: clipped counts, smoothing, brevity", "[text]") {
  // Matches 5, 3, 1, 0 of 6, 5, 4, 3: the first zero counts as 1/2 of one match.
  CHECK(added(Bleu(), {"the cat sat by the mat"}, {{"the cat sat on the mat"}}).report() ==
        "BLEU 37.99 (83.3/60.0/25.0/16.7, BP 1.000, ratio 1.000, hyp 6, ref 6)");
  CHECK(bleu("the cat sat by the mat", "the cat sat on the mat") ==
        Approx(100.0 * std::pow(5.0 / 6 * 3 / 5 * 1 / 4 * 1 / 6, 0.25)));

  // "the" seven times: clipped to the two of the reference; the higher orders halve again and again.
  CHECK(bleu("the the the the the the the", "the cat is on the mat") ==
        Approx(100.0 * std::pow(2.0 / 7 * 1 / (2 * 6) * 1 / (4 * 5) * 1 / (8 * 4), 0.25)));

  // Five words right of ten: only brevity counts.
  CHECK(bleu("a b c d e", "a b c d e f g h i j") == Approx(100.0 * std::exp(1.0 - 10.0 / 5.0)));
}

TEST_CASE("BLEU adds counts over the corpus", "[text]") {
  const Bleu corpus = added(Bleu(), {"a b c d", "x"}, {{"a b c d", "y z"}});
  CHECK(corpus.report() == "BLEU 77.43 (80.0/100.0/100.0/100.0, BP 0.819, ratio 0.833, hyp 5, ref 6)");
  CHECK(corpus.score() == Approx(100.0 * std::exp(1.0 - 6.0 / 5.0) * std::pow(0.8, 0.25)));
}

TEST_CASE("BLEU of several references: closest length, most matches of any", "[text]") {
  // "the" three times: twice in one reference, once in the other. Lengths 3 and 5 are as far from 4: the shorter
  // counts.
  const Bleu two = added(Bleu(), {"the the the a"}, {{"the x the"}, {"a the y z w"}});
  CHECK(two.report() == "BLEU 21.02 (75.0/16.7/12.5/12.5, BP 1.000, ratio 1.333, hyp 4, ref 3)");
  CHECK(two.score() == Approx(100.0 * std::pow(3.0 / 4 * 1 / (2 * 3) * 1 / (4 * 2) * 1 / 8, 0.25)));
}

// Numbers of sacreBLEU's own tests (test/test_bleu.py, test_sentence_bleu.py, test_chrf.py, test_ter.py).
TEST_CASE("BLEU as sacreBLEU: references, tokens, smoothing", "[text]") {
  const std::vector<Lines> references{
      {"The dog bit the man.", "It was not unexpected.", "The man bit him first."},
      {"The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."}};
  const Lines hypotheses{"The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."};
  const auto corpus = [&](BleuTokens tokens, BleuSmoothing smoothing) {
    return scored(Bleu({.tokens = tokens, .smoothing = smoothing}), hypotheses, references);
  };
  CHECK(corpus(BleuTokens::mteval13a, BleuSmoothing::exp) == Approx(48.530827).margin(1e-6));
  CHECK(corpus(BleuTokens::mteval13a, BleuSmoothing::none) == Approx(48.530827).margin(1e-6));
  CHECK(corpus(BleuTokens::none, BleuSmoothing::exp) == Approx(49.1919566).margin(1e-6));
  CHECK(corpus(BleuTokens::intl, BleuSmoothing::exp) == Approx(43.91623493).margin(1e-6));
  CHECK(scored(Bleu(), {"", "", ""}, references) == 0.0);

  const auto sentence = [](BleuTokens tokens, BleuSmoothing smoothing, double value = 0.0) {
    return scored(Bleu({tokens, smoothing, value, true}),
                  {"Producția de zahăr primă va fi exprimată în ceea ce privește zahărul alb;"},
                  {{"producţia de zahăr brut se exprimă în zahăr alb;"}});
  };
  using enum BleuSmoothing;
  CHECK(sentence(BleuTokens::mteval13a, exp) == Approx(8.493).margin(1e-3));
  CHECK(sentence(BleuTokens::mteval13a, none) == 0.0);
  CHECK(sentence(BleuTokens::mteval13a, BleuSmoothing::floor, 0.1) == Approx(4.51688).margin(1e-3));
  CHECK(sentence(BleuTokens::mteval13a, BleuSmoothing::floor, 0.5) == Approx(10.10).margin(1e-3));
  CHECK(sentence(BleuTokens::mteval13a, add_k, 1) == Approx(14.882).margin(1e-3));
  CHECK(sentence(BleuTokens::mteval13a, add_k, 2) == Approx(21.389).margin(1e-3));
  CHECK(sentence(BleuTokens::none, exp) == Approx(7.347).margin(1e-3));
  CHECK(sentence(BleuTokens::intl, exp) == Approx(8.493).margin(1e-3));
  CHECK(sentence(BleuTokens::character, exp) == Approx(40.8759).margin(1e-3));
  for (const BleuSmoothing smoothing : {exp, none, BleuSmoothing::floor, add_k}) {
    CHECK(scored(Bleu({BleuTokens::mteval13a, smoothing, 0.1, true}), {"this is a cat"}, {{"okay thanks"}}) == 0.0);
  }
  // Smoothing by floor 0.01 with effective order: single words and pairs.
  const auto raw = [](const Lines& hypothesis, const Lines& reference) {
    return scored(Bleu({BleuTokens::none, BleuSmoothing::floor, 0.01, true}), hypothesis, {reference});
  };
  CHECK(raw({"test"}, {"a test"}) == Approx(36.78794411714425));
  CHECK(raw({"a test"}, {"a test"}) == Approx(100.0));
  CHECK(raw({"a little test"}, {"a test"}) == Approx(3.218297948685433));
  CHECK(raw({"this is a test", "another test"}, {"ref1", "ref2"}) == 0.0);
  CHECK(raw({"this is a fest"}, {"this is a test"}) == Approx(22.3606797749979));
  const std::vector<double> sums{9, 7, 5, 3, 10, 8, 6, 4, 11, 11};
  CHECK(Bleu().score_of(sums) == Approx(83.75922397));
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

TEST_CASE("chrF as sacreBLEU", "[text]") {
  const auto of = [](const Lines& hypotheses, const Lines& references, bool eps_smoothing, bool whitespace = false) {
    return scored(Chrf({.beta = 3, .whitespace = whitespace, .eps_smoothing = eps_smoothing}), hypotheses,
                  {references});
  };
  CHECK(of({"abcdefg"}, {"hijklmnop"}, true) == Approx(0.0).margin(1e-4));
  CHECK(of({""}, {"reference"}, true) == Approx(0.0).margin(1e-4));
  CHECK(of({"aa"}, {"ab"}, true) == Approx(8.3333).margin(1e-4));
  CHECK(of({"a", "b"}, {"a", "c"}, true) == Approx(8.3333).margin(1e-4));
  CHECK(of({"a"}, {"a"}, true) == Approx(16.6667).margin(1e-4));
  CHECK(of({"a b c"}, {"abc"}, true) == Approx(50.0).margin(1e-4));
  const std::string risk =
      " risk assessment must be made of those who are qualified and expertise in the sector - these are the scientists "
      ".";
  const std::string right =
      "risk assessment has to be undertaken by those who are qualified and expert in that area - that is the "
      "scientists .";
  CHECK(of({risk}, {right}, true) == Approx(63.361730).margin(1e-4));
  CHECK(of({risk.substr(1)}, {right}, false, true) == Approx(65.2414427).margin(1e-4));
  CHECK(of({" Die    Beziehung zwischen  Obama und Netanjahu ist nicht gerade  freundlich. "},
           {"Das Verhältnis zwischen Obama und Netanyahu ist nicht gerade freundschaftlich."},
           true) == Approx(64.1302698).margin(1e-4));
  CHECK(of({"Die Beziehung zwischen Obama und Netanjahu ist nicht gerade freundlich."},
           {"Das Verhältnis zwischen Obama und Netanyahu ist nicht gerade freundschaftlich."}, false,
           true) == Approx(67.3481606).margin(1e-4));
  CHECK(of({"a"}, {"a"}, false) == Approx(100.0));
  CHECK(of({"a", "b"}, {"a", "c"}, false) == Approx(50.0));
  CHECK(of({"aa"}, {"ab"}, false) == Approx(25.0));
  CHECK(scored(Chrf({.eps_smoothing = true}),
               {"Co nás nejvíc trápí, protože lékaři si vybírají, kdo bude žít a kdo zemře."},
               {{"Nejvíce smutní jsme z toho, že musíme rozhodovat o tom, kdo bude žít a kdo zemře."}}) ==
        Approx(39.14078509).margin(1e-4));
}

TEST_CASE("chrF++: words with marks apart; the best of several references", "[text]") {
  // One character order and two of words: "(hi", ")" and "there" on both sides but for one word.
  // Characters: "(hi)there" against "(hi)thera": 8 of 9. Words: 2 of 3. Pairs: 1 of 2.
  CHECK(scored(Chrf({.char_order = 1, .word_order = 2}), {"(hi) there"}, {{"(hi) thera"}}) ==
        Approx(100.0 * (8.0 / 9 + 2.0 / 3 + 1.0 / 2) / 3));
  CHECK(added(Chrf({.word_order = 2}), {"a"}, {{"a"}}).report() == "chrF++ 100.00");
  CHECK(scored(Chrf(), {"abc"}, {{"xyz"}, {"abc"}}) == Approx(100.0));
  CHECK(scored(Chrf(), {"abc"}, {{"abcd"}, {"xyz"}}) == Approx(chrf("abc", "abcd")));
}

TEST_CASE("TER as sacreBLEU", "[text]") {
  const auto ter = [](const Lines& hypotheses, const Lines& references) {
    return scored(Ter(), hypotheses, {references});
  };
  CHECK(ter({"aaaa bbbb cccc dddd"}, {"aaaa bbbb cccc dddd"}) == 0.0);
  CHECK(ter({"dddd eeee ffff"}, {"aaaa bbbb cccc"}) == Approx(100.0));
  CHECK(ter({""}, {"a"}) == Approx(100.0));
  CHECK(ter({"d e f g h a b c"}, {"a b c d e f g h"}) == Approx(100.0 / 8));
  // NOLINTBEGIN(bugprone-suspicious-missing-comma): long lines in several parts
  CHECK(
      ter({"wählen Sie \" Bild neu berechnen , \" um beim Ändern der Bildgröße Pixel hinzuzufügen oder zu entfernen , "
           "damit das Bild ungefähr dieselbe Größe aufweist wie die andere Größe .",
           "wenn Sie alle Aufgaben im aktuellen Dokument aktualisieren möchten , wählen Sie im Menü des "
           "Aufgabenbedienfelds die Option \" Alle Aufgaben aktualisieren . \"",
           "klicken Sie auf der Registerkarte \" Optionen \" auf die Schaltfläche \" Benutzerdefiniert \" und geben "
           "Sie Werte für \" Fehlerkorrektur-Level \" und \" Y / X-Verhältnis \" ein .",
           "Sie können beispielsweise ein Dokument erstellen , das ein Auto über die Bühne enthält .",
           "wählen Sie im Dialogfeld \" Neu aus Vorlage \" eine Vorlage aus und klicken Sie auf \" Neu . \""},
          {"wählen Sie \" Bild neu berechnen , \" um beim Ändern der Bildgröße Pixel hinzuzufügen oder zu entfernen , "
           "damit die Darstellung des Bildes in einer anderen Größe beibehalten wird .",
           "wenn Sie alle Aufgaben im aktuellen Dokument aktualisieren möchten , wählen Sie im Menü des "
           "Aufgabenbedienfelds die Option \" Alle Aufgaben aktualisieren . \"",
           "klicken Sie auf der Registerkarte \" Optionen \" auf die Schaltfläche \" Benutzerdefiniert \" und geben "
           "Sie für \" Fehlerkorrektur-Level \" und \" Y / X-Verhältnis \" niedrigere Werte ein .",
           "Sie können beispielsweise ein Dokument erstellen , das ein Auto enthalt , das sich über die Bühne bewegt .",
           "wählen Sie im Dialogfeld \" Neu aus Vorlage \" eine Vorlage aus und klicken Sie auf \" Neu . \""}) ==
      Approx(13.6).margin(1e-3));
  // NOLINTEND(bugprone-suspicious-missing-comma)
  CHECK(ter({"A B"}, {"a b"}) == 0.0);
  CHECK(scored(Ter({.case_sensitive = true}), {"A B"}, {{"a b"}}) == Approx(100.0));
  CHECK(ter({""}, {""}) == 0.0);
  CHECK(ter({"x"}, {""}) == Approx(100.0));
  CHECK(scored(Ter(), {"a b"}, {{"a b c d"}, {"a c"}}) == Approx(100.0 / 3));  // One edit over a mean of three words.
}

TEST_CASE("TER's normalisation", "[text]") {
  CHECK(ter_normalized("Hello, World!", {}) == "hello, world!");
  const auto normal = [](const std::string& line, TerNormalization how) {
    const Words words(ter_normalized(line, how));
    return Lines{words.list().begin(), words.list().end()};
  };
  CHECK(normal("It's Bob's &quot;3.14&quot;, 5-6.", {.normalized = true}) ==
        Lines{"it", "'s", "bob", "'s", "\"", "3.14", "\"", ",", "5", "-", "6", "."});
  CHECK(normal("Hello, (World)!?", {.no_punct = true}) == Lines{"hello", "world"});
  CHECK(normal("日本語。abc", {.normalized = true, .asian_support = true}) == Lines{"日", "本", "語", "。", "abc"});
  CHECK(normal("日本語。abc", {.normalized = true}) == Lines{"日本語。abc"});
  CHECK(normal("日本語。abc！", {.no_punct = true, .asian_support = true}) == Lines{"日本語abc"});
}

TEST_CASE("tokens of other languages", "[text]") {
  CHECK(words("„Grüße“, 3,5 € – 2005.", BleuTokens::intl) == Lines{"„", "Grüße", "“", ",", "3,5", "€", "–", "2005."});
  CHECK(words("他说hi, 3.5。", BleuTokens::zh) == Lines{"他", "说", "hi", ",", "3.5", "。"});
  CHECK(words("“a” 5.", BleuTokens::zh) == Lines{"“", "a", "”", "5."});
  CHECK(words(" ab\tü", BleuTokens::character) == Lines{"a", "b", "ü"});
  CHECK(words_13a("a\xff") == Lines{"a\xEF\xBF\xBD"});
}

TEST_CASE("statistics of segments add up to the corpus", "[text]") {
  Bleu one, other;
  const std::string_view right[2] = {"a b c d e", "x y"};
  const Segment segments[2] = {{"a b c d f", {right, 1}}, {"x y", {right + 1, 1}}};
  one.add(segments);
  const std::vector<double> statistics = other.statistics(segments);
  CHECK(statistics.size() == 2 * other.size());
  other.add_statistics(statistics);
  CHECK(one.score() == other.score());
}

TEST_CASE("the table of metrics", "[text]") {
  CHECK(find_metrics({"chrf", "all"}).size() == 4);
  CHECK_THROWS_WITH(find_metrics({"blue"}), Catch::Contains("unknown metric 'blue'") && Catch::Contains("bleu, chrf"));
  for (const MetricEntry& entry : metric_table()) CHECK(entry.make(MetricOptions()) != nullptr);
}

TEST_CASE("accuracy is the share of equal lines", "[text]") {
  const Accuracy accuracy = added(Accuracy(), {"a", "a", "", "b "}, {{"a", "A", "", "b"}});
  CHECK(accuracy.score() == Approx(50.0));
  CHECK(accuracy.report() == "accuracy 50.00 (2 of 4)");
}

// Examples of Porter's paper and of the vocabulary that goes with it; "ties", "sky" are NLTK's.
TEST_CASE("Porter stems", "[text]") {
  const std::vector<std::pair<const char*, const char*>> stems{{"caresses", "caress"},
                                                               {"ponies", "poni"},
                                                               {"ties", "tie"},
                                                               {"cats", "cat"},
                                                               {"feed", "feed"},
                                                               {"agreed", "agre"},
                                                               {"plastered", "plaster"},
                                                               {"bled", "bled"},
                                                               {"motoring", "motor"},
                                                               {"sing", "sing"},
                                                               {"conflated", "conflat"},
                                                               {"troubled", "troubl"},
                                                               {"sized", "size"},
                                                               {"hopping", "hop"},
                                                               {"tanned", "tan"},
                                                               {"falling", "fall"},
                                                               {"hissing", "hiss"},
                                                               {"fizzed", "fizz"},
                                                               {"failing", "fail"},
                                                               {"filing", "file"},
                                                               {"happy", "happi"},
                                                               {"sky", "sky"},
                                                               {"relational", "relat"},
                                                               {"conditional", "condit"},
                                                               {"rational", "ration"},
                                                               {"valenci", "valenc"},
                                                               {"hesitanci", "hesit"},
                                                               {"digitizer", "digit"},
                                                               {"conformabli", "conform"},
                                                               {"radicalli", "radic"},
                                                               {"differentli", "differ"},
                                                               {"vileli", "vile"},
                                                               {"analogousli", "analog"},
                                                               {"operator", "oper"},
                                                               {"feudalism", "feudal"},
                                                               {"decisiveness", "decis"},
                                                               {"hopefulness", "hope"},
                                                               {"callousness", "callous"},
                                                               {"formaliti", "formal"},
                                                               {"sensitiviti", "sensit"},
                                                               {"sensibiliti", "sensibl"},
                                                               {"triplicate", "triplic"},
                                                               {"formative", "form"},
                                                               {"formalize", "formal"},
                                                               {"electriciti", "electr"},
                                                               {"electrical", "electr"},
                                                               {"hopeful", "hope"},
                                                               {"goodness", "good"},
                                                               {"revival", "reviv"},
                                                               {"allowance", "allow"},
                                                               {"inference", "infer"},
                                                               {"airliner", "airlin"},
                                                               {"adjustable", "adjust"},
                                                               {"defensible", "defens"},
                                                               {"irritant", "irrit"},
                                                               {"replacement", "replac"},
                                                               {"adjustment", "adjust"},
                                                               {"dependent", "depend"},
                                                               {"adoption", "adopt"},
                                                               {"communism", "commun"},
                                                               {"activate", "activ"},
                                                               {"homologous", "homolog"},
                                                               {"effective", "effect"},
                                                               {"bowdlerize", "bowdler"},
                                                               {"probate", "probat"},
                                                               {"rate", "rate"},
                                                               {"cease", "ceas"},
                                                               {"controll", "control"},
                                                               {"roll", "roll"},
                                                               {"gyroscopic", "gyroscop"},
                                                               {"predication", "predic"},
                                                               {"angulariti", "angular"},
                                                               {"vietnamization", "vietnam"}};
  for (const auto& [word, stem] : stems) {
    INFO(word);
    CHECK(porter_stem(word) == stem);
  }
}

// Numbers of rouge_score's README and tests (rouge_scorer_test.py).
TEST_CASE("ROUGE as rouge_score", "[text]") {
  const auto report = [](RougeKind kind, const std::string& hypothesis, const std::string& reference,
                         RougeOptions options = {}) {
    if (kind == RougeKind::lcs_summary) options.sentence_break = "\n";
    return added(Rouge(kind, options), {hypothesis}, {{reference}}).report();
  };
  using enum RougeKind;
  CHECK(report(unigrams, "testing", "testing one two") == "ROUGE-1 50.00 (P 100.00, R 33.33)");
  CHECK(report(bigrams, "testing one", "testing one two") == "ROUGE-2 66.67 (P 100.00, R 50.00)");
  CHECK(report(lcs, "testing one", "testing one two") == "ROUGE-L 80.00 (P 100.00, R 66.67)");
  CHECK(report(lcs, "testing two", "testing one two") == "ROUGE-L 80.00 (P 100.00, R 66.67)");
  for (const RougeKind kind : {unigrams, bigrams, lcs, lcs_summary}) {
    CHECK(scored(Rouge(kind, {}), {""}, {{"testing one two"}}) == 0.0);
    CHECK(scored(Rouge(kind, {}), {"/"}, {{"w1 w2 w3 w4 w5"}}) == 0.0);
    CHECK(scored(Rouge(kind, {}), {"w1"}, {{""}}) == 0.0);
  }
  const std::string jumped = "The quick brown dog jumps on the log.",
                    fox = "The quick brown fox jumps over the lazy dog";
  CHECK(report(unigrams, jumped, fox, {.stemmer = true}) == "ROUGE-1 70.59 (P 75.00, R 66.67)");
  CHECK(report(lcs, jumped, fox, {.stemmer = true}) == "ROUGE-L 58.82 (P 62.50, R 55.56)");
  CHECK(report(lcs_summary, "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5") ==
        "ROUGE-Lsum 53.33 (P 40.00, R 80.00)");
  CHECK(scored(Rouge(unigrams, {}), {"Jumping DOGS, 3.5!"}, {{"jumping dogs 3 5"}}) == Approx(100.0));
  CHECK(scored(Rouge(unigrams, {}), {"dogs jumped"}, {{"dog jumping"}}) == 0.0);
  CHECK(scored(Rouge(unigrams, {.stemmer = true}), {"dogs jumped"}, {{"dog jumping"}}) == Approx(100.0));
  CHECK(scored(Rouge(unigrams, {}), {"a b", "a"}, {{"x", "b"}, {"a b", "c"}}) == Approx(50.0));  // best; mean of lines
  // Longer than one word of bits: every second of 200 words.
  std::string all, half;
  for (int i = 0; i < 200; ++i) {
    all += "w" + std::to_string(i) + " ";
    if (i % 2 == 0) half += "w" + std::to_string(i) + " ";
  }
  CHECK(report(lcs, half, all) == "ROUGE-L 66.67 (P 100.00, R 50.00)");
}

TEST_CASE("answers as SQuAD 2.0 counts them", "[text]") {
  CHECK(normalized_answer(" The  Norman-French, an a.b. ‘the’ theatre! ") == "normanfrench ab ‘ ’ theatre");
  CHECK(normalized_answer("A an THE") == "");
  const auto exact = [](const Lines& a, const std::vector<Lines>& r) {
    return scored(AnswerMatches(AnswerMatch::exact), a, r);
  };
  const auto f1 = [](const Lines& a, const std::vector<Lines>& r) {
    return scored(AnswerMatches(AnswerMatch::f1), a, r);
  };
  CHECK(exact({"the Cat."}, {{"cat"}}) == 100.0);
  CHECK(exact({"cats"}, {{"cat"}}) == 0.0);
  CHECK(f1({"the cat sat"}, {{"cat sat down"}}) == Approx(80.0));  // P 2/2, R 2/3
  CHECK(f1({"x"}, {{"y"}}) == 0.0);
  CHECK(f1({"in 10th century"}, {{"10th"}, {"10th century"}, {"10 century"}}) == Approx(80.0));
  // No answer: right where there is none, and only there; an article alone is no answer.
  CHECK(exact({"", "", "x", "the"}, {{"", "y", "", "a"}}) == 50.0);
  CHECK(f1({"", "", "x", "the"}, {{"", "y", "", "a"}}) == 50.0);
  CHECK(added(AnswerMatches(AnswerMatch::exact), {"", "", "x"}, {{"", "y", "x"}}).report() ==
        "exact match 66.67 (3 questions; 50.00 of 2 with an answer, 100.00 of 1 without)");
}

TEST_CASE("entities of all kinds of labels", "[text]") {
  const auto spans = [](const std::string& line) {
    const Words words{std::string(line)};
    std::string all;
    for (const Entity& e : entities(words.list())) all += cat(e.begin, "-", e.end, e.type, " ");
    return all;
  };
  CHECK(spans("O B-A I-A B-A O I-B I-B") == "1-3A 3-4A 5-7B ");         // IOB2, and IOB1 after O
  CHECK(spans("I-A I-A B-A I-B") == "0-2A 2-3A 3-4B ");                 // IOB1
  CHECK(spans("I-A E-A I-A E-A E-A O E-B") == "0-2A 2-4A 4-5A 6-7B ");  // IOE
  CHECK(spans("B-A I-A E-A S-A S-A B-B E-B") == "0-3A 3-4A 4-5A 5-7B ");
  CHECK(spans("B-A I-B") == "0-1A 1-2B ");
  CHECK(spans("B-a-b O") == "0-1a-b ");
  CHECK_THROWS_WITH(spans("PER"), "label 'PER' is neither O nor B-, I-, E- or S- and a type");
}

TEST_CASE("entity F1 as conlleval", "[text]") {
  // The counts of conlleval's example (CoNLL-2000): 459 phrases, 539 found, 371 correct: 68.83, 80.83, 74.35.
  Lines found, wanted;
  for (int i = 0; i < 371 + 88 + 168; ++i) {
    found.push_back(i < 371 || i >= 459 ? "B-NP" : "O");
    wanted.push_back(i < 459 ? "B-NP" : "O");
  }
  CHECK(added(Entities(), found, {wanted}).report().starts_with("entity F1 74.35 (P 68.83, R 80.83; 371 right"));
  // The example of seqeval's README: 0.50, accuracy 0.80; MISC 0, PER 1.
  const Entities two = added(Entities(), {"O O B-MISC I-MISC I-MISC I-MISC O", "B-PER I-PER O"},
                             {{"O O O B-MISC I-MISC I-MISC O", "B-PER I-PER O"}});
  CHECK(two.report() ==
        "entity F1 50.00 (P 50.00, R 50.00; 1 right, 2 found, 2 wanted; label accuracy 80.00 of 10)\n"
        "MISC F1 0.00 (P 0.00, R 0.00; 0 right, 1 found, 1 wanted)\nPER F1 100.00 (P 100.00, R 100.00; 1 right, 1 "
        "found, 1 wanted)");
  CHECK(scored(Entities(), {"I-A I-A"}, {{"B-A I-A"}}) == 100.0);
  CHECK(scored(Entities(), {"B-A I-A", ""}, {{"B-B I-B", ""}}) == 0.0);
  CHECK_THROWS_WITH(scored(Entities(), {"O O"}, {{"O"}}), "2 labels, but the reference has 1");
  CHECK(scored(TokenAccuracy(), {"a b c", ""}, {{"a x c", ""}}) == Approx(200.0 / 3));
}

TEST_CASE("classification as scikit-learn's report", "[text]") {
  // The example of sklearn.metrics.classification_report's documentation.
  const Classification three = added(Classification(), {"0", "0", "2", "2", "1"}, {{"0", "1", "2", "2", "2"}});
  CHECK(three.report() ==
        "classification macro F1 48.89\n"
        "label             precision  recall      F1  support\n"
        "0                     50.00  100.00   66.67        1\n"
        "1                      0.00    0.00    0.00        1\n"
        "2                    100.00   66.67   80.00        3\n"
        "micro average         60.00   60.00   60.00        5\n"
        "macro average         50.00   55.56   48.89        5\n"
        "weighted average      70.00   60.00   61.33        5\n"
        "right \\ predicted\n"
        "       0  1  2\n"
        "0      1  0  0\n"
        "1      1  0  0\n"
        "2      0  1  2");
  Confusion numbers, names;
  for (const char* label : {"10", "9", "-1"}) numbers.add(label, label);
  CHECK(numbers.labels() == Lines{"-1", "9", "10"});
  for (const char* label : {"10", "9", "x"}) names.add(label, "x");
  CHECK(names.labels() == Lines{"10", "9", "x"});
  CHECK(names.matrix() == std::vector<std::int64_t>{0, 0, 1, 0, 0, 1, 0, 0, 1});
  CHECK_THROWS_WITH(scored(Classification(), {"a"}, {{"a"}, {"b"}}), "one reference is wanted, 2 are given");
}

TEST_CASE("several labels a line", "[text]") {
  // Right: a b | c | (none); predicted: b a | c b | c. Lines: P 1, 1/2, 0; R 1, 1, 0; F1 1, 2/3, 0.
  CHECK(added(MultiLabel(), {"b a a", "c b", "c"}, {{"a b", "c", ""}}).report() ==
        "multi-label micro F1 75.00 (all labels right in 33.33 of 3 lines)\n"
        "label             precision  recall      F1  support\n"
        "a                    100.00  100.00  100.00        1\n"
        "b                     50.00  100.00   66.67        1\n"
        "c                     50.00  100.00   66.67        1\n"
        "micro average         60.00  100.00   75.00        3\n"
        "macro average         66.67  100.00   77.78        3\n"
        "weighted average      66.67  100.00   77.78        3\n"
        "samples average       50.00   66.67   55.56        3");
}

TEST_CASE("mean IoU by hand", "[text]") {
  // Label 0: 2 of 4 in either; 1: 1 of 3; 2 occurs in the predictions only: 0 of 1.
  const MeanIou iou = added(MeanIou(), {"0 0 1", "0 1 2"}, {{"0 0 0", "1 1 0"}});
  CHECK(iou.score() == Approx(100.0 * (2.0 / 5 + 1.0 / 3 + 0.0) / 3));
  CHECK(scored(MeanIou(), {"sky sky tree"}, {{"sky sky tree"}}) == 100.0);
}

TEST_CASE("calibration by hand", "[text]") {
  const Lines probabilities{"0.9 0.1", "0.8 0.2", "0.35,0.65", "1 0"}, labels{"0", "1", "1", "0"};
  const auto of = [&](CalibrationKind kind, int bins = 10) {
    return scored(Calibration(kind, {.bins = bins}), probabilities, {labels});
  };
  // Bins of 0.1: 0.9, 0.8, 0.65 and 1 are alone, one of them wrong.
  CHECK(of(CalibrationKind::ece) == Approx(100.0 * (0.1 + 0.8 + 0.35 + 0.0) / 4));
  CHECK(of(CalibrationKind::ece, 1) == Approx(100.0 * std::abs(3.0 - (0.9 + 0.8 + 0.65 + 1.0)) / 4));
  CHECK(of(CalibrationKind::nll) == Approx(-(std::log(0.9) + std::log(0.2) + std::log(0.65)) / 4));
  CHECK(of(CalibrationKind::brier) == Approx((2 * 0.01 + 2 * 0.64 + 2 * 0.35 * 0.35) / 4));
  // Two classes, three lines of four right by the same logit z: 1 / (1 + exp(-z / T)) = 3/4, T = z / ln 3.
  const Lines logits{"0 2", "0 2", "0 2", "0 2"};
  CHECK(scored(Calibration(CalibrationKind::temperature, {.logits = true}), logits, {{"1", "1", "0", "1"}}) ==
        Approx(2.0 / std::log(3.0)).epsilon(1e-9));
  CHECK(scored(Calibration(CalibrationKind::temperature, {.logits = true}), logits, {{"1", "1", "1", "1"}}) == 0.01);
  CHECK(scored(Calibration(CalibrationKind::temperature, {.logits = true}), logits, {{"0", "0", "0", "0"}}) == 100.0);
  const auto fails = [](const std::string& line, const std::string& label) {
    return scored(Calibration(CalibrationKind::ece, {}), {line}, {{label}});
  };
  CHECK_THROWS_WITH(fails("0.5 0.1", "0"), "probabilities sum to 0.6: --logits for logits");
  CHECK_THROWS_WITH(fails("1.5 -0.5", "0"), "1.5 is no probability: --logits for logits");
  CHECK_THROWS_WITH(fails("0.5 0.5", "2"), "the reference '2' is no class from 0 to 1");
  CHECK_THROWS_WITH(fails("0.5 x", "0"), "'x' is no finite number");
}

// Examples of the documentation of scipy.stats.pearsonr and spearmanr.
TEST_CASE("regression as SciPy", "[text]") {
  const auto of = [](RegressionKind kind, const Lines& a, const Lines& b) { return scored(Regression(kind), a, {b}); };
  using enum RegressionKind;
  CHECK(of(pearson, {"0 0 0 1", "1 1 1"}, {"0 1 2 3", "4 5 6"}) == Approx(0.8660254037844386));
  CHECK(of(pearson, {"1", "2", "3", "4", "5"}, {"10", "9", "2.5", "6", "4"}) == Approx(-0.7426106572325057));
  CHECK(of(spearman, {"1", "2", "3", "4", "5"}, {"5", "6", "7", "8", "7"}) == Approx(0.8207826816681233));
  CHECK(of(mse, {"1", "2"}, {"2", "4"}) == Approx(2.5));
  CHECK(of(rmse, {"1", "2"}, {"2", "4"}) == Approx(std::sqrt(2.5)));
  CHECK(of(mae, {"1", "2"}, {"2", "4"}) == Approx(1.5));
  CHECK(std::isnan(of(pearson, {"1", "1"}, {"2", "4"})));
  CHECK(of(pearson, {"1000000001", "1000000002", "1000000003"}, {"1", "2", "3"}) == Approx(1.0));
}

TEST_CASE("paired tests", "[text]") {
  // One statistic over how many lines: the score is a mean.
  const Accuracy metric;
  std::vector<double> worse, better;
  for (int i = 0; i < 200; ++i) {
    worse.insert(worse.end(), {i % 2 == 0 ? 1.0 : 0.0, 1.0});
    better.insert(better.end(), {i % 4 < 3 ? 1.0 : 0.0, 1.0});
  }
  const std::vector<std::vector<double>> systems{worse, better, worse};
  const std::vector<PairedResult> bs = paired_test(metric, systems, {.samples = 1000, .seed = 1});
  CHECK(bs[0].score == 50.0);
  CHECK(bs[1].score == 75.0);
  // The mean of 200 draws of 1/2 has a deviation of 3.54 points.
  CHECK(*bs[0].mean == Approx(50.0).margin(0.5));
  CHECK(*bs[0].interval == Approx(1.96 * 3.54).margin(0.7));
  CHECK(!bs[0].p_value);
  CHECK(*bs[1].p_value == 1.0 / 1001);  // no sample's difference is 50 points
  CHECK(*bs[2].p_value == 1.0 / 1001);  // nothing is larger than no difference at all, as sacreBLEU has it
  const std::vector<PairedResult> ar =
      paired_test(metric, systems, {.randomization = true, .samples = 2000, .seed = 1});
  CHECK(*ar[1].p_value == 1.0 / 2001);
  CHECK(!ar[1].mean);
  // Two more of 200: 150 lines differ for either side alike; chance.
  std::vector<double> alike(better);
  for (std::size_t i = 0; i < alike.size(); i += 2) alike[i] = (i / 2) % 2 == 1 ? 1.0 : 0.0;
  alike[0] = alike[4] = 1.0;
  const std::vector<std::vector<double>> close{worse, alike};
  CHECK(*paired_test(metric, close, {.samples = 1000, .seed = 1})[1].p_value > 0.3);
  CHECK(*paired_test(metric, close, {.randomization = true, .samples = 2000, .seed = 1})[1].p_value > 0.7);
  // Another seed draws otherwise; the number of threads does not count.
  const auto drawn = bootstrap_scores(metric, systems, 50, 1);
  CHECK(drawn[0] == drawn[2]);  // the same segments for all systems
  CHECK(bootstrap_scores(metric, systems, 50, 2)[0] != drawn[0]);
  const int threads = thread_count();
  for (const int count : {1, 4}) {
    set_thread_count(count);
    CHECK(bootstrap_scores(metric, systems, 50, 1) == drawn);
  }
  set_thread_count(threads);
}
