#include "text/line_batches.hpp"

#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "core/selection.hpp"
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

using Ids = std::vector<std::int32_t>;
const Ids second_of_none;

/// Appends the record of one text or two.
void append_record(const Tokenizer& tokenizer, const Ids& first, const Ids* second, const LineEncoding& how,
                   TokenRecord& to) {
  const auto append = [](Ids& list, const Ids& more) { list.insert(list.end(), more.begin(), more.end()); };
  if (how.begin) to.ids.push_back(tokenizer.begin_id());
  to.types.resize(to.ids.size(), 0);
  const TokenRecord record = tokenizer.assemble(first, second, how.control_ids);
  append(to.ids, record.ids);
  append(to.types, record.types);
  if (how.end) to.ids.push_back(tokenizer.end_id());
  to.types.resize(to.ids.size(), to.types.empty() ? 0 : to.types.back());
}

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/// A line's places in characters and words.
class Placed {
 public:
  Placed(const std::string& line, const std::vector<Place>& places, std::int32_t first_word)
      : words_(first_word), places_(places) {
    std::int32_t character = -1;
    bool blank = true;
    for (const char c : line) {
      character += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
      if (blank && !is_blank(c)) ++words_;
      blank = is_blank(c);
      characters_.push_back(character);
      word_of_.push_back(blank ? -1 : words_ - 1);
    }
    characters_.push_back(character + 1);
  }
  /// Of its i-th id: characters [begin, end), and the word or -1.
  struct Where {
    std::int32_t begin, end, word;
  };
  Where operator[](std::size_t i) const {
    auto [begin, end] = places_[i];
    end = std::min(end, word_of_.size());
    while (begin < end && word_of_[begin] < 0) ++begin;
    while (begin < end && word_of_[end - 1] < 0) --end;
    return {characters_[begin], begin < end ? characters_[end - 1] + 1 : characters_[begin],
            begin < end ? word_of_[begin] : -1};
  }
  std::int32_t words() const { return words_; }  ///< One more than the last word's number.

 private:
  std::int32_t words_;
  const std::vector<Place>& places_;
  std::vector<std::int32_t> characters_, word_of_;
};

/// Appends where the ids of a record stand. first, second: which of their texts' ids it holds.
struct Stretch {
  std::size_t begin, size;
};
void append_places(const Tokenizer& tokenizer, const Placed& first, Stretch of_first, const Placed* second,
                   Stretch of_second, const LineEncoding& how, std::vector<std::int32_t>& offsets,
                   std::vector<std::int32_t>& words) {
  // The tokenizer arranges negative numbers that say which id stands where, as it arranges ids.
  const auto named = [](Stretch stretch, std::int64_t shift) {
    Ids names(stretch.size);
    for (std::size_t i = 0; i < names.size(); ++i)
      names[i] = static_cast<std::int32_t>(-1 - shift - static_cast<std::int64_t>(i));
    return names;
  };
  const Ids a = named(of_first, 0), b = named(of_second, std::ssize(a));
  TokenRecord record;
  append_record(tokenizer, a, second ? &b : nullptr, how, record);
  for (const std::int32_t name : record.ids) {
    const auto i = static_cast<std::size_t>(-1 - std::min(name, -1));
    const bool control = name >= 0, later = !control && i >= of_first.size;
    const auto where = control ? Placed::Where{-1, -1, -1}
                       : later ? (*second)[of_second.begin + i - of_first.size]
                               : first[of_first.begin + i];
    offsets.insert(offsets.end(), {control ? -1 : later ? 1 : 0, where.begin, where.end});
    words.push_back(where.word);
  }
}

/// Leaves out ends until `room` tokens are left: of the longer text while they differ, of the second when they are
/// alike.
void shorten(Ids& first, Ids& second, std::int64_t room) {
  while (static_cast<std::int64_t>(first.size() + second.size()) > room)
    (first.size() > second.size() ? first : second).pop_back();
}

