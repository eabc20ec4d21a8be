// Generation against its definition: the cache against whole passes, beam search against all sequences there are,
// sampling against probabilities.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "core/error.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "models/decoder_cache.hpp"
#include "models/model_file.hpp"
#include "ops/logits.hpp"
#include "search/generate.hpp"

using namespace pipeformer;

namespace {

Configuration tiny(std::int64_t vocabulary) {
  Configuration c;
  c.source_vocabulary = c.target_vocabulary = vocabulary;
  c.width = 24;
  c.stacks([](StackSpec& s) { s.heads = 4, s.inner = 40, s.layers = 2, s.max_positions = 64; });
  c.begin_id = c.suppressed_id = 0;
  c.end_id = 1;
  return c;
}

/// A random model whose logits, when its output is not tied, are `sharp` times as far apart as a fresh one's.
struct Model {
  explicit Model(const Configuration& c, std::uint64_t seed = 1, float sharp = 1)
      : arena([&](ParameterSource& source) { Transformer(source, c); }), configuration(c) {
    arena.initialize(seed);
    for (const auto& entry : arena.entries()) {
      float* values = arena.mutable_values() + entry.offset;
      Random random(seed + static_cast<std::uint64_t>(entry.offset));
      if (entry.initial == Initial::zero)
        std::generate_n(values, entry.size, [&] { return static_cast<float>(random.normal() * 0.1); });
      if (entry.name == "decoder/output/weight")
        std::transform(values, values + entry.size, values, [&](float v) { return v * sharp; });
    }
    transformer.emplace(arena, c);
  }
  ParameterArena arena;
  Configuration configuration;
  std::optional<Transformer> transformer;
};

std::vector<float> random_rows(std::int64_t rows, std::int64_t width, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<std::size_t>(rows * width));
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

/// The hidden state after the last of `ids` (with begin), from one whole pass over one sentence.
std::vector<float> whole_pass(const Transformer& model, const std::vector<std::int32_t>& ids, std::int64_t source_rows,
                              const float* memory, WeightType kept = WeightType::float32) {
  Workspace workspace;
  Context ctx{workspace};
  ctx.kept = kept;
  const std::vector<std::int64_t> target{0, static_cast<std::int64_t>(ids.size())}, source{0, source_rows};
  Transformer::Decoded decoded;
  model.decode(ctx, {{target}, ids.data()}, {{source}, memory}, decoded);
  const float* hidden = decoded.hidden;
  const std::int64_t width = model.configuration().width;
  return {hidden + (target[1] - 1) * width, hidden + target[1] * width};
}

std::vector<double> log_probabilities(const Transformer& model, const std::vector<float>& hidden) {
  std::vector<float> logits(static_cast<std::size_t>(model.head().projection().out()));
  Workspace workspace;
  Context ctx{workspace};
  model.head().logits(ctx, {one_row_each(1)}, hidden.data(), logits.data());
  double sum = 0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v));
  std::vector<double> result;
  for (const float v : logits) result.push_back(v - std::log(sum));
  return result;
}

std::vector<Configuration> family() {
  std::vector<Configuration> all;
  Configuration c = tiny(11);
  all.push_back(c);
  c.stacks([](StackSpec& s) {
    s.norm_position = NormPosition::pre, s.final_norm = true, s.norm = NormKind::rms, s.gated = true,
    s.activation = Activation::silu, s.attention_bias = s.attention_output_bias = s.ffn_bias = false;
  });
  all.push_back(c);
  c.stacks([](StackSpec& s) { s.positions = PositionKind::rotary, s.kv_heads = 2; });
  all.push_back(c);
  c.kind = ModelKind::decoder_only, c.source_vocabulary = 0, c.tied = Tied::target;
  all.push_back(c);
  c = tiny(11);
  c.tied = Tied::none, c.output_bias = true;
  c.stacks([](StackSpec& s) { s.positions = PositionKind::learned, s.kv_heads = 1; });
  all.push_back(c);
  return all;
}

struct Sources {
  std::vector<std::int64_t> offsets;
  std::vector<float> memory;
};

Sources random_sources(const std::vector<std::int64_t>& lengths, std::int64_t width) {
  Sources sources{{0}, {}};
  for (const std::int64_t n : lengths) sources.offsets.push_back(sources.offsets.back() + n);
  sources.memory = random_rows(sources.offsets.back(), width, 5);
  return sources;
}

}  // namespace

