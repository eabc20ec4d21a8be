#include "text/line_batches.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/threads.hpp"

namespace pipeformer {
namespace {

constexpr std::size_t batch_lines = 4096, batch_bytes = std::size_t{1} << 20;
constexpr std::int64_t lines_per_piece = 32;  // Enough work to hand out, few enough to share evenly.

/// The record of the stream that sequence `s` belongs to: a record (B, T) holds B sequences.
std::int64_t record_of(const Batch& batch, std::int64_t s) {
  std::int64_t record = 0;
  for (const Shape& shape : batch.shapes) {
    s -= element_count(Shape(shape.begin(), shape.end() - 1));
    if (s < 0) break;
    ++record;
  }
  return batch.first_record + record;
}

}  // namespace

void require_utf8(std::string_view line, const TextLines& reader) {
  const std::size_t invalid = find_invalid_utf8(line);
  if (invalid != std::string_view::npos)
    throw Error(cat(reader.name(), ": line ", reader.count(), ": invalid UTF-8 at byte ", invalid + 1));
}

bool read_line_batch(TextLines& reader, InvalidUtf8 policy, std::vector<std::string>& lines) {
  std::size_t count = 0, bytes = 0;
  for (std::string_view line; count < batch_lines && bytes < batch_bytes && reader.next(line); ++count) {
    if (policy == InvalidUtf8::error) require_utf8(line, reader);
    if (count == lines.size()) lines.emplace_back();  // else the memory of an earlier line is used again
    if (policy == InvalidUtf8::replace)
      lines[count] = replace_invalid_utf8(line);
    else
      lines[count].assign(line);
    bytes += line.size();
  }
  lines.resize(count);
  return count > 0;
}

bool next_line_pair(TextLines& a, std::string_view& line_a, TextLines& b, std::string_view& line_b) {
  const bool more_a = a.next(line_a), more_b = b.next(line_b);
  if (more_a == more_b) return more_a;
  // The message wants both totals.
  for (std::string_view rest; a.next(rest);) continue;
  for (std::string_view rest; b.next(rest);) continue;
  throw Error(cat(a.name(), " has ", a.count(), " lines, ", b.name(), " has ", b.count()));
}

std::string read_document(const std::string& path, InvalidUtf8 policy) {
  const std::vector<std::byte> bytes = ByteSource(path).read_all();
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (policy == InvalidUtf8::keep) return text;
  if (policy == InvalidUtf8::replace) return replace_invalid_utf8(text);
  const std::size_t invalid = find_invalid_utf8(text);
  if (invalid == std::string::npos) return text;
  const auto start = text.begin() + static_cast<std::ptrdiff_t>(invalid);
  throw Error(cat(input_name(path), ": line ", std::count(text.begin(), start, '\n') + 1, ": invalid UTF-8 at byte ",
                  invalid - (text.rfind('\n', invalid) + 1) + 1));
}

Batch encode_lines(const Tokenizer& tokenizer, const std::vector<std::string>& lines, ControlIds control,
                   const std::optional<SubwordSampling>& sampling, std::int64_t first_line) {
  require(!control.begin || tokenizer.begin_id() >= 0, "this tokenizer has no begin id");
  require(!control.end || tokenizer.end_id() >= 0, "this tokenizer has no end id");
  const auto count = static_cast<std::int64_t>(lines.size());
  // The ids of lines_per_piece lines, one after another.
  struct Piece {
    std::vector<std::int32_t> ids;
    std::vector<std::int64_t> lengths;
  };
  std::vector<Piece> pieces(static_cast<std::size_t>((count + lines_per_piece - 1) / lines_per_piece));
  parallel_for(static_cast<std::int64_t>(pieces.size()), 1, [&](std::int64_t from, std::int64_t to) {
    for (; from < to; ++from) {
      Piece& piece = pieces[static_cast<std::size_t>(from)];
      for (std::int64_t i = from * lines_per_piece; i < std::min(count, (from + 1) * lines_per_piece); ++i) {
        const std::string& line = lines[static_cast<std::size_t>(i)];
        const std::vector<std::int32_t> ids =
            sampling ? tokenizer.sample(line, *sampling, first_line + i) : tokenizer.encode(line);
        const std::size_t before = piece.ids.size();
        if (control.begin) piece.ids.push_back(tokenizer.begin_id());
        piece.ids.insert(piece.ids.end(), ids.begin(), ids.end());
        if (control.end) piece.ids.push_back(tokenizer.end_id());
        piece.lengths.push_back(static_cast<std::int64_t>(piece.ids.size() - before));
      }
    }
  });
  Batch batch;
  batch.ids = true;
  for (const Piece& piece : pieces) {
    batch.tokens.insert(batch.tokens.end(), piece.ids.begin(), piece.ids.end());
    for (const std::int64_t length : piece.lengths) {
      batch.offsets.push_back(batch.offsets.back() + length);
      batch.shapes.push_back({length});
    }
  }
  return batch;
}

std::vector<std::string> decode_batch(const Tokenizer& tokenizer, const Batch& batch, const std::string& name,
                                      bool pieces, bool single_lines) {
  std::vector<std::string> texts(static_cast<std::size_t>(batch.sequences()));
  const auto decode = [&](std::int64_t s) {
    const auto at = static_cast<std::size_t>(s);
    const std::vector<std::int32_t> ids(batch.tokens.begin() + batch.offsets[at],
                                        batch.tokens.begin() + batch.offsets[at + 1]);
    if (!pieces) return tokenizer.decode(ids);
    std::string line;
    for (const std::int32_t id : ids) line.append(line.empty() ? "" : " ").append(tokenizer.piece(id));
    return line;
  };
  parallel_for(batch.sequences(), lines_per_piece, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t s = from; s < to; ++s) {
      std::string& text = texts[static_cast<std::size_t>(s)];
      try {
        text = decode(s);
        require(!single_lines || text.find('\n') == std::string::npos, "the text holds a newline and is not one line");
      } catch (const Error& error) {
        throw Error(cat(name, ": record ", record_of(batch, s), ": ", error.what()));
      }
    }
  });
  return texts;
}

}  // namespace pipeformer