[[noreturn]] void fail_uneven(TextLines& a, TextLines& b) {
  // The message wants both totals.
  for (std::string_view rest; a.next(rest);) continue;
  for (std::string_view rest; b.next(rest);) continue;
  throw Error(cat(a.name(), " has ", a.count(), " lines, ", b.name(), " has ", b.count()));
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

void read_same_lines(TextLines& reader, InvalidUtf8 policy, std::size_t count, std::vector<std::string>& lines,
                     TextLines& first) {
  lines.resize(count);
  for (std::string& line : lines) {
    std::string_view view;
    if (!reader.next(view)) fail_uneven(first, reader);
    if (policy == InvalidUtf8::error) require_utf8(view, reader);
    line = policy == InvalidUtf8::replace ? replace_invalid_utf8(view) : std::string(view);
  }
}

void require_end(TextLines& reader, TextLines& first) {
  std::string_view view;
  if (reader.next(view)) fail_uneven(first, reader);
}

std::string read_document(const std::string& path, InvalidUtf8 policy) {
  const std::vector<std::byte> bytes = ByteSource(path).read_all();
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (policy == InvalidUtf8::keep) return text;
  if (policy == InvalidUtf8::replace) return replace_invalid_utf8(text);
  const std::size_t invalid = find_invalid_utf8(text);
  if (invalid == std::string::npos) return text;
  const auto start = text.begin() + static_cast<std::ptrdiff_t>(invalid);
  throw Error(cat(input_name(path), ": line ", std::count(text.begin(), start, '\n') + 1, ": invalid UTF-8 at byte ",
                  invalid - (text.rfind('\n', invalid) + 1) + 1));
}

EncodedLines encode_lines(const Tokenizer& tokenizer, const std::vector<std::string>& lines,
                          const std::vector<std::string>& seconds, const LineEncoding& how, std::int64_t first_line,
                          const std::string& name) {
  require(!how.begin || tokenizer.begin_id() >= 0, "this tokenizer has no begin id");
  require(!how.end || tokenizer.end_id() >= 0, "this tokenizer has no end id");
  const auto count = static_cast<std::int64_t>(lines.size());
  const auto encode = [&](const std::string& line, std::int64_t number, std::vector<Place>& places) {
    try {
      if (how.places) return tokenizer.encode_places(line, places);
      return how.sampling ? tokenizer.sample(line, *how.sampling, number) : tokenizer.encode(line);
    } catch (const Error& error) {
      throw Error(cat(name, ": line ", number + 1, ": ", error.what()));
    }
  };
  // The records of lines_per_piece lines, one after another.
  struct Piece {
    TokenRecord tokens;
    std::vector<std::int64_t> lengths;
    std::vector<std::int32_t> offsets, words;
  };
  std::vector<Piece> pieces(static_cast<std::size_t>((count + lines_per_piece - 1) / lines_per_piece));
  parallel_for(static_cast<std::int64_t>(pieces.size()), 1, [&](std::int64_t from, std::int64_t to) {
    for (; from < to; ++from) {
      Piece& piece = pieces[static_cast<std::size_t>(from)];
      for (std::int64_t i = from * lines_per_piece; i < std::min(count, (from + 1) * lines_per_piece); ++i) {
        const auto at = static_cast<std::size_t>(i);
        std::vector<Place> first_places, second_places;
        Ids first = encode(lines[at], first_line + i, first_places), second;
        if (!seconds.empty()) second = encode(seconds[at], first_line + i, second_places);
        std::optional<Placed> first_placed, second_placed;
        if (how.places) {
          first_placed.emplace(lines[at], first_places, 0);
          if (!seconds.empty()) second_placed.emplace(seconds[at], second_places, first_placed->words());
        }
        // done: what of the last text was in the records before.
        const auto put = [&](const Ids& a, const Ids& b, std::size_t done = 0) {
          const std::size_t before = piece.tokens.ids.size();
          append_record(tokenizer, a, seconds.empty() ? nullptr : &b, how, piece.tokens);
          piece.lengths.push_back(static_cast<std::int64_t>(piece.tokens.ids.size() - before));
          if (how.places)
            append_places(tokenizer, *first_placed, {seconds.empty() ? done : 0, a.size()},
                          second_placed ? &*second_placed : nullptr, {done, b.size()}, how, piece.offsets, piece.words);
        };
        if (how.most_tokens == 0) {
          put(first, second);
          continue;
        }
        TokenRecord control;
        append_record(tokenizer, {}, seconds.empty() ? nullptr : &second_of_none, how, control);
        const auto room = how.most_tokens - static_cast<std::int64_t>(control.ids.size());
        const auto size = static_cast<std::int64_t>(first.size() + second.size());
        const std::string where = cat(name, ": line ", first_line + i + 1);
        require(room > 0 || size == 0, where, ": at most ", how.most_tokens, " tokens, of which ", control.ids.size(),
                " are control ids");
        require(size <= room || how.overflow != Overflow::error, where, ": ", size + how.most_tokens - room,
                " tokens, more than ", how.most_tokens);
        if (size <= room) {
          put(first, second);
        } else if (how.overflow == Overflow::truncate) {
          shorten(first, second, room);
          put(first, second);
        } else {
          Ids& last = seconds.empty() ? first : second;
          const auto step = seconds.empty() ? room : room - static_cast<std::int64_t>(first.size());
          require(step > 0, where, ": the first text alone has ", first.size(), " tokens, which leaves none of ",
                  how.most_tokens, " for the second");
          require(step > how.stride, where, ": windows of ", step, " ids cannot overlap by ", how.stride);
          const Ids whole = std::exchange(last, {});
          for (std::size_t done = 0, end = 0; end < whole.size(); done = end - static_cast<std::size_t>(how.stride)) {
            last.assign(whole.begin() + static_cast<std::ptrdiff_t>(done),
                        whole.begin() + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(done) + step,
                                                                 static_cast<std::ptrdiff_t>(whole.size())));
            put(first, second, done);
            end = done + last.size();
          }
        }
      }
    }
  });
  EncodedLines encoded;
  for (const Piece& piece : pieces) {
    encoded.offsets.insert(encoded.offsets.end(), piece.offsets.begin(), piece.offsets.end());
    encoded.words.insert(encoded.words.end(), piece.words.begin(), piece.words.end());
  }
  for (Batch* batch : {&encoded.ids, &encoded.types}) {
    batch->ids = true;
    for (const Piece& piece : pieces) {
      const Ids& tokens = batch == &encoded.ids ? piece.tokens.ids : piece.tokens.types;
      batch->tokens.insert(batch->tokens.end(), tokens.begin(), tokens.end());
      for (const std::int64_t length : piece.lengths) {
        batch->offsets.push_back(batch->offsets.back() + length);
        batch->shapes.push_back({length});
      }
    }
  }
  return encoded;
}

