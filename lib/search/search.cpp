#include "search/search.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <functional>
#include <limits>
#include <utility>

#include "core/elementary.hpp"
#include "core/error.hpp"
#include "core/threads.hpp"
#include "models/decoder_cache.hpp"
#include "search/extensions.hpp"

namespace pipeformer {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

class Search {
 public:
  Search(Context& ctx, const Transformer& model, DecoderCache::Storage& storage, const SearchInput& input,
         const SearchSettings& settings)
      : ctx_(ctx),
        model_(model),
        storage_(storage),
        input_(input),
        settings_(settings),
        rules_(settings.rules, model.configuration(), !input.banned.empty()),
        ends_(static_cast<std::int64_t>(model.configuration().end_ids().size())),
        finished_(input.limits.size()) {}

  std::vector<std::vector<Hypothesis>> run() {
    const WorkspaceScope scope(ctx_.workspace);
    DecoderCache cache(model_, storage_, ctx_.kept);
    // The first token needs no step, and the last one is not looked at.
    const std::int64_t limit = std::ranges::max(input_.limits),
                       steps = std::min(limit - input_.generated - 1, DecoderCache::kManySteps);
    const float* hidden =
        cache.start(ctx_, input_.sources, input_.memory, input_.beginnings, input_.beginning_ids, steps);
    std::deque<DecoderCache> other_caches;
    for (const EnsembleMember& other : input_.others) {
      DecoderCache& own = other_caches.emplace_back(*other.model, *other.storage, ctx_.kept);
      const std::int64_t width = other.model->configuration().width;
      const float* begun =
          own.start(ctx_, input_.sources, other.memory, input_.beginnings, input_.beginning_ids, steps);
      other_hidden_.emplace_back(begun, begun + own.hypotheses() * width);
    }
    const std::int64_t sentences = input_.beginnings.sequences(), copies = settings_.sample ? settings_.nbest : 1;
    for (std::int64_t s = 0; s < sentences; ++s)
      for (std::int64_t i = 0; i < copies; ++i) live_.push_back({s, i, s, -1, begin_progress(s), 0, false});
    for (length_ = 1 + input_.generated;; ++length_) {
      settings_.sample ? sample(cache.hypotheses(), hidden) : extend(cache.hypotheses(), hidden);
      tell_grown();
      if (live_.empty()) break;
      const WorkspaceScope step_scope(ctx_.workspace);
      parents_.clear();
      tokens_.clear();
      for (std::size_t i = 0; i < live_.size(); ++i) {
        parents_.push_back(static_cast<std::int32_t>(live_[i].row));
        tokens_.push_back(nodes_[static_cast<std::size_t>(live_[i].node)].id);
        live_[i].row = static_cast<std::int64_t>(i);
      }
      const float* next = cache.step(ctx_, parents_, tokens_);
      hidden_.assign(next, next + static_cast<std::int64_t>(live_.size()) * model_.configuration().width);
      hidden = hidden_.data();
      for (std::size_t k = 0; k < other_caches.size(); ++k) {
        const std::int64_t width = input_.others[k].model->configuration().width;
        const float* own = other_caches[k].step(ctx_, parents_, tokens_);
        other_hidden_[k].assign(own, own + static_cast<std::int64_t>(live_.size()) * width);
      }
    }
    return results();
  }

 private:
  /// The tokens of all hypotheses, as a tree; sum: of the log-probabilities as far as here.
  struct Node {
    std::int64_t parent;
    std::int32_t id;
    double sum;
  };
  /// An unfinished hypothesis: `row` is its row in the cache's last answer, `node` its last token (-1: none yet),
  /// `progress` where in progress_ that of the required phrases begins (-1: nothing is required).
  struct Live {
    std::int64_t sentence, sample, row, node, progress;
    double sum;
    bool urged;  ///< It is inside of a phrase that the model would not have begun.
    bool was_urged = false;
  };
  struct Continuation {
    std::int32_t id;
    double log_probability;
    bool urged;
  };
  struct Finished {
    std::int64_t sample, node;
    double sum, score;
    std::int32_t end;
    bool urged = false, stopped = false;
  };
  double score(double sum, std::int64_t length) const { return length_score(settings_, sum, length); }
  std::int64_t limit(std::int64_t sentence) const { return input_.limits[static_cast<std::size_t>(sentence)]; }
  std::vector<Finished>& finished(std::int64_t sentence) { return finished_[static_cast<std::size_t>(sentence)]; }
  bool ends(std::int32_t id) const { return model_.configuration().ends(id); }

