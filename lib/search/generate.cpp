#include "search/generate.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <iomanip>
#include <limits>
#include <locale>
#include <mutex>
#include <sstream>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "models/encode_batch.hpp"

namespace pipeformer {
namespace {

const Phrases& of_record(const std::vector<Phrases>& phrases, std::int64_t s) {
  return phrases[phrases.size() == 1 ? 0 : static_cast<std::size_t>(s)];
}

/// Batches of a window: the sentences of some numbers, none of them empty.
class BatchGenerator {
 public:
  /// Memory of one thread, grown once.
  struct Memory {
    Workspace workspace;
    DecoderCache::Storage cache;
    std::deque<DecoderCache::Storage> others;
  };
  BatchGenerator(Memory& memory, const Transformer& model, const Batch& input, const Beside& beside,
                 const GenerateSettings& settings)
      : memory_(memory),
        model_(model),
        input_(input),
        prefixes_(model.configuration().has_encoder() ? beside.prefixes : &input),
        banned_(beside.banned),
        required_(beside.required),
        settings_(settings),
        window_(decoder_window(model.configuration(), settings.beyond)) {
    for (const Transformer* other : settings.others)
      if (const auto window = decoder_window(other->configuration(), settings.beyond))
        window_ = std::min(window_.value_or(*window), *window);
    memory_.others.resize(settings.others.size());
  }

  std::vector<std::vector<Hypothesis>> run(const std::vector<std::int64_t>& sentences) {
    const bool searches = settings_.max_length != 0;  // or outputs are what they begin with
    const auto copies = static_cast<std::size_t>(settings_.search.sample ? settings_.search.nbest : 1);
    auto all = searches ? search_for(sentences, settings_.search)
                        : std::vector<std::vector<Hypothesis>>(sentences.size(), std::vector<Hypothesis>(copies));
    if (searches && required_ && settings_.search.beam == 1) search_wider(sentences, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto forced = prefix(sentences[i]);
      for (Hypothesis& h : all[i]) {
        h.ids.insert(h.ids.begin(), forced.begin(), forced.end());
        h.log_probabilities.insert(h.log_probabilities.begin(), forced.size(), 0);
      }
      if (!searches) continue;
      if (slides()) slide(sentences[i], std::ssize(forced), all[i][0]);
      // Where a limit makes a model end, it ends by its end token.
      if (const Configuration& c = model_.configuration(); c.forced_end)
        for (Hypothesis& h : all[i])
          if (h.end < 0 && !h.stopped) {
            h.end = static_cast<std::int32_t>(c.end_id);
            h.log_probabilities.push_back(0);
          }
    }
    return all;
  }

 private:
  /// Greedy search puts what is required where nothing else fits any more, at the end. The sentences of which some
  /// phrase is there for that reason only get a beam that finds it a place; most do not, for a model says most of it
  /// unasked.
  static constexpr std::int64_t kRequiringBeam = 4;

  void search_wider(const std::vector<std::int64_t>& sentences, std::vector<std::vector<Hypothesis>>& all) {
    const auto urged = [](const Hypothesis& h) { return h.urged; };
    std::vector<std::size_t> which;
    std::vector<std::int64_t> again;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (std::any_of(all[i].begin(), all[i].end(), urged)) {
        which.push_back(i);
        again.push_back(sentences[i]);
      }
    if (again.empty()) return;
    SearchSettings wider = settings_.search;
    wider.beam = kRequiringBeam;
    try {
      auto found = search_for(again, wider);
      for (std::size_t i = 0; i < which.size(); ++i) all[which[i]] = std::move(found[i]);
    } catch (const RowError& error) {
      throw RowError(static_cast<std::int64_t>(which[static_cast<std::size_t>(error.row())]), error.what());
    }
  }

