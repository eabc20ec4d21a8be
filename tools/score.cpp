// score: translations, summaries, labels and numbers against references.
#include <algorithm>

#include "cli/metric_options.hpp"
#include "io/output_file.hpp"
#include "metrics/segment_reader.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "score",
    .summary = "metrics of lines or records against references: BLEU, chrF, TER, accuracy",
    .description =
        "Reads lines and references with as many lines, and writes one line per metric. With several "
        "references an empty line is none, where another is not empty. Metrics: " +
        metric_list() +
        ".\n\nbleu, chrf and ter are 0 to 100 (ter may be more, and less is better) and count as sacreBLEU 2 "
        "does.\n\nSource: Papineni et al. 2002, Popović 2015, Snover et al. 2006, Post 2018.",
    .options = join(
        {{
             list("reference", "FILE", "the right lines; may be repeated"),
             list("metric", "NAME", "a metric of the list above; may be repeated (default bleu)"),
             flag("lowercase", "compare in lower case"),
             flag("sentence-level", "one line of scores, separated by tabs, for each line instead of scores of all"),
         },
         metric_options()}),
    .examples =
        {
            {"BLEU of a translation", "score --reference reference.txt hypothesis.txt"},
            {"the share of lines that are right, as a bare number",
             "score --metric accuracy --quiet --reference reference.txt < hypothesis.txt"},
        },
    .see_also = {"decode", "tokenize"},
    .writes_records = false,
};

struct NamedMetric {
  std::string name;
  std::unique_ptr<Metric> metric;
};

std::vector<NamedMetric> chosen_metrics(const Args& args) {
  const MetricOptions options = metric_settings(args);
  std::vector<NamedMetric> metrics;
  for (const MetricEntry* entry :
       find_metrics(args.given("metric") ? args.list("metric") : std::vector<std::string>{"bleu"})) {
    metrics.push_back({entry->name, entry->make(options)});
  }
  return metrics;
}

/// The metric as one that has a score for each line.
const SegmentMetric& by_segment(const NamedMetric& m, const std::string& option) {
  const auto* metric = dynamic_cast<const SegmentMetric*>(m.metric.get());
  if (metric == nullptr) throw UsageError(cat("--", option, ": ", m.name, " is of all lines only"));
  return *metric;
}

void score_lines(SegmentReader& reader, const std::vector<NamedMetric>& metrics, OutputFile& output) {
  for (const NamedMetric& m : metrics) by_segment(m, "sentence-level");
  while (reader.next()) {
    const std::vector<Segment>& segments = reader.segments(0);
    std::vector<std::vector<double>> statistics;
    for (const NamedMetric& m : metrics) statistics.push_back(by_segment(m, "").statistics(segments));
    for (std::size_t i = 0; i < segments.size(); ++i) {
      for (std::size_t k = 0; k < metrics.size(); ++k) {
        const SegmentMetric& metric = by_segment(metrics[k], "");
        const double score = metric.score_of(std::span(statistics[k]).subspan(i * metric.size(), metric.size()));
        output.write(formatted(k + 1 == metrics.size() ? "%.6f\n" : "%.6f\t", score));
      }
    }
  }
}

void body(const Args& args) {
  if (!args.given("reference")) throw UsageError("option '--reference' is required");
  const std::vector<NamedMetric> metrics = chosen_metrics(args);
  const std::vector<std::string> references = args.list("reference");
  if (std::count(references.begin(), references.end(), "-") + (args.input() == "-") > 1) {
    throw UsageError("only one input can be standard input ('-')");
  }
  SegmentReader reader({args.input()}, references, args.flag("lowercase"));
  OutputFile output(args.output(), Content::text);
  if (args.flag("sentence-level")) {
    score_lines(reader, metrics, output);
    return output.close();
  }
  while (reader.next()) {
    try {
      for (const NamedMetric& m : metrics) m.metric->add(reader.segments(0));
    } catch (const RowError& error) {
      reader.fail(0, error);
    }
  }
  for (const NamedMetric& m : metrics) {
    output.write(args.quiet() ? formatted("%.6f\n", m.metric->score()) : m.metric->report() + "\n");
  }
  output.close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, body);
}
