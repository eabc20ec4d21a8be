// nearest: for each vector the most similar ones of a file of vectors.
#include "ops/nearest.hpp"

#include <cstdio>
#include <optional>

#include "cli/layer_options.hpp"
#include "io/output_file.hpp"
#include "io/stack.hpp"
#include "io/text_lines.hpp"
#include "io/vector_rows.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "nearest",
    .summary = "the most similar vectors of a file for each vector: search, duplicates, clusters",
    .description =
        "Finds for each vector of QUERIES (standard input by default) the k most similar ones of BASE. All are "
        "compared: the result is exact. It writes their numbers in BASE, from 0, the best first, of equals the lower "
        "number first; --scores writes the scores beside them. --pairs and --labels write lines of text instead.\n\n"
        "Vectors come as records (D,), such as `encode --pool` writes, as one array (N, D), or as anything with a last "
        "axis of D. BASE is held in memory.\n\n"
        "--metric cosine: x . y / (|x| |y|), 0 for a zero vector. dot: x . y. euclidean: |x - y|, smallest first.\n\n"
        "--within S keeps what is at least as similar as S (at most as far as S): fewer than k, perhaps none, so that "
        "each query must be a record of its own where arrays are written.\n\n"
        "Shapes: BASE (..., D), QUERIES (..., D) -> ids (..., K) i4, scores (..., K) f4.",
    .arguments = "BASE [QUERIES]",
    .options =
        join({{with_letter('k', integer("k", "K", "how many to find", "1", 1)),
               choice("metric", "cosine|dot|euclidean", "how similarity is measured", "cosine"),
               number("within", "S", "leave out what is less similar, or farther, than S", "", -1e300, 1e300),
               flag("exclude-same", "QUERIES are BASE itself (it need not be named again): no vector finds itself"),
               text("scores", "FILE", "write the scores too"),
               flag("pairs", "write lines of text: query, id and score, separated by tabs"),
               text("labels", "FILE", "--pairs with one more column: the line of FILE with the number of the id")},
              part_options("QUERIES")}),
    .examples = {{"the three lines of a text that are most similar to a question",
                  "encode -m model.h5 text.en.npy --pool mean -o lines.npy && echo 'Tomorrow he reads' |\n"
                  "  tokenize -m model.h5 | encode -m model.h5 --pool mean | nearest lines.npy -k 3 --labels text.en"},
                 {"lines that nearly repeat an earlier one, by number",
                  "encode -m model.h5 text.en.npy --pool mean -o lines.npy && nearest lines.npy lines.npy -k 10 \\\n"
                  "  --within 0.99 --pairs | awk '$2 < $1 {print $1}' | uniq"},
                 {"the distance of each vector to its nearest neighbour",
                  "nearest table.npy table.npy --exclude-same --metric euclidean --scores - -o ids.npy | peek"}},
    .see_also = {"encode", "classify", "peek"},
    .text_options = {"pairs", "labels"},
};

constexpr std::int64_t query_rows = 1024;  // that are compared together

VectorMetric metric_from(const Args& args) {
  const std::string name = args.text("metric");
  return name == "dot" ? VectorMetric::dot : name == "euclidean" ? VectorMetric::euclidean : VectorMetric::cosine;
}

struct Search {
  explicit Search(const Args& a)
      : args(a), metric(metric_from(a)), k(a.integer("k")), base_reader(RecordReader::open(a.inputs()[0])) {
    VectorRows rows;
    read_vector_rows(*base_reader, rows, INT32_MAX);
    require(rows.rows() < INT32_MAX, base_reader->name(), ": more than ", INT32_MAX - 1, " vectors");
    base.emplace(std::move(rows.values), rows.width, metric);
    const std::int64_t others = base->rows() - (args.flag("exclude-same") ? 1 : 0);
    require(k <= others || args.has("within"), base_reader->name(), ": has ", base->rows(),
            " vectors: too few to find ", k, args.flag("exclude-same") ? " others" : "", " (-k)");
    k = std::min(k, std::max<std::int64_t>(others, 0));
    if (const auto path = optional_text(args, "labels")) {
      labels = read_text_lines(*path);
      require(std::ssize(labels) == base->rows(), *path, ": has ", labels.size(), " lines for the ", base->rows(),
              " vectors of ", base_reader->name());
    }
  }

  /// How many of a query's hits are similar enough.
  std::int64_t kept(const Hit* hits) const {
    if (!args.has("within")) return k;
    const double limit = args.number("within");
    std::int64_t n = 0;
    while (n < k && (metric == VectorMetric::euclidean ? hits[n].score <= limit : hits[n].score >= limit)) ++n;
    return n;
  }

