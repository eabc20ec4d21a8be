// score: translations, summaries, answers, labels and numbers against references.
#include <algorithm>

#include "cli/metric_options.hpp"
#include "cli/scoring.hpp"
#include "io/output_file.hpp"
#include "metrics/labels.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "score",
    .summary = "metrics of lines or records against references: BLEU, chrF, TER, ROUGE, F1, accuracy, calibration",
    .description =
        "Reads lines and references with as many lines, and writes what each metric says. Records (NPY, HDF5) are read "
        "as the lines of their values. Where a line has several references, empty ones are none, unless all are. With "
        "--quiet each metric is one bare number.\n\n" +
        metric_list() +
        "\n\nAll but the errors, correlations, nll, brier and temperature are 0 to 100 (ter may be more, and less is "
        "better). bleu, chrf and ter count as sacreBLEU 2 does, rouge as Google's rouge_score, exact-match and "
        "answer-f1 as SQuAD 2.0's script, entity as conlleval, classification as scikit-learn's report. entity, "
        "token-accuracy and mean-iou take lines of labels, separated by spaces.\n\n"
        "--paired-bs and --paired-ar take several files, the first of them the baseline, and write a table: score, for "
        "the bootstrap mean and half the 95 % interval of the samples' scores, and the probability that so large a "
        "difference from the baseline is chance.\n\n"
        "Source: Papineni et al. 2002, Popović 2015, Snover et al. 2006, Post 2018, Lin 2004, Koehn 2004, Rajpurkar et "
        "al. 2018, Tjong Kim Sang and Buchholz 2000, Guo et al. 2017.",
    .arguments = "[FILE...]",
    .options = join(
        {{
             list("reference", "FILE", "the right lines"),
             list("metric", "NAME", "a metric or a group of the list above (default bleu)"),
             flag("lowercase", "compare in lower case"),
             flag("sentence-level", "one line of scores, separated by tabs, for each line instead of scores of all"),
             flag("paired-bs", "compare several systems by paired bootstrap"),
             flag("paired-ar", "compare several systems by approximate randomisation"),
             integer("samples", "N", "of a paired test (1000 for the bootstrap, 10000 randomised)", "", 1, 1e6),
             text("confusion", "FILE",
                  "also write the confusion matrix of classification or mean-iou, a record (K, K) int64: a "
                  "row for each right label, a column for each predicted one, in the order of the report"),
         },
         metric_options()}),
    .examples =
        {
            {"BLEU of a translation", "score --reference reference.txt hypothesis.txt"},
            {"the share of lines that are right, as a bare number",
             "score --metric accuracy --quiet --reference reference.txt < hypothesis.txt"},
            {"whether one translation is better than another",
             "score --paired-bs --metric bleu --metric chrf --reference reference.txt hypothesis.txt reference.txt"},
            {"a confusion matrix as a picture",
             "printf '%s\\n' cat dog dog > right; printf '%s\\n' cat dog cat |\n"
             "  score --metric classification --reference right --confusion confusion.npy && peek --heatmap "
             "confusion.npy -o confusion.svg"},
        },
    .see_also = {"decode", "classify", "tokenize", "peek"},
    .writes_records = false,
};

void body(const Args& args) {
  if (!args.given("reference")) throw UsageError("option '--reference' is required");
  const bool paired = args.flag("paired-bs") || args.flag("paired-ar");
  if (args.flag("paired-bs") && args.flag("paired-ar"))
    throw UsageError("--paired-bs and --paired-ar exclude each other");
  args.allow_only(paired, "--paired-bs or --paired-ar", {"samples"});
  args.allow_only(!paired, "no paired test", {"sentence-level"});
  if (paired ? args.inputs().size() < 2 : args.inputs().size() > 1) {
    throw UsageError(paired ? "a paired test compares two files or more"
                            : "one file is expected without a paired test");
  }
  const std::vector<NamedMetric> metrics = chosen_metrics(args);
  args.allow_only(
      std::any_of(metrics.begin(), metrics.end(), [](const auto& m) { return m.metric->confusion() != nullptr; }),
      "--metric classification or mean-iou", {"confusion"});
  const std::vector<std::string> systems = paired ? args.inputs() : std::vector{args.input()};
  std::vector<std::string> files = args.list("reference");
  files.insert(files.end(), systems.begin(), systems.end());
  if (std::count(files.begin(), files.end(), "-") > 1) throw UsageError("only one input can be standard input ('-')");

  SegmentReader reader(systems, args.list("reference"), args.flag("lowercase"));
  OutputFile output(args.output(), Content::text);
  if (paired) {
    compare_systems(args, reader, metrics, output);
  } else if (args.flag("sentence-level")) {
    score_lines(reader, metrics, output);
  } else {
    add_all(reader, metrics);
    for (const NamedMetric& m : metrics) {
      output.write(args.quiet() ? formatted("%.6f\n", m.metric->score()) : m.metric->report() + "\n");
    }
    if (args.has("confusion")) write_confusion(args.text("confusion"), metrics);
  }
  output.close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, body);
}