  /// One hypothesis has no other to be compared with: the largest logit is the likeliest.
  bool normalized() const { return settings_.scores || settings_.beam > 1 || !input_.required.empty(); }

  /// Calls body(row, logits) for each row, to which the rules were applied; an error about a row becomes one about its
  /// sentence.
  template <class Body>
  void for_rows(std::int64_t rows, const float* hidden, Body body) {
    if (ctx_.probe && !model_.configuration().has_encoder()) {
      // As in force_targets: the row of the last id of a prompt is row 0.
      positions_.assign(static_cast<std::size_t>(rows), static_cast<std::int32_t>(length_ - 1));
      ctx_.places.positions = positions_.data();
    }
    // Several hypotheses have one row at the first token only, when they hold the same.
    const std::int64_t copies = std::ssize(live_) / rows, vocabulary = model_.head().projection().out();
    const auto of_row = [&](std::int64_t row) -> const Live& { return live_[static_cast<std::size_t>(row * copies)]; };
    try {
      const auto ruled = [&](std::int64_t row, RowOfLogits logits) {
        apply_rules(of_row(row), vocabulary, logits);
        body(row, logits);
      };
      if (input_.others.empty())
        for_logits(ctx_, model_.head(), {one_row_each(rows)}, hidden, ruled, normalized());
      else
        for_mixture(ctx_, settings_.ensemble_mean, heads(hidden), rows, mixture_, ruled);
    } catch (const RowError& error) {
      throw RowError(of_row(error.row()).sentence, error.what());
    }
  }

  std::vector<HeadInput> heads(const float* hidden) const {
    std::vector<HeadInput> all{{&model_.head(), hidden}};
    for (std::size_t k = 0; k < input_.others.size(); ++k)
      all.push_back({&input_.others[k].model->head(), other_hidden_[k].data()});
    return all;
  }

  /// The generated ids as far as a node, behind those that were given.
  void ids_until(std::int64_t sentence, std::int64_t node, std::vector<std::int32_t>& ids) const {
    ids.clear();
    for (; node >= 0; node = nodes_[static_cast<std::size_t>(node)].parent)
      ids.push_back(nodes_[static_cast<std::size_t>(node)].id);
    if (!input_.given.empty()) {
      const auto given = input_.given[static_cast<std::size_t>(sentence)];
      ids.insert(ids.end(), given.rbegin(), given.rend());
    }
    std::reverse(ids.begin(), ids.end());
  }
  bool stopped(const Live& live) {
    if (settings_.stop == nullptr) return false;
    ids_until(live.sentence, live.node, ids_);
    return settings_.stop->completed_by_last(std::span(ids_).last(static_cast<std::size_t>(length_)));
  }
  void tell_grown() {
    if (!settings_.grown) return;
    ids_until(0, live_.empty() ? finished(0).front().node : live_.front().node, ids_);
    settings_.grown(ids_);
  }

  void apply_rules(const Live& live, std::int64_t vocabulary, RowOfLogits& logits) const {
    thread_local std::vector<std::int32_t> ids;
    const auto s = static_cast<std::size_t>(live.sentence);
    if (rules_.read_ids()) ids_until(live.sentence, live.node, ids);
    rules_.apply({ids, length_, input_.banned.empty() ? nullptr : input_.banned[s]}, vocabulary, logits);
  }

  [[noreturn]] void nothing_allowed(std::int64_t sentence) const {
    const bool required = !input_.required.empty() && !requirement(sentence).empty();
    throw RowError(sentence, cat("the rules allow no token after ", length_ - 1, " generated ones",
                                 required ? " that leaves room for what is required" : ""));
  }

