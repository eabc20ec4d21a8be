#include <cstring>
#include <thread>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "models/transformer.hpp"

namespace pipeformer {
namespace {

/// Positions of a part of a batch in inference. What the layers compute of the smaller ones stays in the second-level
/// cache; until the weights are packed parts are larger, since each would pack them again.
constexpr std::int64_t kPartRows = 256, kUnpackedPartRows = 1024;

/// The first sequence of each part, of about part_rows rows each, and the end.
std::vector<std::int64_t> cut(const Ragged& ragged, std::int64_t part_rows) {
  const std::int64_t parts = ragged.rows() / part_rows;
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

/// Sets where the encoder's rows are in the whole batch.
void Transformer::enter_encoder(Context& ctx, const Source& source) const {
  ctx.first = source.first;
  ctx.first.row += configuration_.class_tokens * source.first.sequence;
}

void Transformer::encode(Context& ctx, const Source& source, Encoded& encoded) const {
  if (!ctx.training && !ctx.probe) {
    const auto cuts = cut(source.ragged, encoder_.is_packed() ? kPartRows : kUnpackedPartRows);
    if (cuts.size() > 2) return encode_parts(ctx, source, cuts, encoded);
  }
  enter_encoder(ctx, source);
  const float* x = source.rows;
  encoded.ragged = source.ragged;
  if (source.kind == Source::Kind::vectors) {
    x = vector_embedding_.forward(ctx, source.ragged, source.rows, encoded.vectors);
    encoded.ragged = encoded.vectors.ragged();
  } else if (source.kind == Source::Kind::ids) {
    x = source_embedding_.forward(ctx, source.ragged, source.ids, source.types, encoded.tokens);
  }
  encoded.memory = encoder_.forward(ctx, encoded.ragged, x, {}, encoded.stack);
}

void Transformer::encode_parts(Context& ctx, const Source& source, std::span<const std::int64_t> cuts,
                               Encoded& encoded) const {
  const Ragged& ragged = source.ragged;
  const std::int64_t width = configuration_.width;
  std::int64_t read = encoder_.input_width();
  encoded.ragged = ragged;
  if (source.kind == Source::Kind::vectors) {
    read = vector_embedding_.input_width();
    encoded.vectors.offsets = vector_embedding_.offsets(ragged);
    encoded.ragged = encoded.vectors.ragged();
  }
  float* memory = ctx.workspace.get(encoded.ragged.rows() * width);
  const auto caller = std::this_thread::get_id();
  parallel_for(std::ssize(cuts) - 1, 1, [&](std::int64_t p, std::int64_t) {
    thread_local Workspace own;
    Workspace& workspace = std::this_thread::get_id() == caller ? ctx.workspace : own;
    const WorkspaceScope scope(workspace);
    Context mine{workspace};
    mine.kept = ctx.kept;
    const std::int64_t first = cuts[static_cast<std::size_t>(p)], last = cuts[static_cast<std::size_t>(p) + 1];
    const std::int64_t row = ragged.begin(first);
    std::vector<std::int64_t> offsets;
    for (std::int64_t s = first; s <= last; ++s) offsets.push_back(ragged.offsets[static_cast<std::size_t>(s)] - row);
    Source part = source;
    part.ragged = {offsets};
    if (part.ids) part.ids += row;
    if (part.types) part.types += row;
    if (part.rows) part.rows += row * read;
    Encoded of_part;
    try {
      encode(mine, part, of_part);
    } catch (const RowError& error) {
      throw RowError(row + error.row(), error.what());
    }
    std::memcpy(memory + encoded.ragged.begin(first) * width, of_part.memory,
                static_cast<std::size_t>(of_part.ragged.rows() * width) * sizeof(float));
  });
  encoded.memory = memory;
}

void Transformer::encode_backward(Context& ctx, const Source& source, const Encoded& encoded,
                                  const float* d_memory) const {
  enter_encoder(ctx, source);
  const float* dx = encoder_.backward(ctx, encoded.ragged, {}, encoded.stack, d_memory, nullptr);
  if (source.kind == Source::Kind::vectors)
    vector_embedding_.backward(ctx, source.ragged, encoded.vectors, dx);
  else
    source_embedding_.backward(ctx, source.ragged, encoded.tokens, dx);
}

}  // namespace pipeformer
