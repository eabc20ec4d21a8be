#include "cli/metric_options.hpp"

#include <map>

namespace pipeformer {

std::vector<Option> metric_options() {
  return {
      choice("tokenize", "13a|intl|zh|char|none",
             "how lines become words for bleu: mteval-v13a, mteval-v14 international, Chinese characters apart, "
             "characters, or split at white space",
             "13a"),
      choice("smooth", "exp|floor|add-k|none", "bleu: what a precision without matches counts", "exp"),
      number("smooth-value", "X", "bleu: the value of floor (0.1 unless given) or add-k (1)", "", 0, 1e6),
      flag("effective-order", "bleu: leave out orders longer than the hypothesis; so with --sentence-level"),
      integer("char-order", "N", "chrf: longest n-gram of characters", "6", 1, 100),
      integer("word-order", "N", "chrf: longest n-gram of words; 2 is chrF++", "0", 0, 100),
      number("beta", "X", "chrf: how much more recall weighs than precision", "2", 0, 1000),
      flag("whitespace", "chrf: count white space"),
      flag("eps-smoothing", "chrf: the mean of all orders' F-scores, as chrF++.py, NLTK and Moses take it"),
      flag("case-sensitive", "ter: tell capital letters from small ones"),
      flag("normalized", "ter: punctuation apart from words"),
      flag("no-punct", "ter: without punctuation"),
      flag("asian-support", "ter: with --normalized and --no-punct: Chinese and Japanese as well"),
      flag("stemmer", "rouge: words of more than three letters as their Porter stems"),
      text("sentence-break", "TEXT", "rouge-lsum: what stands between the sentences of a line", "<n>"),
      flag("logits", "ece, nll, brier, temperature: the lines hold logits, not probabilities"),
      integer("bins", "N", "ece: bins of equal width", "15", 1, 100000),
  };
}

MetricOptions metric_settings(const Args& args) {
  static const std::map<std::string, BleuTokens> tokens{{"13a", BleuTokens::mteval13a},
                                                        {"intl", BleuTokens::intl},
                                                        {"zh", BleuTokens::zh},
                                                        {"char", BleuTokens::character},
                                                        {"none", BleuTokens::none}};
  static const std::map<std::string, BleuSmoothing> smoothings{{"exp", BleuSmoothing::exp},
                                                               {"floor", BleuSmoothing::floor},
                                                               {"add-k", BleuSmoothing::add_k},
                                                               {"none", BleuSmoothing::none}};
  MetricOptions o;
  o.bleu.tokens = tokens.at(args.text("tokenize"));
  o.bleu.smoothing = smoothings.at(args.text("smooth"));
  const bool has_value = o.bleu.smoothing == BleuSmoothing::floor || o.bleu.smoothing == BleuSmoothing::add_k;
  args.allow_only(has_value, "--smooth floor or add-k", {"smooth-value"});
  if (has_value) {
    o.bleu.smoothing_value = args.has("smooth-value")                   ? args.number("smooth-value")
                             : o.bleu.smoothing == BleuSmoothing::floor ? 0.1
                                                                        : 1.0;
  }
  o.bleu.effective_order = args.given("effective-order") ? args.flag("effective-order") : args.flag("sentence-level");
  o.chrf.char_order = static_cast<int>(args.integer("char-order"));
  o.chrf.word_order = static_cast<int>(args.integer("word-order"));
  o.chrf.beta = args.number("beta");
  o.chrf.whitespace = args.flag("whitespace");
  o.chrf.eps_smoothing = args.flag("eps-smoothing");
  args.allow_only(args.flag("normalized") || args.flag("no-punct"), "--normalized or --no-punct", {"asian-support"});
  o.ter = {args.flag("case-sensitive"), args.flag("normalized"), args.flag("no-punct"), args.flag("asian-support")};
  o.rouge = {args.flag("stemmer"), args.text("sentence-break")};
  o.calibration = {args.flag("logits"), static_cast<int>(args.integer("bins"))};
  return o;
}

std::string metric_list() {
  std::string list = "Metrics:\n";
  for (const MetricEntry& entry : metric_table()) {
    list += "  " + entry.name + std::string(16 - entry.name.size(), ' ') + entry.summary + "\n";
  }
  for (const MetricGroup& group : metric_groups()) {
    list += "  " + group.name + std::string(16 - group.name.size(), ' ');
    for (std::size_t i = 0; i < group.members.size(); ++i) list += (i == 0 ? "" : ", ") + group.members[i];
    list += "\n";
  }
  list.pop_back();
  return list;
}

}  // namespace pipeformer