  const Args& args;
  VectorMetric metric;
  std::int64_t k;
  std::unique_ptr<RecordReader> base_reader;
  std::optional<NearestRows> base;
  std::vector<std::string> labels;
};

std::string lines(const Search& search, const Hit* hits, std::int64_t query) {
  std::string text;
  for (std::int64_t i = 0; i < search.kept(hits); ++i) {
    char numbers[96];
    std::snprintf(numbers, sizeof numbers, "%lld\t%d\t%.6g", static_cast<long long>(query), hits[i].id,
                  static_cast<double>(hits[i].score));
    text += numbers;
    if (!search.labels.empty()) text += '\t' + search.labels[static_cast<std::size_t>(hits[i].id)];
    text += '\n';
  }
  return text;
}

void write_hits(const Search& search, const VectorRows& queries, const Hit* hits, RecordWriter& ids,
                RecordWriter* scores) {
  std::vector<std::int32_t> numbers;
  std::vector<float> values;
  for (std::size_t r = 0; r < queries.shapes.size(); ++r) {
    Shape shape = queries.shapes[r];
    shape.pop_back();
    const std::int64_t count = element_count(shape);
    shape.push_back(count == 1 ? search.kept(hits) : search.k);
    numbers.clear();
    values.clear();
    for (std::int64_t i = 0; i < element_count(shape); ++i) {
      numbers.push_back(hits[i].id);
      values.push_back(hits[i].score);
    }
    hits += count * search.k;
    ids.write(DType::i4, shape, numbers.data());
    if (scores) scores->write(DType::f4, shape, values.data());
  }
  ids.flush();
  if (scores) scores->flush();
}

void nearest(const Args& args) {
  const bool text = args.flag("pairs") || args.has("labels");
  args.allow_only(!text, "arrays: neither --pairs nor --labels", {"scores", "format", "dtype"});
  std::string name = args.flag("exclude-same") ? args.inputs()[0] : "-";
  if (args.inputs().size() > 1) name = args.inputs()[1];
  if (name == "-" && args.inputs()[0] == "-") throw UsageError("BASE and QUERIES cannot both be standard input");
  Search search(args);
  auto all = RecordReader::open(name);
  const std::int64_t passed = pass_over_vectors(*all, args.integer("skip"));
  const auto reader = part_of(std::move(all), 0, taken(args));
  std::optional<OutputFile> output;
  std::unique_ptr<RecordWriter> ids, scores;
  if (text) output.emplace(args.output(), Content::text);
  if (!text) ids = RecordWriter::open(args.output(), args.output_options());
  if (const auto path = optional_text(args, "scores")) scores = RecordWriter::open(*path, args.output_options());
  Progress progress(args, "", 0, "queries");
  std::int64_t first = passed;
  for (VectorRows queries; read_vector_rows(*reader, queries, query_rows); first += queries.rows()) {
    require(queries.width == search.base->width() || search.base->rows() == 0, reader->name(), ": record ",
            queries.first_record, ": width ", queries.width, " does not match the ", search.base->width(), " of ",
            search.base_reader->name());
    std::vector<Hit> hits;
    try {
      hits = search.base->search({queries.values.data(), queries.rows(), queries.width}, search.k,
                                 args.flag("exclude-same") ? &first : nullptr);
    } catch (const RowError& error) {
      throw Error(cat(reader->name(), ": record ", queries.record_of(error.row()), ": ", error.what()));
    }
    for (std::size_t r = 0; r < queries.shapes.size() && args.has("within") && !text; ++r)
      require(queries.shapes[r].size() == 1, reader->name(), ": record ",
              queries.first_record + static_cast<std::int64_t>(r), ": shape ", shape_text(queries.shapes[r]),
              ": --within needs vectors (D,), or --pairs");
    if (!text) write_hits(search, queries, hits.data(), *ids, scores.get());
    for (std::int64_t q = 0; q < queries.rows() && text; ++q)
      output->write(lines(search, hits.data() + q * search.k, first + q));
    progress.update(first - passed + queries.rows());
  }
  require(
      !args.flag("exclude-same") || first == search.base->rows() || (args.has("take") && first < search.base->rows()),
      reader->name(), ": ", first, " vectors are not the ", search.base->rows(), " of ", search.base_reader->name(),
      ": --exclude-same is for a file against itself");
  progress.finish(cat(first - passed, " queries, ", search.base->rows(), " vectors"));
  text ? output->close() : ids->close();
  if (scores) scores->close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, nearest);
}