  /// Hypothesis `live_[e.from]` with one more token: finished, or one of `next`.
  void advance(const Extension& e, std::vector<Live>& next) {
    Live live = live_[e.from];
    live.sum = e.sum;
    if (ends(e.id)) {
      finished(live.sentence).push_back({live.sample, live.node, e.sum, score(e.sum, length_), e.id, live.was_urged});
      return;
    }
    if (live.progress >= 0) {
      const auto progress = progress_of(live);
      live.progress = std::ssize(progress_);
      progress_.insert(progress_.end(), progress.begin(), progress.end());
      const std::span now(progress_.data() + live.progress, progress.size());
      requirement(live.sentence).advance(now, e.id);
      live.was_urged = live.was_urged || e.urged;
      live.urged = (live.urged || e.urged) && requirement(live.sentence).begun(now);
    }
    nodes_.push_back({live.node, e.id, e.sum});
    live.node = static_cast<std::int64_t>(nodes_.size()) - 1;
    if (const bool stop = stopped(live); stop || length_ == limit(live.sentence)) {
      // An end that a model is forced to give costs nothing, but it counts.
      const std::int64_t length = length_ + (model_.configuration().forced_end && !stop ? 1 : 0);
      finished(live.sentence)
          .push_back({live.sample, live.node, e.sum, score(e.sum, length), -1, live.was_urged, stop});
    } else {
      next.push_back(live);
    }
  }

  void extend(std::int64_t rows, const float* hidden) {
    // Of each hypothesis more than the beam: some of them may be end tokens.
    best_.resize(static_cast<std::size_t>(rows));
    for_rows(rows, hidden, [&](std::int64_t row, const RowOfLogits& logits) {
      thread_local std::vector<Candidate> candidates;
      best_candidates(model_.head().projection().out(), logits.values, logits.block_maxima, settings_.beam + ends_,
                      candidates);
      auto& best = best_[static_cast<std::size_t>(row)];
      best.clear();
      if (const Live& live = live_[static_cast<std::size_t>(row)]; live.progress >= 0)
        urge(live, logits, candidates, best);
      for (const Candidate& c : candidates)
        best.push_back({c.id, static_cast<double>(c.logit) - logits.log_sum, false});
    });
    std::vector<Live> next;
    for (std::size_t begin = 0; begin < live_.size();) {
      const std::int64_t sentence = live_[begin].sentence;
      const std::size_t first_live = begin;
      extensions_.clear();
      for (; begin < live_.size() && live_[begin].sentence == sentence; ++begin)
        for (const auto& [id, log_probability, urged] : best_[static_cast<std::size_t>(live_[begin].row)])
          extensions_.push_back({begin, id, live_[begin].sum + log_probability, urged});
      const std::int64_t enough = sort_extensions(sentence, first_live, begin);
      const std::size_t first = next.size();
      for (std::int64_t rank = 0, taken = 0; rank < enough && taken < settings_.beam; ++rank) {
        const Extension& e = extensions_[static_cast<std::size_t>(rank)];
        const bool end = ends(e.id);
        if (end && rank >= settings_.beam) continue;
        advance(e, next);
        taken += !end;
      }
      if (next.size() == first && finished(sentence).empty()) nothing_allowed(sentence);
      const auto better = [](const Live& a, const Live& b) { return a.sum > b.sum; };
      if (next.size() > first &&
          done(sentence, std::min_element(next.begin() + static_cast<std::ptrdiff_t>(first), next.end(), better)->sum))
        next.resize(first);
    }
    live_ = std::move(next);
  }

