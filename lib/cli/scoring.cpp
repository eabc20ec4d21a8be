#include "cli/scoring.hpp"

#include "cli/metric_options.hpp"
#include "metrics/labels.hpp"
#include "metrics/paired.hpp"

namespace pipeformer {
namespace {

/// Calls visit() for all parts of the files; what a metric says of a line names the file.
template <class Visit>
void read_all(SegmentReader& reader, std::size_t systems, Visit visit) {
  while (reader.next()) {
    for (std::size_t s = 0; s < systems; ++s) {
      try {
        visit(s, reader.segments(s));
      } catch (const RowError& error) {
        reader.fail(s, error);
      }
    }
  }
}

}  // namespace

std::vector<NamedMetric> chosen_metrics(const Args& args) {
  const MetricOptions options = metric_settings(args);
  std::vector<NamedMetric> metrics;
  for (const MetricEntry* entry :
       find_metrics(args.given("metric") ? args.list("metric") : std::vector<std::string>{"bleu"})) {
    std::unique_ptr<Metric> metric = entry->make(options);
    const auto* by_segment = dynamic_cast<const SegmentMetric*>(metric.get());
    for (const char* option : {"sentence-level", "paired-bs", "paired-ar"}) {
      args.allow_only(by_segment != nullptr, "a metric of single lines, which " + entry->name + " is not", {option});
    }
    metrics.push_back({entry->name, std::move(metric), by_segment});
  }
  return metrics;
}

void add_all(SegmentReader& reader, const std::vector<NamedMetric>& metrics) {
  read_all(reader, 1, [&](std::size_t, const std::vector<Segment>& segments) {
    for (const NamedMetric& m : metrics) m.metric->add(segments);
  });
}

void score_lines(SegmentReader& reader, const std::vector<NamedMetric>& metrics, OutputFile& output) {
  read_all(reader, 1, [&](std::size_t, const std::vector<Segment>& segments) {
    std::vector<std::vector<double>> statistics;
    for (const NamedMetric& m : metrics) statistics.push_back(m.by_segment->statistics(segments));
    for (std::size_t i = 0; i < segments.size(); ++i) {
      for (std::size_t k = 0; k < metrics.size(); ++k) {
        const SegmentMetric& metric = *metrics[k].by_segment;
        const double score = metric.score_of(std::span(statistics[k]).subspan(i * metric.size(), metric.size()));
        output.write(formatted(k + 1 == metrics.size() ? "%.6f\n" : "%.6f\t", score));
      }
    }
  });
}

void compare_systems(const Args& args, SegmentReader& reader, const std::vector<NamedMetric>& metrics,
                     OutputFile& output) {
  const std::vector<std::string> systems = args.inputs();
  std::vector<std::vector<std::vector<double>>> statistics(metrics.size());
  for (auto& of_metric : statistics) of_metric.resize(systems.size());
  read_all(reader, systems.size(), [&](std::size_t s, const std::vector<Segment>& segments) {
    for (std::size_t m = 0; m < metrics.size(); ++m) {
      const std::vector<double> more = metrics[m].by_segment->statistics(segments);
      statistics[m][s].insert(statistics[m][s].end(), more.begin(), more.end());
    }
  });
  const PairedTest test{.randomization = args.flag("paired-ar"),
                        .samples = args.has("samples")      ? args.integer("samples")
                                   : args.flag("paired-ar") ? 10000
                                                            : 1000,
                        .seed = args.seed()};
  if (!args.quiet()) output.write("metric\tsystem\tscore\tmean\tinterval\tp\n");
  const auto number = [](std::optional<double> value) { return value ? formatted("\t%.6f", *value) : "\t-"; };
  for (std::size_t m = 0; m < metrics.size(); ++m) {
    const std::vector<PairedResult> results = paired_test(*metrics[m].by_segment, statistics[m], test);
    for (std::size_t s = 0; s < systems.size(); ++s) {
      const PairedResult& r = results[s];
      output.write(metrics[m].name + "\t" + systems[s] + number(r.score) + number(r.mean) + number(r.interval) +
                   number(r.p_value) + "\n");
    }
  }
}

void write_confusion(const std::string& path, const std::vector<NamedMetric>& metrics) {
  for (const NamedMetric& m : metrics) {
    if (m.metric->confusion() == nullptr) continue;
    const std::vector<std::int64_t> counts = m.metric->confusion()->matrix();
    const auto labels = static_cast<std::int64_t>(m.metric->confusion()->labels().size());
    const auto writer = RecordWriter::open(path);
    writer->write(DType::i8, {labels, labels}, counts.data());
    return writer->close();
  }
}

}  // namespace pipeformer
