#include "models/encode_batch.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/error.hpp"
#include "core/threads.hpp"

namespace pipeformer {
namespace {

/// The sequences of `ragged`, of which the first begins at row first_row of the batch.
const float* encode_part(Context& ctx, const Transformer& model, const Batch& batch, const Ragged& ragged,
                         std::int64_t first_row) {
  Transformer::Source source{.ragged = ragged};
  if (batch.ids) {
    source.ids = batch.tokens.data() + first_row;
  } else {
    source.kind = Transformer::Source::Kind::embedded;
    source.rows = batch.rows.data() + first_row * batch.width;
  }
  Transformer::Encoded encoded;
  model.encode(ctx, source, encoded);
  return encoded.memory;
}

/// Cuts the sequences into `parts` of about as many rows each; the first sequence of each part, and the end.
std::vector<std::int64_t> cut(const Ragged& ragged, std::int64_t parts) {
  std::vector<std::int64_t> cuts{0};
  for (std::int64_t s = 0, p = 1; s < ragged.sequences() && p < parts; ++s)
    if (ragged.begin(s + 1) * parts >= ragged.rows() * p) {
      cuts.push_back(s + 1);
      while (p < parts && ragged.begin(s + 1) * parts >= ragged.rows() * p) ++p;
    }
  if (cuts.back() < ragged.sequences()) cuts.push_back(ragged.sequences());
  return cuts;
}

}  // namespace

const float* encode_batch(Context& ctx, const Transformer& model, const Batch& batch, std::int64_t part_rows) {
  const Ragged ragged = batch.ragged();
  const std::vector<std::int64_t> cuts = cut(ragged, ragged.rows() / std::max<std::int64_t>(1, part_rows));
  const auto parts = static_cast<std::int64_t>(cuts.size()) - 1;
  if (parts < 2 || ctx.observer) return encode_part(ctx, model, batch, ragged, 0);
  const std::int64_t width = model.configuration().width;
  float* memory = ctx.workspace.get(ragged.rows() * width);
  parallel_for(parts, 1, [&](std::int64_t p, std::int64_t) {
    thread_local Workspace own;
    own.clear();
    Context mine{own};
    const std::int64_t first = cuts[static_cast<std::size_t>(p)], last = cuts[static_cast<std::size_t>(p) + 1];
    const std::int64_t row = ragged.begin(first);
    std::vector<std::int64_t> offsets;
    for (std::int64_t s = first; s <= last; ++s) offsets.push_back(ragged.begin(s) - row);
    try {
      std::memcpy(memory + row * width, encode_part(mine, model, batch, {offsets}, row),
                  static_cast<std::size_t>(offsets.back() * width) * sizeof(float));
    } catch (const RowError& error) {
      throw RowError(row + error.row(), error.what());
    }
  });
  return memory;
}

}  // namespace pipeformer