  /// Adds to the continuations of a hypothesis what is required, and leaves of the model's own candidates those that
  /// may stand beside it.
  void urge(const Live& live, const RowOfLogits& logits, std::vector<Candidate>& candidates,
            std::vector<Continuation>& best) const {
    thread_local std::vector<std::int32_t> wanted;
    requirement(live.sentence).wanted(progress_of(live), live.urged, wanted);
    if (wanted.empty()) return;
    std::erase_if(wanted, [&](std::int32_t id) { return ends(id) || !(logits.values[id] > kMinusInfinity); });
    const bool only = live.urged || (!candidates.empty() && ends(candidates.front().id));
    if (only && !wanted.empty()) candidates.clear();
    std::erase_if(candidates, [&](const Candidate& c) { return ends(c.id); });
    for (const std::int32_t id : wanted)
      if (std::none_of(candidates.begin(), candidates.end(), [id](const Candidate& c) { return c.id == id; }) &&
          std::none_of(best.begin(), best.end(), [id](const Continuation& c) { return c.id == id; }))
        best.push_back({id, static_cast<double>(logits.values[id]) - logits.log_sum, true});
  }

  /// Sorts extensions_, those of live_[first .. last), best first; returns how many of them are enough: at least `beam`
  /// of them are no ends.
  std::int64_t sort_extensions(std::int64_t sentence, std::size_t first, std::size_t last) {
    const std::int64_t enough = (1 + ends_) * settings_.beam;
    if (live_[first].progress < 0)  // those of one hypothesis are sorted, by their logits
      return last - first == 1 ? std::min(enough, std::ssize(extensions_)) : sort_likeliest(extensions_, enough);
    const std::int64_t least = requirement(sentence).total() - (limit(sentence) - length_);
    share_beam(extensions_, requirement(sentence), least,
               [this](std::size_t from) { return progress_of(live_[from]); });
    return std::ssize(extensions_);
  }

  const Requirement& requirement(std::int64_t sentence) const {
    return input_.required[static_cast<std::size_t>(sentence)];
  }
  std::vector<std::int32_t> progress_of(const Live& live) const {
    const auto first = progress_.begin() + live.progress;
    return {first, first + static_cast<std::ptrdiff_t>(requirement(live.sentence).phrases())};
  }
  /// That of what was given to a translation; a prompt is not what is asked for. -1: nothing is required.
  std::int64_t begin_progress(std::int64_t sentence) {
    if (input_.required.empty() || requirement(sentence).empty()) return -1;
    const Requirement& required = requirement(sentence);
    const std::int64_t begin = std::ssize(progress_);
    progress_.resize(progress_.size() + required.phrases(), 0);
    const std::span progress(progress_.data() + begin, required.phrases());
    if (model_.configuration().has_encoder() && !input_.given.empty())
      for (const std::int32_t id : input_.given[static_cast<std::size_t>(sentence)]) required.advance(progress, id);
    if (const std::int64_t lacks = required.total() - required.met(progress); lacks > limit(sentence))
      throw RowError(sentence,
                     cat("room for ", limit(sentence), " ids, and ", lacks, " are needed for what is required"));
    return begin;
  }

  /// Whether the unfinished hypotheses of a sentence, of which the best has this sum, can be given up.
  bool done(std::int64_t sentence, double best_sum) {
    auto& list = finished(sentence);
    const std::size_t wanted = static_cast<std::size_t>(settings_.nbest);
    if (static_cast<std::int64_t>(list.size()) >= settings_.beam) return true;
    if (list.size() < wanted) return false;
    std::vector<double> scores;
    scores.reserve(list.size());
    for (const Finished& f : list) scores.push_back(f.score);
    std::nth_element(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(wanted) - 1, scores.end(),
                     std::greater<>());
    // A sum can only fall; dividing it by the largest length is the best that can happen to it.
    return scores[wanted - 1] >= score(best_sum, limit(sentence));
  }

