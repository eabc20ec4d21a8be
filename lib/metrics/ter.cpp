#include "metrics/ter.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <tuple>

namespace pipeformer {
namespace {

constexpr std::int64_t most_shifted = 10, most_distance = 50, beam = 25, most_tried = 1000;
constexpr std::int32_t unreachable = 1 << 28;

/// How a cell of the table of edit distances was reached.
enum class Edit : std::uint8_t { none, keep, substitute, remove, insert };

/// Edit distances to one reference.
class Distances {
 public:
  explicit Distances(const Symbols& reference) : reference_(reference) {
    if (reference.size() > 64) return;
    // Where each word of the reference stands, as bits (Myers 1999).
    for (std::size_t j = 0; j < reference.size(); ++j) {
      if (reference[j] >= places_.size()) places_.resize(reference[j] + std::size_t{1});
      places_[reference[j]] |= std::uint64_t{1} << j;
    }
  }

  /// Fills the table for a hypothesis and gives its distance.
  std::int64_t table(const Symbols& hypothesis) {
    fill(hypothesis, 0, rows_);
    states_.assign(1, {~std::uint64_t{0}, 0, static_cast<std::int64_t>(reference_.size())});
    if (!places_.empty()) {
      for (const std::uint32_t word : hypothesis) {
        states_.push_back(states_.back());
        step(states_.back(), word);
      }
    }
    return rows_[hypothesis.size() * width() + width() - 1].distance;
  }

  /// Whether the beam holds all shortest ways of a hypothesis of `length` words at this distance, which is then the
  /// plain edit distance. A way that comes k off the diagonal, and back to the n - m that it ends at, takes |k| + |k -
  /// (n - m)| edits or more; so all stay within half of distance + |n - m| of the beam's middle.
  bool exact(std::int64_t distance, std::size_t length) const {
    const auto n = static_cast<std::int64_t>(reference_.size()), m = static_cast<std::int64_t>(length);
    return distance + std::abs(n - m) < 2 * beam;
  }

  /// The distance of a hypothesis that has the first `same` words of that of the table, and as many.
  std::int64_t distance(const Symbols& hypothesis, std::size_t same) {
    if (!places_.empty()) {
      State state = states_[same];
      for (std::size_t i = same; i < hypothesis.size(); ++i) step(state, hypothesis[i]);
      if (exact(state.distance, hypothesis.size())) return state.distance;
    }
    trial_.resize((hypothesis.size() + 1) * width());
    std::copy_n(rows_.begin(), (same + 1) * width(), trial_.begin());
    fill(hypothesis, same, trial_);
    return trial_[hypothesis.size() * width() + width() - 1].distance;
  }

  /// The edits on the shortest way through the table, from the last to the first.
  template <class Visit>
  void walk_back(std::size_t hypothesis_size, Visit visit) const {
    for (std::size_t i = hypothesis_size, j = reference_.size(); i > 0 || j > 0;) {
      const Edit edit = rows_[i * width() + j].edit;
      visit(edit);
      if (edit != Edit::insert) --i;
      if (edit != Edit::remove) --j;
    }
  }

 private:
  struct Cell {
    std::int32_t distance;
    Edit edit;
  };
  std::size_t width() const { return reference_.size() + 1; }