TEST_CASE("the cache gives the bits of whole passes, whatever hypotheses branch and die", "[search]") {
  const auto kept = GENERATE(WeightType::float32, WeightType::float16, WeightType::bfloat16, WeightType::int8);
  for (const Configuration& c : family()) {
    CAPTURE(kept, name_of(c.kind), name_of(c.decoder.norm_position), name_of(c.decoder.positions), c.decoder.kv_heads);
    const Model model(c);
    const bool encoder = c.has_encoder();
    const Sources sources = random_sources({5, 1, 300}, c.width);
    std::vector<std::vector<std::int32_t>> paths{{0}, {0, 4, 7}, {0, 9}};  // what each hypothesis has read
    std::vector<std::int32_t> ids, sentence{0, 1, 2};
    std::vector<std::int64_t> offsets{0};
    for (const auto& path : paths) {
      ids.insert(ids.end(), path.begin(), path.end());
      offsets.push_back(static_cast<std::int64_t>(ids.size()));
    }
    Workspace workspace;
    Context ctx{workspace};
    ctx.kept = kept;
    DecoderCache::Storage storage;
    DecoderCache cache(*model.transformer, storage, kept);
    const float* memory = encoder ? sources.memory.data() : nullptr;
    const float* hidden = cache.start(ctx, encoder ? Ragged{sources.offsets} : Ragged{}, memory, {offsets}, ids.data());
    Random random(3);
    for (int step = 0;; ++step) {
      REQUIRE(cache.hypotheses() == static_cast<std::int64_t>(paths.size()));
      for (std::size_t i = 0; i < paths.size(); ++i) {
        const std::int64_t begin = sources.offsets[static_cast<std::size_t>(sentence[i])];
        const std::int64_t rows = sources.offsets[static_cast<std::size_t>(sentence[i]) + 1] - begin;
        const auto expected =
            whole_pass(*model.transformer, paths[i], rows, memory ? memory + begin * c.width : nullptr, kept);
        CAPTURE(step, i);
        REQUIRE(std::memcmp(expected.data(), hidden + static_cast<std::int64_t>(i) * c.width,
                            expected.size() * sizeof(float)) == 0);
      }
      if (step == 12) break;
      // Some hypotheses have several children, some none; the middle sentence ends early.
      std::vector<std::vector<std::int32_t>> next;
      std::vector<std::int32_t> parents, tokens, next_sentence;
      for (std::size_t i = 0; i < paths.size(); ++i) {
        const std::uint64_t most = paths.size() > 9 ? 2 : 4;
        for (std::uint64_t child = i > 0 ? 0 : 1; child < 1 + random.below(most); ++child) {
          if (sentence[i] == 1 && step > 3) break;
          parents.push_back(static_cast<std::int32_t>(i));
          tokens.push_back(static_cast<std::int32_t>(random.below(11)));
          next.push_back(paths[i]);
          next.back().push_back(tokens.back());
          next_sentence.push_back(sentence[i]);
        }
      }
      paths = std::move(next);
      sentence = std::move(next_sentence);
      hidden = cache.step(ctx, parents, tokens);
    }
  }
}

namespace {

/// A cache of a language model.
struct OwnCache {
  static Configuration configuration() {
    Configuration c = tiny(11);
    c.kind = ModelKind::decoder_only;
    return c;
  }
  Model model{configuration()};
  Workspace workspace;
  Context ctx{workspace};
  DecoderCache::Storage storage;
  DecoderCache cache{*model.transformer, storage};
};

}  // namespace

TEST_CASE("rows of dead hypotheses are used again", "[search]") {
  OwnCache own;
  DecoderCache& cache = own.cache;
  const std::vector<std::int64_t> one{0, 1};
  const std::vector<std::int32_t> begin{0};
  cache.start(own.ctx, {}, nullptr, {one}, begin.data());
  for (int t = 0; t < 60; ++t) {  // eight children of one parent, of which one lives on
    const WorkspaceScope scope(own.workspace);
    cache.step(own.ctx, std::vector<std::int32_t>(8, t == 0 ? 0 : t % 8),
               std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7, 8});
  }
  REQUIRE(cache.stored_rows() >= 60 + 8);
  REQUIRE(cache.stored_rows() < 60 * 8);  // what all of them would take
}