  void sample(std::int64_t rows, const float* hidden) {
    const std::int64_t vocabulary = model_.head().projection().out();
    // The hypotheses of each row: several only at the first token.
    std::vector<std::size_t> first(static_cast<std::size_t>(rows) + 1, 0);
    for (const Live& live : live_) ++first[static_cast<std::size_t>(live.row) + 1];
    for (std::size_t r = 1; r < first.size(); ++r) first[r] += first[r - 1];
    std::vector<Extension> drawn(live_.size());
    for_rows(rows, hidden, [&](std::int64_t row, const RowOfLogits& logits) {
      for (std::size_t i = first[static_cast<std::size_t>(row)]; i < first[static_cast<std::size_t>(row) + 1]; ++i) {
        const Live& live = live_[i];
        const auto number = static_cast<std::uint64_t>(input_.numbers[static_cast<std::size_t>(live.sentence)]);
        const std::uint64_t seed =
            derive_seed(derive_seed(settings_.seed, number), static_cast<std::uint64_t>(live.sample));
        const std::int32_t id = draw(settings_.sampling, vocabulary, logits.values, logits.block_maxima,
                                     Random(derive_seed(seed, static_cast<std::uint64_t>(length_))).uniform());
        drawn[i] = {i, id, id < 0 ? 0 : live.sum + (static_cast<double>(logits.values[id]) - logits.log_sum)};
      }
    });
    std::vector<Live> next;
    for (const Extension& e : drawn) {
      if (e.id < 0) nothing_allowed(live_[e.from].sentence);
      advance(e, next);
    }
    live_ = std::move(next);
  }

  std::vector<std::vector<Hypothesis>> results() {
    std::vector<std::vector<Hypothesis>> all(finished_.size());
    for (std::size_t s = 0; s < finished_.size(); ++s) {
      auto& list = finished_[s];
      std::stable_sort(list.begin(), list.end(), [&](const Finished& a, const Finished& b) {
        return settings_.sample ? a.sample < b.sample : a.score > b.score;
      });
      list.resize(std::min(list.size(), static_cast<std::size_t>(settings_.nbest)));
      for (const Finished& f : list) {
        Hypothesis h{{}, {}, f.sum, f.score, f.end, f.urged, f.stopped};
        const auto sum_at = [&](std::int64_t node) {
          return node < 0 ? 0 : nodes_[static_cast<std::size_t>(node)].sum;
        };
        if (f.end >= 0) h.log_probabilities.push_back(f.sum - sum_at(f.node));
        for (std::int64_t node = f.node; node >= 0;) {
          const Node& token = nodes_[static_cast<std::size_t>(node)];
          h.ids.push_back(token.id);
          h.log_probabilities.push_back(token.sum - sum_at(token.parent));
          node = token.parent;
        }
        std::reverse(h.ids.begin(), h.ids.end());
        std::reverse(h.log_probabilities.begin(), h.log_probabilities.end());
        all[s].push_back(std::move(h));
      }
    }
    return all;
  }

  Context& ctx_;
  const Transformer& model_;
  DecoderCache::Storage& storage_;
  const SearchInput& input_;
  const SearchSettings& settings_;
  LogitRules rules_;
  std::int64_t ends_;        ///< How many ids end a hypothesis.
  std::int64_t length_ = 0;  ///< Tokens that a hypothesis has after this step.
  std::vector<Live> live_;   ///< By sentence; within one, best first.
  std::vector<std::vector<Finished>> finished_;
  std::vector<Node> nodes_;
  std::vector<std::int32_t> progress_;  ///< Of hypotheses of which phrases are required, old ones too.
  std::vector<std::vector<Continuation>> best_;
  std::vector<Extension> extensions_;
  std::vector<std::int32_t> parents_, tokens_, ids_;
  std::vector<std::int32_t> positions_;  ///< Of the rows of logits, for a probe.
  Buffer<float> hidden_;
  std::vector<Buffer<float>> other_hidden_;  ///< Of the further models of an ensemble.
  Buffer<float> mixture_;                    ///< Of an ensemble, (rows, vocabulary).
};

}  // namespace

double length_score(const SearchSettings& settings, double sum, std::int64_t length) {
  const double n = static_cast<double>(length);
  return sum / elementary::pow(settings.gnmt ? (5 + n) / 6 : n, settings.length_penalty);
}

std::vector<std::vector<Hypothesis>> search(Context& ctx, const Transformer& model, DecoderCache::Storage& storage,
                                            const SearchInput& input, const SearchSettings& settings) {
  if (input.beginnings.sequences() == 0) return {};
  return Search(ctx, model, storage, input, settings).run();
}

}  // namespace pipeformer
