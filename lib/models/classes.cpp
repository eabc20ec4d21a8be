#include "models/classes.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "core/error.hpp"
#include "core/words.hpp"
#include "ops/pooling.hpp"

namespace pipeformer {

std::vector<std::string> names_or_numbers(std::vector<std::string> names, std::int64_t classes) {
  if (names.empty())
    for (std::int64_t c = 0; c < classes; ++c) names.push_back(std::to_string(c));
  return names;
}

std::vector<std::string> class_names(const ModelFile& model) {
  const std::int64_t classes = model.configuration().classes;
  std::vector<std::string> names = names_or_numbers(model.labels(), classes);
  require(static_cast<std::int64_t>(names.size()) == classes, model.name(), ": has ", names.size(), " names for ",
          classes, " classes");
  return names;
}

namespace {

Transformer::Source source_of(const Configuration& c, const BatchStream& input, const Batch* types) {
  if (c.reads_vectors()) input.expect_width(c.input_width, "the model's");
  Transformer::Source source{.ragged = input.batch.ragged()};
  source.kind = c.reads_vectors() ? Transformer::Source::Kind::vectors : Transformer::Source::Kind::ids;
  source.ids = input.batch.tokens.data();
  source.rows = input.batch.rows.data();
  if (types) source.types = types->tokens.data();
  return source;
}

}  // namespace

const float* classify_batch(Context& ctx, const Transformer& model, const BatchStream& input, const Batch* types,
                            bool logits) {
  const Configuration& c = model.configuration();
  const Transformer::Source source = source_of(c, input, types);
  const Ragged ragged = source.ragged;
  float* classes = ctx.workspace.get(ragged.sequences() * c.classes);
  logits ? model.classify_logits(ctx, source, classes) : model.classify(ctx, source, classes);
  for (std::int64_t s = 0; s < ragged.sequences(); ++s)
    if (std::isnan(classes[s * c.classes]))
      throw RowError(ragged.begin(s), cat("the ",
                                          c.problem_type == ProblemType::regression ? "values"
                                          : logits                                  ? "logits"
                                                                                    : "probabilities",
                                          " are not finite"));
  return classes;
}

TaggedBatch tag_batch(Context& ctx, const Transformer& model, const BatchStream& input, const Batch* types,
                      const Batch* words, bool logits) {
  const Configuration& c = model.configuration();
  const Transformer::Source source = source_of(c, input, types);
  Transformer::Encoded encoded;
  model.encode(ctx, source, encoded);
  float* all = ctx.workspace.get(encoded.ragged.rows() * c.classes);
  model.class_logits(ctx, source, encoded, all);
  // Of the encoder's rows those that are asked for: without class tokens, without the later ids of words.
  TaggedBatch tagged;
  std::vector<std::int32_t> rows;
  for (std::int64_t s = 0; s < source.ragged.sequences(); ++s) {
    const std::int64_t begin = source.ragged.begin(s), length = source.ragged.length(s);
    const std::int64_t first = encoded.ragged.begin(s) + encoded.ragged.length(s) - length;
    std::vector<std::int32_t> positions(static_cast<std::size_t>(length));
    std::iota(positions.begin(), positions.end(), 0);
    if (words) {
      positions = first_positions({words->tokens.data() + begin, static_cast<std::size_t>(length)});
      if (const auto none = std::find(positions.begin(), positions.end(), -1); none != positions.end())
        throw RowError(begin, cat("word ", none - positions.begin(), " has no id that could be tagged"));
    }
    for (const std::int32_t position : positions) {
      rows.push_back(static_cast<std::int32_t>(first) + position);
      if (std::isnan(all[(first + position) * c.classes])) throw RowError(begin, "the logits are not finite");
    }
    tagged.offsets.push_back(std::ssize(rows));
  }
  float* chosen = ctx.workspace.get(std::ssize(rows) * c.classes);
  gather_rows(std::ssize(rows), c.classes, rows.data(), all, chosen);
  if (!logits) softmax_rows(std::ssize(rows), c.classes, chosen);
  tagged.rows = chosen;
  return tagged;
}

std::vector<std::int32_t> TaggedBatch::numbers(std::int64_t classes) const {
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(offsets.back()));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const float* row = rows + static_cast<std::int64_t>(i) * classes;
    numbers[i] = static_cast<std::int32_t>(std::max_element(row, row + classes) - row);
  }
  return numbers;
}

namespace {

/// What stands between names on a line, so that it is clear where one ends.
std::string separator(const std::vector<std::string>& names) {
  const auto holds_space = [](const std::string& name) { return name.find(' ') != std::string::npos; };
  return std::any_of(names.begin(), names.end(), holds_space) ? "\t" : " ";
}

}  // namespace

std::string tag_lines(const Ragged& ragged, const std::vector<std::int32_t>& numbers,
                      const std::vector<std::string>& names) {
  const std::string between = separator(names);
  std::string text;
  for (std::int64_t s = 0; s < ragged.sequences(); ++s) {
    for (std::int64_t i = ragged.begin(s); i < ragged.begin(s) + ragged.length(s); ++i)
      text +=
          (i > ragged.begin(s) ? between : "") + names[static_cast<std::size_t>(numbers[static_cast<std::size_t>(i)])];
    text += '\n';
  }
  return text;
}

void write_classes(RecordWriter& writer, const Batch& layout, const float* probabilities, std::int64_t classes) {
  for (std::int64_t r = 0; r < layout.records(); ++r) {
    Shape shape = layout.leading_axes(r);
    const std::int64_t sequences = element_count(shape);
    shape.push_back(classes);
    writer.write(DType::f4, shape, probabilities);
    probabilities += sequences * classes;
  }
  writer.flush();
}

std::string class_lines(std::int64_t sequences, const float* probabilities, const std::vector<std::string>& names,
                        std::int64_t top) {
  const auto classes = static_cast<std::int64_t>(names.size());
  const std::int64_t count = std::clamp<std::int64_t>(top, 1, classes);
  std::vector<std::int64_t> order(names.size());
  std::string text;
  for (std::int64_t s = 0; s < sequences; ++s) {
    const float* p = probabilities + s * classes;
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + count, order.end(),
                      [&](std::int64_t a, std::int64_t b) { return p[a] != p[b] ? p[a] > p[b] : a < b; });
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t c = order[static_cast<std::size_t>(i)];
      text += (i > 0 ? "\t" : "") + names[static_cast<std::size_t>(c)];
      if (top == 0) continue;
      char number[32];
      std::snprintf(number, sizeof number, "\t%.6g", static_cast<double>(p[c]));
      text += number;
    }
    text += '\n';
  }
  return text;
}

std::string label_lines(std::int64_t sequences, const float* probabilities, const std::vector<std::string>& names,
                        double threshold) {
  const std::string between = separator(names);
  std::string text;
  for (std::int64_t s = 0; s < sequences; ++s) {
    std::string line;
    for (const std::string& name : names)
      if (static_cast<double>(*probabilities++) > threshold) line += (line.empty() ? "" : between) + name;
    text += line + '\n';
  }
  return text;
}

}  // namespace pipeformer