bool keeps_newlines(const Tokenizer& tokenizer) {
  return tokenizer.exact() || !tokenizer.encode("\n").empty();
}

EncodedLines encode_document(const Tokenizer& tokenizer, const std::string& text, const LineEncoding& how,
                             const std::string& name) {
  if (keeps_newlines(tokenizer)) return encode_lines(tokenizer, {text}, {}, how, 0, name);
  require(tokenizer.end_id() >= 0, "this tokenizer has no end id, to stand for newlines");
  require(!how.begin || tokenizer.begin_id() >= 0, "this tokenizer has no begin id");
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(text.substr(begin, end - begin));
  lines.push_back(text.substr(begin));
  LineEncoding plain;
  plain.control_ids = false;
  plain.sampling = how.sampling;
  const Batch each = encode_lines(tokenizer, lines, {}, plain, 0, name).ids;
  Ids ids;
  if (how.begin) ids.push_back(tokenizer.begin_id());
  for (std::int64_t s = 0; s < each.sequences(); ++s) {
    if (s > 0) ids.push_back(tokenizer.end_id());
    const auto first = each.tokens.begin() + each.ragged().begin(s);
    ids.insert(ids.end(), first, first + each.ragged().length(s));
  }
  if (how.end) ids.push_back(tokenizer.end_id());
  const std::int64_t length = std::ssize(ids);
  require(how.most_tokens == 0 || length <= how.most_tokens, name, ": ", length, " tokens, more than ",
          how.most_tokens);
  EncodedLines document;
  for (Batch* batch : {&document.ids, &document.types}) {
    batch->ids = true;
    batch->offsets.push_back(length);
    batch->shapes.push_back({length});
  }
  document.types.tokens.assign(ids.size(), 0);
  document.ids.tokens.assign(ids.begin(), ids.end());
  return document;
}

EncodedLines encode_phrases(const Tokenizer& tokenizer, const std::vector<std::string>& lines, std::int64_t first_line,
                            const std::string& name) {
  EncodedLines encoded;
  Batch& batch = encoded.ids;
  batch.ids = true;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (const std::string& phrase : split(lines[i], '\t')) {
      Ids ids;
      try {
        ids = tokenizer.encode(phrase);
      } catch (const Error& error) {
        throw Error(cat(name, ": line ", first_line + static_cast<std::int64_t>(i) + 1, ": ", error.what()));
      }
      if (ids.empty()) continue;
      if (std::ssize(batch.tokens) > batch.offsets.back()) batch.tokens.push_back(-1);
      batch.tokens.insert(batch.tokens.end(), ids.begin(), ids.end());
    }
    batch.shapes.push_back({std::ssize(batch.tokens) - batch.offsets.back()});
    batch.offsets.push_back(std::ssize(batch.tokens));
  }
  return encoded;
}

std::vector<std::string> decode_batch(const Tokenizer& tokenizer, const Batch& batch, const std::string& name,
                                      Decoding decoding, bool single_lines, bool document) {
  std::vector<std::string> texts(static_cast<std::size_t>(batch.sequences()));
  const bool end_is_newline = document && decoding == Decoding::text && !keeps_newlines(tokenizer);
  const auto decode = [&](std::int64_t s) {
    const auto at = static_cast<std::size_t>(s);
    const std::vector<std::int32_t> ids(batch.tokens.begin() + batch.offsets[at],
                                        batch.tokens.begin() + batch.offsets[at + 1]);
    if (end_is_newline) {
      std::string text;
      for (auto begin = ids.begin();;) {
        const auto end = std::find(begin, ids.end(), tokenizer.end_id());
        text += tokenizer.decode(std::vector<std::int32_t>(begin, end));
        if (end == ids.end()) return text;
        text += '\n';
        begin = end + 1;
      }
    }
    if (decoding == Decoding::text) return tokenizer.decode(ids);
    if (decoding == Decoding::text_with_control) return tokenizer.decode_with_control(ids);
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

std::string vocabulary_table(const Tokenizer& tokenizer) {
  std::string table;
  for (std::int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    if (!tokenizer.has_piece(id)) continue;
    table += std::to_string(id) + '\t';
    for (const char c : tokenizer.piece(id)) {
      if (c == '\t')
        table += "\\t";
      else if (c == '\n')
        table += "\\n";
      else if (c == '\r')
        table += "\\r";
      else if (c == '\\')
        table += "\\\\";
      else
        table += c;
    }
    table += cat('\t', tokenizer.score(id), '\n');
  }
  return table;
}

}  // namespace pipeformer