  std::vector<std::vector<Hypothesis>> search_for(const std::vector<std::int64_t>& sentences,
                                                  const SearchSettings& settings) {
    const WorkspaceScope scope(memory_.workspace);
    Context ctx{memory_.workspace};
    const std::int64_t begin = model_.configuration().begin_id;
    const Batch sources = select_sequences(input_, sentences);
    std::vector<std::int64_t> numbers;
    for (const std::int64_t s : sentences) numbers.push_back(input_.first_record + s);
    ctx.probe = settings_.probe;
    ctx.kept = settings_.kept;
    ctx.places.numbers = numbers.data();
    SearchInput in;
    if (model_.configuration().has_encoder()) {
      in.sources = sources.ragged();
      in.memory = source_memory(ctx, model_, sources);
    }
    std::vector<EnsembleMember> others;
    for (std::size_t k = 0; k < settings_.others.size(); ++k)
      others.push_back({settings_.others[k], source_memory(ctx, *settings_.others[k], sources), &memory_.others[k]});
    in.others = others;
    std::vector<std::int32_t> beginning_ids;
    std::vector<std::int64_t> offsets{0}, limits;
    std::vector<std::span<const std::int32_t>> given;
    std::vector<const Phrases*> bans;
    std::vector<Requirement> required;
    for (std::size_t i = 0; i < sentences.size(); ++i) {
      const std::int64_t s = sentences[i];
      if (begin >= 0) beginning_ids.push_back(static_cast<std::int32_t>(begin));
      auto forced = prefix(s);
      given.push_back(forced);
      if (banned_) bans.push_back(&of_record(*banned_, s));
      if (required_) required.emplace_back(of_record(*required_, s));
      if (slides() && std::ssize(forced) >= *window_) forced = forced.last(static_cast<std::size_t>(*window_ / 2));
      beginning_ids.insert(beginning_ids.end(), forced.begin(), forced.end());
      offsets.push_back(static_cast<std::int64_t>(beginning_ids.size()));
      limits.push_back(limit(static_cast<std::int64_t>(i), input_.ragged().length(s), std::ssize(forced)));
    }
    in.beginnings = {offsets};
    in.beginning_ids = beginning_ids.data();
    in.limits = limits;
    in.numbers = numbers;
    in.given = given;
    in.banned = bans;
    in.required = required;
    return search(ctx, model_, memory_.cache, in, settings);
  }

  std::span<const std::int32_t> prefix(std::int64_t s) const {
    if (!prefixes_) return {};
    const Ragged ragged = prefixes_->ragged();
    return {prefixes_->tokens.data() + ragged.begin(s), static_cast<std::size_t>(ragged.length(s))};
  }

  bool slides() const { return window_ && settings_.beyond == Beyond::slide; }

  /// Goes on with a hypothesis (forced ids, then generated ones) that its window cut off.
  void slide(std::int64_t s, std::int64_t forced, Hypothesis& h) const {
    const WorkspaceScope scope(memory_.workspace);
    Context ctx{memory_.workspace};
    ctx.probe = settings_.probe;
    const std::int64_t begin = model_.configuration().begin_id, kept = *window_ / 2, number = input_.first_record + s,
                       most = wanted(input_.ragged().length(s));
    const Phrases* const bans[] = {banned_ ? &of_record(*banned_, s) : nullptr};
    std::int64_t generated = std::ssize(h.ids) - forced;
    while (h.end < 0 && !h.stopped && generated < most) {
      std::vector<std::int32_t> ids;
      if (begin >= 0) ids.push_back(static_cast<std::int32_t>(begin));
      ids.insert(ids.end(), h.ids.end() - kept, h.ids.end());
      const std::vector<std::int64_t> offsets{0, std::ssize(ids)}, limits{std::min(most, generated + *window_ - kept)},
          numbers{number};
      SearchInput in;
      in.beginnings = {offsets};
      in.beginning_ids = ids.data();
      in.limits = limits;
      in.numbers = numbers;
      in.generated = generated;
      const std::span<const std::int32_t> given[] = {h.ids};
      in.given = given;
      if (banned_) in.banned = bans;
      ctx.places = {0, numbers.data()};
      const Hypothesis more = search(ctx, model_, memory_.cache, in, settings_.search)[0][0];
      h.ids.insert(h.ids.end(), more.ids.begin(), more.ids.end());
      h.log_probabilities.insert(h.log_probabilities.end(), more.log_probabilities.begin(),
                                 more.log_probabilities.end());
      h.log_probability += more.log_probability;
      h.end = more.end;
      h.stopped = more.stopped;
      generated = std::ssize(h.ids) - forced;
      h.score = length_score(settings_.search, h.log_probability, generated + (h.end >= 0));
    }
  }