TEST_CASE("a cache has room for the steps that are known, not for more", "[search]") {
  OwnCache own;
  DecoderCache& cache = own.cache;
  const std::vector<std::int64_t> offsets{0, 2, 3, 5};
  const std::vector<std::int32_t> begin{0, 1, 0, 0, 3};
  cache.start(own.ctx, {}, nullptr, {offsets}, begin.data(), 7);
  const auto step = [&] { cache.step(own.ctx, std::vector{0, 1, 2}, std::vector{1, 2, 3}); };
  for (int t = 0; t < 7; ++t) step();
  REQUIRE(cache.stored_rows() == 5 + 7 * 3);
  step();  // though there were to be no more
  REQUIRE(cache.stored_rows() == 5 + 8 * 3);
}

TEST_CASE("what a layer keeps for nobody is given back", "[search]") {
  const Model model(tiny(11));
  const std::int64_t rows = 16, width = model.configuration.width;
  const std::vector<std::int64_t> offsets{0, rows};
  const std::vector<float> x(static_cast<std::size_t>(rows * width), 0.5f);
  const auto taken = [&](bool training) {
    Workspace workspace;
    Context ctx{workspace};
    ctx.training = training;
    TransformerLayer::Saved saved;
    model.transformer->encoder().layers()[0].forward(ctx, {offsets}, x.data(), {}, saved);
    return static_cast<std::int64_t>(workspace.mark().used);
  };
  REQUIRE(taken(false) == 2 * rows * width * 4);  // what the two sublayers return
  REQUIRE(taken(true) > 6 * rows * width * 4);
}

TEST_CASE("caches of other models may use a storage one after another", "[search]") {
  std::vector<Configuration> shapes(3, tiny(11));
  for (Configuration& c : shapes) c.kind = ModelKind::decoder_only;
  shapes[0].decoder.layers = 1;
  shapes[2].decoder.heads = shapes[2].decoder.heads / 2;
  shapes[2].decoder.layers = 3;
  shapes[2].width = 48;
  Workspace workspace;
  DecoderCache::Storage storage;
  const std::vector<std::int64_t> one{0, 1};
  const std::vector<std::int32_t> begin{0};
  for (const std::size_t shape : {0, 1, 2, 1, 0, 2}) {
    const Model model(shapes[shape]);
    const WeightType kept = shape == 1 ? WeightType::int8 : WeightType::float32;
    const auto last_hidden = [&](DecoderCache::Storage& used) {
      Context ctx{workspace};  // a cache leaves places in it that end with the cache
      ctx.kept = kept;
      DecoderCache cache(*model.transformer, used, kept);
      const float* hidden = cache.start(ctx, {}, nullptr, {one}, begin.data());
      for (std::int32_t t = 0; t < 30; ++t)
        hidden = cache.step(ctx, std::vector<std::int32_t>{0}, std::vector<std::int32_t>{2 + t % 9});
      return std::vector<float>(hidden, hidden + model.configuration.width);
    };
    DecoderCache::Storage fresh;
    const WorkspaceScope scope(workspace);
    REQUIRE(last_hidden(storage) == last_hidden(fresh));
  }
}

TEST_CASE("the best candidates are those of a sort", "[search]") {
  Random random(9);
  for (const std::int64_t n : {1, 5, 63, 64, 65, 1000, 5000}) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (float& v : x) v = static_cast<float>(random.below(50)) - (random.below(9) == 0 ? INFINITY : 0);  // many equals
    std::vector<float> maxima(static_cast<std::size_t>(n / kMaximaBlock + 1));
    float maximum = 0, sum = 0;
    log_sum_exp(n, x.data(), &maximum, &sum, maxima.data());
    // Ids that are forbidden after the maxima were taken, the highest first: the maxima are only bounds then.
    for (const std::size_t forbidden : {0, 1, 2, 30, 2000}) {
      const auto sorted = [&] {
        std::vector<std::int32_t> order;
        for (std::int32_t i = 0; i < n; ++i)
          if (x[static_cast<std::size_t>(i)] > -INFINITY) order.push_back(i);
        std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
          return x[static_cast<std::size_t>(a)] > x[static_cast<std::size_t>(b)];
        });
        return order;
      };
      const std::vector<std::int32_t> highest = sorted();
      for (std::size_t i = 0; i < std::min(forbidden, highest.size()); ++i)
        x[static_cast<std::size_t>(highest[i])] = -INFINITY;
      const std::vector<std::int32_t> order = sorted();
      for (const std::int64_t k : {1, 4, 64, 500, 6000, -1, -2, -4, -64}) {  // negative: with the maxima of blocks
        std::vector<Candidate> best;
        best_candidates(n, x.data(), k < 0 ? maxima.data() : nullptr, std::abs(k), best);
        REQUIRE(best.size() == std::min(order.size(), static_cast<std::size_t>(std::abs(k))));
        for (std::size_t i = 0; i < best.size(); ++i) {
          REQUIRE(best[i].id == order[i]);
          REQUIRE(best[i].logit == x[static_cast<std::size_t>(order[i])]);
        }
      }
    }
  }
}

