// score: translations and labels against references.
#include <algorithm>
#include <cstdio>

#include "cli/layer_options.hpp"
#include "io/output_file.hpp"
#include "io/text_lines.hpp"
#include "text/bleu.hpp"
#include "text/line_batches.hpp"
#include "text/utf8.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "score",
    .summary = "BLEU, chrF and accuracy of lines against reference lines",
    .description =
        "Reads lines of text and a reference with as many lines, and writes one line per metric, each 0 to 100. bleu "
        "is corpus BLEU with sacreBLEU's defaults: up to 4-grams, 13a tokens, case counts, exponential smoothing, one "
        "reference. chrf is sacreBLEU's chrF2: up to 6 characters, white space left out. accuracy is the share of "
        "lines equal to their reference, for labels as well as for sentences.\n\n"
        "Source: Papineni et al. 2002, Popović 2015, Post 2018.",
    .options =
        {
            text("reference", "FILE", "the right lines"),
            list("metric", "NAME", "bleu, chrf, accuracy or all; may be repeated (default bleu)"),
            choice("tokenize", "13a|none", "how lines become words for bleu: mteval-v13a, or split at white space",
                   "13a"),
            flag("lowercase", "compare in lower case"),
        },
    .examples =
        {
            {"BLEU of a translation", "score --reference reference.txt hypothesis.txt"},
            {"the share of lines that are right, as a bare number",
             "score --metric accuracy --quiet --reference reference.txt < hypothesis.txt"},
        },
    .see_also = {"decode", "tokenize"},
    .writes_records = false,
};

template <class... Values>
std::string formatted(const char* format, Values... values) {
  char line[256];
  return {line, static_cast<std::size_t>(std::snprintf(line, sizeof line, format, values...))};
}

std::vector<std::string> metrics(const Args& args) {
  std::vector<std::string> known{"bleu", "chrf", "accuracy"};
  std::vector<std::string> names = args.given("metric") ? args.list("metric") : std::vector<std::string>{"bleu"};
  for (const std::string& name : names) {
    if (name == "all") return known;
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw UsageError("unknown metric '" + name + "': bleu, chrf, accuracy or all expected");
    }
  }
  return names;
}

void body(const Args& args) {
  const std::vector<std::string> names = metrics(args);
  expect_one_stdin(args, args.input(), {"reference"});
  TextLines hypotheses(args.input()), references(args.text("reference"));
  Bleu bleu(args.text("tokenize") == "none" ? BleuTokens::none : BleuTokens::mteval13a);
  Chrf chrf;
  Accuracy accuracy;
  const auto wanted = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  std::string_view hypothesis, reference;
  std::string lower_hypothesis, lower_reference;
  while (next_line_pair(hypotheses, hypothesis, references, reference)) {
    if (args.flag("lowercase")) {
      hypothesis = lower_hypothesis = lowercase_utf8(hypothesis);
      reference = lower_reference = lowercase_utf8(reference);
    }
    if (wanted("bleu")) bleu.add(hypothesis, reference);
    if (wanted("chrf")) chrf.add(hypothesis, reference);
    if (wanted("accuracy")) accuracy.add(hypothesis, reference);
  }
  OutputFile output(args.output(), Content::text);
  for (const std::string& name : names) {
    if (args.quiet()) {
      output.write(formatted("%.4f\n", name == "bleu"   ? bleu.score()
                                       : name == "chrf" ? chrf.score()
                                                        : accuracy.score()));
    } else if (name == "bleu") {
      output.write(formatted(
          "BLEU %.2f (%.1f/%.1f/%.1f/%.1f, BP %.3f, ratio %.3f, hyp %lld, ref %lld)\n", bleu.score(), bleu.precision(1),
          bleu.precision(2), bleu.precision(3), bleu.precision(4), bleu.brevity_penalty(), bleu.length_ratio(),
          static_cast<long long>(bleu.hypothesis_length()), static_cast<long long>(bleu.reference_length())));
    } else if (name == "chrf") {
      output.write(formatted("chrF %.2f\n", chrf.score()));
    } else {
      output.write(formatted("accuracy %.2f (%lld of %lld)\n", accuracy.score(),
                             static_cast<long long>(accuracy.equal()), static_cast<long long>(accuracy.lines())));
    }
  }
  output.close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, body);
}