  /// Most tokens to generate, wherever the window ends.
  std::int64_t wanted(std::int64_t source_length) const {
    std::int64_t most = settings_.max_length >= 0 ? settings_.max_length : std::numeric_limits<std::int64_t>::max();
    if (settings_.max_length_factor > 0) {
      const double by_source = std::floor(settings_.max_length_factor * static_cast<double>(source_length));
      most = std::min(most, static_cast<std::int64_t>(std::min(by_source, 1e15)) + GenerateSettings::kExtraLength);
    }
    // The last id that a fixed length allows is the end, which is not counted.
    if (model_.configuration().forced_end && most == settings_.max_length) --most;
    return most;
  }

  /// row: for the error.
  std::int64_t limit(std::int64_t row, std::int64_t source_length, std::int64_t forced) const {
    const std::int64_t most = wanted(source_length);
    if (!window_) return most;
    const std::int64_t room = *window_ - forced;
    if (most > room && settings_.length_asked && !slides()) {
      const Configuration& c = model_.configuration();
      const bool trained = settings_.beyond == Beyond::refuse && *window_ == c.context;
      throw RowError(row, cat(forced, " ids and ", most, " more (--max-length) are beyond the ", *window_, " that ",
                              trained ? "the model was trained on" : "its learned positions allow",
                              c.has_encoder() ? "" : "; --slide moves the window on",
                              trained ? ", --beyond-context leaves it" : ""));
    }
    return std::min(most, room);
  }