namespace {

struct One {  // one sentence to search
  One(const Model& model, std::int64_t limit) : limits{limit} {
    sources = random_sources({6}, model.configuration.width);
    in.sources = {sources.offsets};
    in.memory = sources.memory.data();
    in.beginnings = {offsets};
    in.beginning_ids = &begin;
    in.limits = limits;
    in.numbers = numbers;
  }
  std::vector<Hypothesis> run(const Model& model, const SearchSettings& settings) {
    Workspace workspace;
    Context ctx{workspace};
    DecoderCache::Storage storage;
    return search(ctx, *model.transformer, storage, in, settings).at(0);
  }
  Sources sources;
  std::vector<std::int64_t> limits, numbers{0}, offsets{0, 1};
  std::int32_t begin = 0;
  SearchInput in;
};

/// Every sequence that ends or reaches the limit, with its sum of log-probabilities.
void enumerate(const Model& model, const One& one, std::int64_t min_length, std::vector<std::int32_t> ids, double sum,
               std::vector<std::pair<Hypothesis, std::int64_t>>& all) {
  const std::int64_t length = static_cast<std::int64_t>(ids.size()) - 1;
  if (length == one.limits[0]) {
    all.push_back({{{ids.begin() + 1, ids.end()}, {}, sum, 0}, length});
    return;
  }
  const auto p =
      log_probabilities(*model.transformer, whole_pass(*model.transformer, ids, 6, one.sources.memory.data()));
  if (length >= min_length) all.push_back({{{ids.begin() + 1, ids.end()}, {}, sum + p[1], 0}, length + 1});
  for (std::int32_t id = 2; id < static_cast<std::int32_t>(p.size()); ++id) {
    auto longer = ids;
    longer.push_back(id);
    enumerate(model, one, min_length, longer, sum + p[static_cast<std::size_t>(id)], all);
  }
}

}  // namespace

TEST_CASE("a beam that is wide enough finds the best of all sequences", "[search]") {
  const Model model(tiny(5), 4);
  One one(model, 4);
  for (const std::int64_t min_length : {0, 2}) {
    for (const bool gnmt : {false, true}) {
      for (const double penalty : {0.0, 0.6, 1.0}) {
        std::vector<std::pair<Hypothesis, std::int64_t>> all;
        enumerate(model, one, min_length, {0}, 0, all);
        for (auto& [h, length] : all)
          h.score = h.log_probability /
                    std::pow(gnmt ? (5.0 + static_cast<double>(length)) / 6.0 : static_cast<double>(length), penalty);
        std::stable_sort(all.begin(), all.end(),
                         [](const auto& a, const auto& b) { return a.first.score > b.first.score; });
        SearchSettings settings;
        settings.beam = 1000;
        settings.nbest = 30;
        settings.length_penalty = penalty;
        settings.gnmt = gnmt;
        settings.rules.min_length = min_length;
        const auto found = one.run(model, settings);
        REQUIRE(found.size() == 30);
        for (std::size_t i = 0; i < found.size(); ++i) {
          CAPTURE(min_length, gnmt, penalty, i);
          REQUIRE(found[i].log_probability == Approx(all[i].first.log_probability).epsilon(1e-5));
          REQUIRE(found[i].score == Approx(all[i].first.score).epsilon(1e-5));
          REQUIRE(found[i].ids == all[i].first.ids);
        }
        settings.nbest = 1;  // stops early
        REQUIRE(one.run(model, settings)[0].ids == all[0].first.ids);
      }
    }
  }
}

