#include "models/classes.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "core/error.hpp"

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

const float* classify_batch(Context& ctx, const Transformer& model, const BatchStream& input, bool logits) {
  const Configuration& c = model.configuration();
  if (c.reads_vectors()) input.expect_width(c.input_width, "the model's");
  float* classes = ctx.workspace.get(input.batch.sequences() * c.classes);
  const Ragged ragged = input.batch.ragged();
  Transformer::Source source{.ragged = ragged};
  source.kind = c.reads_vectors() ? Transformer::Source::Kind::vectors : Transformer::Source::Kind::ids;
  source.ids = input.batch.tokens.data();
  source.rows = input.batch.rows.data();
  logits ? model.classify_logits(ctx, source, classes) : model.classify(ctx, source, classes);
  for (std::int64_t s = 0; s < ragged.sequences(); ++s)
    if (std::isnan(classes[s * c.classes]))
      throw RowError(ragged.begin(s), cat("the ", logits ? "logits" : "probabilities", " are not finite"));
  return classes;
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

}  // namespace pipeformer