  Memory& memory_;
  const Transformer& model_;
  const Batch& input_;
  const Batch* prefixes_;
  const std::vector<Phrases>*banned_, *required_;
  const GenerateSettings& settings_;
  std::optional<std::int64_t> window_;
};

}  // namespace

const float* source_memory(Context& ctx, const Transformer& model, const Batch& batch) {
  if (!model.configuration().has_encoder()) return nullptr;
  if (!batch.ids) return batch.rows.data();
  return encode_batch(ctx, model, batch, Transformer::Source::Kind::ids).memory;
}

std::optional<std::int64_t> decoder_window(const Configuration& c, Beyond beyond) {
  std::optional<std::int64_t> window = c.longest(true);
  if (window && c.begin_id >= 0) --*window;
  if (!c.has_encoder() && c.context > 0 && beyond != Beyond::go_on)
    window = std::min(window.value_or(c.context), c.context);
  return window;
}

void check_ids(const BatchStream& stream, std::int64_t vocabulary, const Configuration& configuration,
               std::int64_t extra, Beyond beyond) {
  const Batch& batch = stream.batch;
  if (!batch.ids) return;
  for (std::int64_t r = 0; r < batch.positions(); ++r) {
    const std::int32_t id = batch.tokens[static_cast<std::size_t>(r)];
    if (id < 0 || id >= vocabulary)
      throw Error(cat(stream.where(r), ": id ", id, " is outside the vocabulary of ", vocabulary));
  }
  if (beyond == Beyond::slide) return;
  const auto longest = configuration.longest(!configuration.has_encoder());
  for (std::int64_t r = 0; longest && r < batch.records(); ++r)
    if (batch.length(r) + extra > *longest)
      throw Error(cat(stream.where_record(r), ": a sequence of ", batch.length(r), " ids, and ", extra,
                      " more, is longer than the model's ", *longest, " learned positions"));
  if (configuration.has_encoder() || configuration.context == 0 || beyond == Beyond::go_on) return;
  for (std::int64_t r = 0; r < batch.records(); ++r)
    if (batch.length(r) + extra - 1 > configuration.context)
      throw Error(cat(stream.where_record(r), ": a sequence of ", batch.length(r), " ids",
                      extra > 1 ? ", and one more," : "", " is beyond the ", configuration.context,
                      " that the model was trained on; --beyond-context leaves them"));
}

Batch select_sequences(const Batch& batch, const std::vector<std::int64_t>& sequences) {
  Batch selected;
  selected.ids = batch.ids;
  selected.width = batch.width;
  const Ragged ragged = batch.ragged();
  for (const std::int64_t s : sequences) {
    const std::int64_t begin = ragged.begin(s), end = begin + ragged.length(s);
    if (batch.ids) {
      selected.tokens.insert(selected.tokens.end(), batch.tokens.begin() + begin, batch.tokens.begin() + end);
      selected.shapes.push_back({end - begin});
    } else {
      selected.rows.insert(selected.rows.end(), batch.rows.begin() + begin * batch.width,
                           batch.rows.begin() + end * batch.width);
      selected.shapes.push_back({end - begin, batch.width});
    }
    selected.offsets.push_back(selected.positions() + end - begin);
  }
  return selected;
}

std::vector<std::vector<Hypothesis>> generate_window(const Transformer& model, const BatchStream& stream,
                                                     const Beside& beside, const GenerateSettings& settings,
                                                     const std::function<void(std::int64_t)>& done) {
  const Batch& input = stream.batch;
  for (std::int64_t r = 0; r < input.records(); ++r)
    if (!input.leading_axes(r).empty())
      throw Error(cat(stream.where_record(r), ": shape ", shape_text(input.shapes[static_cast<std::size_t>(r)]),
                      " holds several sentences, whose outputs differ in length (convert --unstack makes a record of "
                      "each)"));
  const Ragged ragged = input.ragged();
  std::vector<std::vector<Hypothesis>> outputs(static_cast<std::size_t>(input.sequences()));
  std::vector<std::int64_t> order;
  for (std::int64_t s = 0; s < input.sequences(); ++s) {
    if (ragged.length(s) > 0) {
      order.push_back(s);
    } else {
      outputs[static_cast<std::size_t>(s)].resize(static_cast<std::size_t>(settings.search.nbest));
    }
  }
  for (const std::int64_t s : order)
    if (beside.required)
      expect_possible(of_record(*beside.required, s), beside.banned ? &of_record(*beside.banned, s) : nullptr,
                      model.configuration(), settings.search.rules.suppressed, stream.where_record(s));
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return ragged.length(a) < ragged.length(b); });
  const std::int64_t hypotheses = settings.search.sample ? settings.search.nbest : settings.search.beam;
  std::vector<std::vector<std::int64_t>> batches;
  for (std::size_t begin = 0; begin < order.size();) {
    batches.emplace_back();
    for (std::int64_t rows = 0; begin < order.size() && (batches.back().empty() || rows < settings.batch_rows);
         ++begin) {
      batches.back().push_back(order[begin]);
      rows += ragged.length(order[begin]) * hypotheses;
    }
  }
  std::mutex one_at_a_time;
  const auto generate = [&](BatchGenerator::Memory& memory, const std::vector<std::int64_t>& sentences) {
    std::vector<std::vector<Hypothesis>> found;
    try {
      found = BatchGenerator(memory, model, input, beside, settings).run(sentences);
    } catch (const RowError& error) {
      throw Error(cat(stream.where_record(sentences[static_cast<std::size_t>(error.row())]), ": ", error.what()));
    }
    const std::lock_guard lock(one_at_a_time);
    for (std::size_t i = 0; i < sentences.size(); ++i) {
      found[i].resize(static_cast<std::size_t>(settings.search.nbest),
                      {{}, {}, -std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()});
      outputs[static_cast<std::size_t>(sentences[i])] = std::move(found[i]);
    }
    done(static_cast<std::int64_t>(sentences.size()));
  };
  // Batches side by side, each on a thread of its own, wait for each other less than the many short loops of one batch
  // do; threads that find no more of them help with those.
  parallel_for(static_cast<std::int64_t>(batches.size()), 1, [&](std::int64_t b, std::int64_t) {
    thread_local BatchGenerator::Memory own;
    generate(own, batches[static_cast<std::size_t>(b)]);
  });
  return outputs;
}

