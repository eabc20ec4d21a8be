#include "search/spans.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"

namespace pipeformer {
namespace {

/// What is read at once of a sequence: its positions [0, head), [begin, end), [tail, length).
struct Window {
  std::int64_t sequence, head, begin, end, tail, length;
  std::int64_t size() const { return head + end - begin + length - tail; }
  /// The position in the sequence of position t in the window.
  std::int64_t position(std::int64_t t) const {
    return t < head ? t : t < head + end - begin ? begin + t - head : tail + t - head - (end - begin);
  }
};

class Finder {
 public:
  Finder(const Batch& ids, const PairStreams& beside, const SpanSettings& settings)
      : ids_(ids), beside_(beside), settings_(settings) {
    for (std::int64_t s = 0; s < ids.sequences(); ++s) add_windows(s);
  }

  std::vector<std::vector<FoundSpan>> find(Context& ctx, const Transformer& model) const {
    std::vector<std::int64_t> offsets{0};
    std::vector<std::int32_t> tokens, types;
    for (const Window& w : windows_) {
      for (std::int64_t t = 0; t < w.size(); ++t) {
        const auto row = static_cast<std::size_t>(ids_.ragged().begin(w.sequence) + w.position(t));
        tokens.push_back(ids_.tokens[row]);
        if (beside_.types) types.push_back(beside_.types->tokens[row]);
      }
      offsets.push_back(std::ssize(tokens));
    }
    const Transformer::Source source{
        .ragged = {offsets}, .ids = tokens.data(), .types = beside_.types ? types.data() : nullptr};
    Transformer::Encoded encoded;
    model.encode(ctx, source, encoded);
    float* logits = ctx.workspace.get(source.ragged.rows() * 2);
    model.class_logits(ctx, source, encoded, logits);
    std::vector<std::vector<FoundSpan>> found(static_cast<std::size_t>(ids_.sequences()));
    for (std::size_t first = 0, next; first < windows_.size(); first = next) {
      for (next = first; next < windows_.size() && windows_[next].sequence == windows_[first].sequence;) ++next;
      std::vector<FoundSpan> all;
      double none = INFINITY;
      for (std::size_t w = first; w < next; ++w)
        none = std::min(none, collect(windows_[w], logits + 2 * offsets[w], all));
      found[static_cast<std::size_t>(windows_[first].sequence)] = best_of(std::move(all), none);
    }
    for (auto& spans : found)
      if (spans.empty()) spans.push_back({{}, 0});  // an empty sequence
    return found;
  }

 private:
  bool of_text(std::int64_t s, std::int64_t t) const {
    if (t == 0 || !beside_.offsets) return t > 0;  // the first position stands for no answer
    const std::int32_t* row = beside_.offsets->tokens.data() + 3 * (ids_.ragged().begin(s) + t);
    return row[0] == 1 && row[1] < row[2];
  }

  void add_windows(std::int64_t s) {
    const std::int64_t length = ids_.ragged().length(s);
    if (length == 0) return;
    if (settings_.window == 0 || length <= settings_.window)
      return windows_.push_back({s, length, length, length, length, length});
    std::int64_t begin = 0, end = length;
    while (begin < length && !of_text(s, begin)) ++begin;
    while (end > begin && !of_text(s, end - 1)) --end;
    const std::int64_t room = settings_.window - begin - (length - end);
    if (room <= settings_.stride)
      throw RowError(ids_.ragged().begin(s),
                     cat("windows of ", settings_.window, " leave ", std::max<std::int64_t>(room, 0),
                         " positions for the text, of which ", settings_.stride, " are to overlap"));
    for (std::int64_t at = begin;; at += room - settings_.stride) {
      windows_.push_back({s, begin, at, std::min(at + room, end), end, length});
      if (at + room >= end) return;
    }
  }

  /// Appends the spans of a window; the score of no answer.
  double collect(const Window& w, const float* logits, std::vector<FoundSpan>& all) const {
    const std::int64_t size = w.size();
    std::vector<char> allowed;
    for (std::int64_t t = 0; t < size; ++t) {
      if (std::isnan(logits[2 * t])) throw RowError(ids_.ragged().begin(w.sequence), "the logits are not finite");
      allowed.push_back(of_text(w.sequence, w.position(t)));
    }
    for (std::int64_t from = 0; from < size; ++from) {
      if (!allowed[static_cast<std::size_t>(from)]) continue;
      for (std::int64_t to = from; to < std::min(size, from + settings_.most_positions); ++to)
        if (allowed[static_cast<std::size_t>(to)])
          all.push_back({{static_cast<std::int32_t>(w.position(from)), static_cast<std::int32_t>(w.position(to))},
                         static_cast<double>(logits[2 * from]) + static_cast<double>(logits[2 * to + 1])});
    }
    return static_cast<double>(logits[0]) + static_cast<double>(logits[1]) - settings_.threshold;
  }

  std::vector<FoundSpan> best_of(std::vector<FoundSpan> all, double none) const {
    all.push_back({{}, none});
    const auto place = [](const FoundSpan& f) { return std::pair(f.span.first, f.span.last); };
    std::sort(all.begin(), all.end(), [&](const FoundSpan& a, const FoundSpan& b) {
      return a.score != b.score ? a.score > b.score : place(a) < place(b);
    });
    std::vector<FoundSpan> best;
    for (const FoundSpan& candidate : all) {
      if (std::ssize(best) == settings_.nbest) break;
      if (std::none_of(best.begin(), best.end(), [&](const FoundSpan& b) { return place(b) == place(candidate); }))
        best.push_back(candidate);
    }
    return best;
  }

  const Batch& ids_;
  const PairStreams& beside_;
  const SpanSettings& settings_;
  std::vector<Window> windows_;  ///< Of the sequences in their order.
};

}  // namespace

std::vector<std::vector<FoundSpan>> find_spans(Context& ctx, const Transformer& model, const Batch& ids,
                                               const PairStreams& beside, const SpanSettings& settings) {
  return Finder(ids, beside, settings).find(ctx, model);
}

TextSpan characters_of(const TextSpan& span, std::span<const std::int32_t> offsets) {
  if (span.last == 0) return {};
  return {offsets[static_cast<std::size_t>(3 * span.first) + 1], offsets[static_cast<std::size_t>(3 * span.last) + 2]};
}

}  // namespace pipeformer