  /// The rows after the first `done`, each within the beam.
  void fill(const Symbols& hypothesis, std::size_t done, std::vector<Cell>& rows) const {
    const auto n = static_cast<std::int64_t>(reference_.size()), m = static_cast<std::int64_t>(hypothesis.size());
    rows.resize(static_cast<std::size_t>(m + 1) * width());
    if (done == 0) {
      for (std::size_t j = 0; j < width(); ++j) rows[j] = {static_cast<std::int32_t>(j), Edit::insert};
    }
    const double slope = m == 0 ? 1.0 : static_cast<double>(n) / static_cast<double>(m);
    const std::int64_t reach =
        static_cast<double>(beam) < slope / 2.0 ? static_cast<std::int64_t>(std::ceil(slope / 2.0 + beam)) : beam;
    for (auto i = static_cast<std::int64_t>(done) + 1; i <= m; ++i) {
      Cell* row = rows.data() + i * (n + 1);
      const Cell* above = row - (n + 1);
      const auto middle = static_cast<std::int64_t>(std::floor(static_cast<double>(i) * slope));
      const std::int64_t first = std::max<std::int64_t>(0, middle - reach);
      const std::int64_t last = i == m ? n + 1 : std::min(n + 1, middle + reach);
      std::fill(row, row + first, Cell{unreachable, Edit::none});
      if (last <= n) std::fill(row + last, row + n + 1, Cell{unreachable, Edit::none});
      for (std::int64_t j = first; j < last; ++j) {
        if (j == 0) {
          row[0] = {above[0].distance + 1, Edit::remove};
          continue;
        }
        const bool equal = hypothesis[static_cast<std::size_t>(i - 1)] == reference_[static_cast<std::size_t>(j - 1)];
        Cell best{unreachable, Edit::none};
        // The first of equal ways counts: it decides which words are taken for aligned, and so which shifts are tried.
        const auto offer = [&best](std::int32_t distance, Edit edit) {
          if (distance < best.distance) best = {distance, edit};
        };
        offer(above[j - 1].distance + (equal ? 0 : 1), equal ? Edit::keep : Edit::substitute);
        offer(above[j].distance + 1, Edit::remove);
        if (j > first) offer(row[j - 1].distance + 1, Edit::insert);
        row[j] = best;
      }
    }
  }

  /// A row of the table of plain edit distances: where it grows and where it falls by one from word to word of the
  /// reference, as bits, and its last distance.
  struct State {
    std::uint64_t up, down;
    std::int64_t distance;
  };
  /// The next row (Hyyrö 2003).
  void step(State& s, std::uint32_t word) const {
    const std::uint64_t last = std::uint64_t{1} << (reference_.size() - 1);
    const std::uint64_t equal = word < places_.size() ? places_[word] : 0;
    const std::uint64_t zero = (((equal & s.up) + s.up) ^ s.up) | equal | s.down;
    std::uint64_t right_up = s.down | ~(zero | s.up), right_down = zero & s.up;
    s.distance += (right_up & last) != 0;
    s.distance -= (right_down & last) != 0;
    right_up = right_up << 1 | 1;
    right_down <<= 1;
    s.up = right_down | ~(zero | right_up);
    s.down = right_up & zero;
  }