namespace {

/// Generated ids that stand for a word of the source become the number of its position.
void name_copied(std::vector<std::int32_t>& ids, std::int64_t given, std::int32_t copied,
                 const std::vector<std::int32_t>& alignment) {
  for (auto t = static_cast<std::size_t>(given); t < ids.size(); ++t)
    if (ids[t] == copied) ids[t] = -1 - alignment[t];
}

}  // namespace

std::int64_t write_hypotheses(const std::vector<std::vector<Hypothesis>>& outputs, const Batch* forced,
                              const std::vector<OutputProbe::Seen>& seen, const HypothesisWriters& to) {
  std::int64_t tokens = 0, sequence = 0;
  std::vector<std::int32_t> ids;
  std::vector<float> scores;
  auto shown = seen.begin();
  for (const auto& hypotheses : outputs) {
    const std::int64_t given = forced ? forced->ragged().length(sequence++) : 0;
    for (const Hypothesis& h : hypotheses) {
      ids = h.ids;
      if (to.keep_end && h.end >= 0) ids.push_back(h.end);
      const std::int64_t length = std::ssize(ids);
      if (to.copied_id >= 0) name_copied(ids, given, to.copied_id, shown->alignment);
      if (to.ids) to.ids->write(DType::i4, {length}, ids.data());
      tokens += std::max<std::int64_t>(0, std::ssize(h.ids) - given);  // an empty input has an empty output
      const float pair[] = {static_cast<float>(h.log_probability), static_cast<float>(h.score)};
      if (to.scores) to.scores->write(DType::f4, {2}, pair);
      if (to.token_scores) {
        scores.assign(h.log_probabilities.begin(), h.log_probabilities.end());
        to.token_scores->write(DType::f4, {length}, scores.data());
      }
      if (shown == seen.end()) continue;
      if (to.alignment) to.alignment->write(DType::i4, {length}, shown->alignment.data());
      if (to.alternatives) {
        // What an empty input gives has no positions, not even the end's.
        const std::int64_t rows = h.log_probabilities.empty() ? 0 : std::ssize(shown->tokens) / to.alternative_count;
        to.alternatives->write(DType::i4, {rows, to.alternative_count}, shown->tokens.data());
        if (to.alternative_scores)
          to.alternative_scores->write(DType::f4, {rows, to.alternative_count}, shown->log_probabilities.data());
      }
      ++shown;
    }
  }
  for (RecordWriter* writer :
       {to.ids, to.scores, to.token_scores, to.alignment, to.alternatives, to.alternative_scores})
    if (writer) writer->flush();
  return tokens;
}

std::string rate_summary(std::int64_t sentences, std::int64_t tokens, double seconds) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << sentences << " sentences, " << tokens << " tokens, " << std::fixed << std::setprecision(3) << seconds << " s, "
      << std::setprecision(0) << static_cast<double>(sentences) / seconds << " sentences/s, "
      << static_cast<double>(tokens) / seconds << " tokens/s";
  return out.str();
}

}  // namespace pipeformer