TEST_CASE("a beam of one follows the largest probability", "[search]") {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    Configuration c = tiny(30);
    c.tied = Tied::none;
    const Model model(c, seed, 3);
    One one(model, 20);
    std::vector<std::int32_t> ids{0};
    double sum = 0;
    for (bool end = false; !end && ids.size() <= 20;) {
      auto p = log_probabilities(*model.transformer, whole_pass(*model.transformer, ids, 6, one.sources.memory.data()));
      p[0] = -1e9;
      const auto best = static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin());
      sum += p[best];
      end = best == 1;
      if (!end) ids.push_back(static_cast<std::int32_t>(best));
    }
    const auto found = one.run(model, {});
    REQUIRE(found.size() == 1);
    REQUIRE(found[0].ids == std::vector<std::int32_t>(ids.begin() + 1, ids.end()));
    REQUIRE(found[0].log_probability == Approx(sum).epsilon(1e-5));
  }
}

TEST_CASE("samples are as frequent as they are probable", "[search]") {
  const Model model(tiny(9), 2);
  One one(model, 1);
  auto p = log_probabilities(*model.transformer, whole_pass(*model.transformer, {0}, 6, one.sources.memory.data()));
  std::vector<std::int32_t> order{2, 3, 4, 5, 6, 7, 8, 1};  // begin is never drawn
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return p[static_cast<std::size_t>(a)] > p[static_cast<std::size_t>(b)];
  });
  const auto check = [&](const Sampling& sampling) {
    // The definition: temperature, then the k best, then the best that reach p together.
    std::vector<std::pair<std::int32_t, double>> expected;
    double total = 0, kept = 0;
    for (const std::int32_t id : order) {
      if (sampling.top_k > 0 && static_cast<std::int64_t>(expected.size()) == sampling.top_k) break;
      expected.push_back({id, std::exp(p[static_cast<std::size_t>(id)] / sampling.temperature)});
      total += expected.back().second;
    }
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (i > 0 && kept >= sampling.top_p * total) {
        expected.resize(i);
        break;
      }
      kept += expected[i].second;
    }
    SearchSettings settings;
    settings.sample = true;
    settings.nbest = 20000;
    settings.sampling = sampling;
    settings.seed = 11;
    std::map<std::int32_t, double> counts;
    const auto samples = one.run(model, settings);
    REQUIRE(samples.size() == 20000);
    for (const Hypothesis& h : samples) {
      const std::int32_t id = h.ids.empty() ? 1 : h.ids[0];
      counts[id] += 1;
      REQUIRE(h.log_probability == Approx(p[static_cast<std::size_t>(id)]).epsilon(1e-5));
    }
    double chi_square = 0, seen = 0;
    for (const auto& [id, weight] : expected) {
      const double mean = 20000 * weight / kept;
      chi_square += (counts[id] - mean) * (counts[id] - mean) / mean;
      seen += counts[id];
    }
    REQUIRE(seen == 20000);      // and nothing else
    REQUIRE(chi_square < 24.3);  // 7 degrees of freedom: once in a thousand
  };
  check({1, 0, 1});
  check({0.5, 0, 1});
  check({2, 0, 1});
  check({1, 3, 1});
  check({1, 1, 1});
  check({1, 0, 0.5});
  check({0.7, 5, 0.8});
  check({1, 0, 0});  // the best one always remains
}

TEST_CASE("a large vocabulary is cut where a sort would cut it", "[search]") {
  std::vector<float> logits(3000);
  Random random(4);
  for (float& v : logits) v = static_cast<float>(random.normal() * 0.1);
  std::vector<std::pair<double, std::int32_t>> p;
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    p.push_back({std::exp(static_cast<double>(logits[i])), static_cast<std::int32_t>(i)});
    total += p.back().first;
  }
  std::sort(p.begin(), p.end(), std::greater<>());
  // Draw with u almost 1: the last token that remains.
  double kept = 0;
  std::size_t count = 0;
  while (kept < 0.9 * total) kept += p[count++].first;
  const std::int32_t last = draw({1, 0, 0.9}, 3000, logits.data(), nullptr, 0.9999999999);
  REQUIRE(std::abs(p[count - 1].first - std::exp(static_cast<double>(logits[static_cast<std::size_t>(last)]))) < 1e-5);
  REQUIRE(draw({1, 100, 1}, 3000, logits.data(), nullptr, 0.9999999999) == p[99].second);
  REQUIRE(draw({1, 0, 1}, 3000, logits.data(), nullptr, 0.9999999999) == 2999);
}