  const Symbols& reference_;
  std::vector<std::uint64_t> places_;  ///< Empty for a reference of more than 64 words.
  std::vector<State> states_;          ///< After each beginning of the hypothesis of the table.
  std::vector<Cell> rows_, trial_;
};

/// What the shortest way says of both sides.
struct Alignment {
  std::vector<std::int64_t> of_reference;  ///< The word of the hypothesis at or before which a word stands; -1: none.
  std::vector<char> hypothesis_wrong, reference_wrong;
};

Alignment align(const Distances& distances, std::size_t hypothesis_size) {
  std::vector<Edit> edits;
  distances.walk_back(hypothesis_size, [&edits](Edit edit) { edits.push_back(edit); });
  Alignment a;
  std::int64_t at = -1;
  for (auto edit = edits.rbegin(); edit != edits.rend(); ++edit) {
    const char wrong = *edit != Edit::keep;
    if (*edit != Edit::insert) {
      ++at;
      a.hypothesis_wrong.push_back(wrong);
    }
    if (*edit != Edit::remove) {
      a.of_reference.push_back(at);
      a.reference_wrong.push_back(wrong);
    }
  }
  return a;
}

/// `words` with the run of `length` from `start` moved to stand before what is at `target`; within the run and right
/// after it, the run moves on by as many words as it reaches into itself.
void shift(const Symbols& words, std::size_t start, std::size_t length, std::size_t target, Symbols& shifted) {
  shifted = words;
  const auto at = [&shifted](std::size_t i) { return shifted.begin() + static_cast<std::ptrdiff_t>(i); };
  if (target < start) {
    std::rotate(at(target), at(start), at(start + length));
  } else {
    const std::size_t end = target > start + length ? target : std::min(words.size(), target + length);
    std::rotate(at(start), at(start + length), at(end));
  }
}

bool any(const std::vector<char>& wrong, std::size_t from, std::size_t length) {
  const auto begin = wrong.begin() + static_cast<std::ptrdiff_t>(from);
  return std::find(begin, begin + static_cast<std::ptrdiff_t>(length), 1) !=
         begin + static_cast<std::ptrdiff_t>(length);
}

}  // namespace

std::int64_t translation_edits(Symbols hypothesis, const Symbols& reference) {
  if (reference.empty()) return static_cast<std::int64_t>(hypothesis.size());
  Distances distances(reference);
  std::int64_t distance = distances.table(hypothesis), shifts = 0, tried = 0;
  Symbols shifted, best_words;
  while (distance > 0) {
    const Alignment alignment = align(distances, hypothesis.size());
    // Most edits saved, then the longest run, the earliest one, the earliest target.
    using Rank = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
    Rank best{0, 0, 0, 0};
    // A shift is at most as many removals and insertions as it has words, and saves no more than those.
    const bool bounded = distances.exact(distance, hypothesis.size());
    const auto try_targets = [&](std::size_t start, std::size_t place, std::size_t length) {
      std::int64_t previous = -1;
      for (std::size_t before = place; before <= place + length && before <= reference.size(); ++before) {
        const std::int64_t target = before == 0 ? 0 : alignment.of_reference[before - 1] + 1;
        if (target == previous) continue;
        previous = target;
        ++tried;
        if (bounded && 2 * static_cast<std::int64_t>(length) < std::get<0>(best)) continue;
        shift(hypothesis, start, length, static_cast<std::size_t>(target), shifted);
        const std::size_t same = std::min(start, static_cast<std::size_t>(target));
        const Rank rank{distance - distances.distance(shifted, same), static_cast<std::int64_t>(length),
                        -static_cast<std::int64_t>(start), -target};
        if (std::get<1>(best) == 0 || rank > best) {
          best = rank;
          best_words = shifted;
        }
      }
    };
    for (std::size_t start = 0; start < hypothesis.size(); ++start) {
      for (std::size_t place = 0; place < reference.size(); ++place) {
        if (std::abs(static_cast<std::int64_t>(place) - static_cast<std::int64_t>(start)) > most_distance) continue;
        const std::size_t longest =
            std::min({static_cast<std::size_t>(most_shifted), hypothesis.size() - start, reference.size() - place});
        for (std::size_t length = 1; length <= longest; ++length) {
          if (hypothesis[start + length - 1] != reference[place + length - 1]) break;
          // Only what is wrong on both sides, and not onto itself.
          if (!any(alignment.hypothesis_wrong, start, length) || !any(alignment.reference_wrong, place, length))
            continue;
          const std::int64_t to = alignment.of_reference[place] - static_cast<std::int64_t>(start);
          if (to >= 0 && to < static_cast<std::int64_t>(length)) continue;
          try_targets(start, place, length);
          if (tried >= most_tried) return shifts + distance;
        }
      }
    }
    if (std::get<0>(best) <= 0) break;
    ++shifts;
    hypothesis.swap(best_words);
    distance = distances.table(hypothesis);
  }
  return shifts + distance;
}

void Ter::count(const Segment& segment, std::span<double> statistics) const {
  WordNumbers numbers;
  const Words hypothesis_words(ter_normalized(segment.hypothesis, normalization_));
  const Symbols hypothesis = numbers.numbers(hypothesis_words.list());
  std::vector<std::unique_ptr<Words>> reference_words;
  double fewest = -1.0, length = 0.0;
  for (const std::string_view line : segment.references) {
    reference_words.push_back(std::make_unique<Words>(ter_normalized(line, normalization_)));
    const Symbols reference = numbers.numbers(reference_words.back()->list());
    const auto edits = static_cast<double>(translation_edits(hypothesis, reference));
    length += static_cast<double>(reference.size());
    if (fewest < 0.0 || edits < fewest) fewest = edits;
  }
  statistics[0] = fewest;
  statistics[1] = length / static_cast<double>(segment.references.size());
}

double Ter::score_of(std::span<const double> sums) const {
  if (sums[1] > 0.0) return 100.0 * sums[0] / sums[1];
  return sums[0] > 0.0 ? 100.0 : 0.0;
}

std::string Ter::report_of(std::span<const double> sums) const {
  return formatted("TER %.2f (%.0f edits, %.10g words)", score_of(sums), sums[0], sums[1]);
}

}  // namespace pipeformer