TEST_CASE("a draw is the one of a sorted vocabulary", "[search]") {
  Random random(12);
  for (int i = 0; i < 600; ++i) {
    const std::int64_t n = 1 + static_cast<std::int64_t>(random.below(i % 10 == 0 ? 5000 : 40));
    const double spread = std::vector<double>{0.01, 1, 3, 30, 300}[random.below(5)];
    std::vector<float> logits(static_cast<std::size_t>(n));
    for (float& v : logits) {
      v = static_cast<float>(random.normal() * spread);
      if (i % 3 == 0) v = std::round(v);        // equals
      if (random.below(5) == 0) v = -INFINITY;  // rules forbid it
    }
    logits[random.below(static_cast<std::uint64_t>(n))] = 0;
    const Sampling sampling{1, static_cast<std::int64_t>(random.below(3) * random.below(30)),
                            random.below(2) ? 1 : random.uniform()};
    const double u = random.uniform();

    std::vector<float> bounds(static_cast<std::size_t>(n / kMaximaBlock + 1));
    maxima(n, logits.data(), bounds.data());
    std::vector<float> p = logits;
    exp_shifted(n, *std::max_element(p.begin(), p.end()), p.data());
    std::vector<std::int32_t> order(p.size());
    std::iota(order.begin(), order.end(), 0);
    const auto at = [&](std::size_t rank) { return static_cast<double>(p[static_cast<std::size_t>(order[rank])]); };
    std::size_t kept = p.size();
    if ((sampling.top_k > 0 && sampling.top_k < n) ||
        sampling.top_p < 1) {  // else it is drawn in the vocabulary's order
      std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
        return p[static_cast<std::size_t>(a)] > p[static_cast<std::size_t>(b)];
      });
      if (sampling.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(sampling.top_k));
    }
    double total = 0, cut = 0;
    for (std::size_t rank = 0; rank < kept; ++rank) total += at(rank);
    std::size_t count = 0;
    while (count < kept && (count == 0 || cut < sampling.top_p * total)) cut += at(count++);
    double sum = 0;
    std::size_t rank = 0;
    for (; rank + 1 < count; ++rank)
      if ((sum += at(rank)) > u * cut) break;
    INFO(i << " n " << n << " k " << sampling.top_k << " p " << sampling.top_p);
    REQUIRE(draw(sampling, n, logits.data(), i % 2 ? bounds.data() : nullptr, u) == order[rank]);
  }
}

TEST_CASE("what is forbidden is not drawn, however sums are rounded", "[search]") {
  Random random(13);
  const double u = std::nextafter(1.0, 0.0);
  for (int i = 0; i < 3000; ++i) {
    std::vector<float> logits(1000, -INFINITY);
    const std::int64_t allowed = 1 + static_cast<std::int64_t>(random.below(700));
    for (std::int64_t j = 1; j <= allowed; ++j)
      logits[static_cast<std::size_t>(j)] = static_cast<float>(random.normal() * 9);
    const Sampling sampling{1, i % 3 == 1 ? 900 : 0, i % 3 == 2 ? 0.9999999999999999 : 1};
    const std::int32_t id = draw(sampling, 1000, logits.data(), nullptr, u);
    REQUIRE(id >= 1);
    REQUIRE(id <= allowed);
  }
}

TEST_CASE("outputs do not depend on the batch, the window's order or the threads", "[search]") {
  Configuration c = tiny(40);
  c.tied = Tied::none;
  const Model model(c, 7, 4);
  const char* directory = std::getenv("TMPDIR");
  const std::string path = std::string(directory ? directory : P_tmpdir) + "/search_test.npy";
  Random random(1);
  auto writer = RecordWriter::open(path);
  for (int r = 0; r < 40; ++r) {
    std::vector<std::int32_t> ids(random.below(12));
    for (auto& id : ids) id = static_cast<std::int32_t>(2 + random.below(38));
    writer->write(DType::i4, {static_cast<std::int64_t>(ids.size())}, ids.data());
  }
  writer->close();
  BatchStream stream(path, Accept::ids);
  BatchStream* const streams[] = {&stream};
  REQUIRE(read_batches(streams, 1000000));
  const int threads = thread_count();
  for (const bool sample : {false, true}) {
    std::vector<std::vector<Hypothesis>> first;
    for (const std::int64_t batch_rows : {1000000, 1, 64}) {
      for (const int team : {1, 2}) {
        set_thread_count(team);
        GenerateSettings settings;
        settings.search.sample = sample;
        settings.search.beam = 3;
        settings.search.nbest = 2;
        settings.search.seed = 5;
        settings.batch_rows = batch_rows;
        settings.max_length_factor = 0.01;
        settings.max_length = 15;
        std::int64_t done = 0;
        const auto outputs =
            generate_window(*model.transformer, stream, {}, settings, [&](std::int64_t n) { done += n; });
        if (first.empty()) first = outputs;
        REQUIRE(outputs.size() == 40);
        for (std::size_t s = 0; s < outputs.size(); ++s) {
          REQUIRE(outputs[s].size() == 2);
          for (std::size_t i = 0; i < 2; ++i) {
            REQUIRE(outputs[s][i].ids == first[s][i].ids);
            REQUIRE(outputs[s][i].log_probability == first[s][i].log_probability);
            if (stream.batch.ragged().length(static_cast<std::int64_t>(s)) == 0) REQUIRE(outputs[s][i].ids.empty());
          }
        }
      }
    }
    std::size_t different = 0;  // the test would not see much if all outputs were the same
    for (std::size_t s = 1; s < first.size(); ++s) different += first[s][0].ids != first[s - 1][0].ids;
    REQUIRE(different > 20);
  }
  set_thread_count(threads);
  std::remove(path.c_str());
}

TEST_CASE("scores that are not finite are an error of their sentence", "[search]") {
  const Model model(tiny(5), 4);
  One one(model, 4);
  one.sources.memory[3] = NAN;
  for (const bool scores : {true, false}) {
    SearchSettings settings;
    settings.scores = scores;
    REQUIRE_THROWS_AS(one.run(model, settings), RowError);
  }
}

TEST_CASE("the maximum of a row tells of NaN and infinity anywhere in it", "[search][ops]") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const auto& [n, forbidden] : std::vector<std::pair<std::int64_t, bool>>{{1, false},
                                                                               {1, true},
                                                                               {7, true},
                                                                               {16, true},
                                                                               {17, false},
                                                                               {300, false},
                                                                               {300, true},
                                                                               {1000, false},
                                                                               {1000, true}}) {
    std::vector<float> x(static_cast<std::size_t>(n)), blocks(static_cast<std::size_t>(n / kMaximaBlock + 1));
    for (std::int64_t i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>((i * 37) % n) - 5.5f;
    if (forbidden) x[0] = -kInfinity;  // by a rule
    const float highest = *std::max_element(x.begin(), x.end());
    CHECK(maxima(n, x.data(), blocks.data()) == highest);
    CHECK(*std::max_element(blocks.begin(), blocks.begin() + (n - 1) / kMaximaBlock + 1) == highest);
    for (std::int64_t at = 0; at < n; ++at) {
      float& value = x[static_cast<std::size_t>(at)];
      const float kept = std::exchange(value, NAN);
      CHECK(std::isnan(maxima(n, x.data(), blocks.data())));
      value = kInfinity;
      CHECK_FALSE(std::isfinite(maxima(n, x.data(), blocks.data())));
      value = kept;
    }
    std::fill(x.begin(), x.end(), -std::numeric_limits<float>::max());
    CHECK(maxima(n, x.data(), blocks.data()) == -std::numeric_limits<float>::max());
  }
}

TEST_CASE("the ids are the same when nobody reads their scores", "[search]") {
  for (const bool sample : {false, true})
    for (std::uint64_t seed = 1; seed < 20; ++seed) {
      const Model model(tiny(30), seed);
      One one(model, 4);
      SearchSettings settings;
      settings.sample = sample;
      settings.seed = seed;
      settings.nbest = sample ? 3 : 1;
      settings.rules.repetition_penalty = seed % 3 == 0 ? 1.5 : 1;
      const auto scored = one.run(model, settings);
      settings.scores = false;
      const auto plain = one.run(model, settings);
      REQUIRE(plain.size() == scored.size());
      for (std::size_t i = 0; i < plain.size(); ++i) REQUIRE(plain[i].ids == scored[i].ids);
    }
}
