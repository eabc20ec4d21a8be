// The whole model's loss and its gradients in every configuration, against difference quotients along directions; and
// law 4 for them.
#include "models/transformer.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "models/model_file.hpp"

using namespace pipeformer;

namespace {

Configuration tiny() {
  Configuration c;
  c.source_vocabulary = c.target_vocabulary = 23;
  c.width = 16;
  c.stacks([](StackSpec& s) { s.heads = 4, s.inner = 24, s.layers = 2, s.max_positions = 20; });
  return c;
}

/// A model with random parameters and a batch of pairs for it.
struct Setting {
  Configuration configuration;
  ParameterArena arena;
  Transformer model;
  std::vector<std::int64_t> source_offsets{0, 5, 6, 15}, target_offsets{0, 4, 11, 13};
  std::vector<std::int32_t> source, target, labels;
  Workspace workspace;
  DropoutRates dropout{};
  bool recompute = false;
  std::vector<float> values, class_weights;

  explicit Setting(const Configuration& c)
      : configuration(c), arena([&](ParameterSource& source_of) { Transformer(source_of, c); }), model(arena, c) {
    c.check("test");
    arena.initialize(5);
    Random random(8);
    // Norms and biases begin at one and zero: move them, so that their gradients are looked at where they matter.
    for (const auto& entry : arena.entries()) {
      if (entry.shape.size() == 1)
        for (std::int64_t i = 0; i < entry.size; ++i)
          arena.mutable_values()[entry.offset + i] += static_cast<float>(0.2 * random.normal());
    }
    const auto fill = [&](std::vector<std::int32_t>& ids, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) ids.push_back(static_cast<std::int32_t>(random.below(23)));
    };
    fill(source, source_offsets.back());
    fill(target, target_offsets.back());
    fill(labels, target_offsets.back());
  }

  LossSums loss(bool training, std::uint64_t seed = 77) {
    workspace.clear();
    Context ctx{workspace, training, dropout};
    ctx.seed = seed;
    ctx.recompute = recompute;
    if (training) std::fill_n(arena.gradients(), arena.size(), 0.0f);
    Transformer::Examples examples;
    examples.source.ragged = {source_offsets};
    examples.source.ids = source.data();
    examples.target = {{target_offsets}, target.data()};
    examples.labels = labels;
    if (configuration.head == Head::classes) examples.labels = examples.labels.first(source_offsets.size() - 1);
    if (!values.empty()) examples.values = values.data();
    return model.loss(ctx, examples, {0.1f, 1.0f, 0, class_weights.empty() ? nullptr : class_weights.data()});
  }

  /// The same of sequences [begin, end) as a part of the batch, added to the gradients.
  LossSums loss_of_part(std::size_t begin, std::size_t end, std::uint64_t seed = 77) {
    workspace.clear();
    Context ctx{workspace, true, dropout};
    ctx.seed = seed;
    const auto sequence = static_cast<std::int64_t>(begin);
    const auto part = [&](const std::vector<std::int64_t>& offsets) {
      std::vector<std::int64_t> own;
      for (std::size_t s = begin; s <= end; ++s) own.push_back(offsets[s] - offsets[begin]);
      return own;
    };
    const std::vector<std::int64_t> source_part = part(source_offsets), target_part = part(target_offsets);
    Transformer::Examples examples;
    examples.source.ragged = {source_part};
    examples.source.ids = source.data() + source_offsets[begin];
    examples.source.first = {source_offsets[begin], sequence};
    examples.target = {{target_part}, target.data() + target_offsets[begin], {target_offsets[begin], sequence}};
    examples.labels = std::span<const std::int32_t>(labels).subspan(static_cast<std::size_t>(target_offsets[begin]),
                                                                    static_cast<std::size_t>(target_part.back()));
    return model.loss(ctx, examples, {0.1f, 1.0f});
  }

  /// Along the gradient of each parameter, and along random directions, the loss must change as the gradient says.
  void check_gradients() {
    const double whole = loss(true).loss;
    const std::vector<float> gradient(arena.gradients(), arena.gradients() + arena.size());
    // Without dropout the loss is also that of a pass that makes no gradients, in a third of the time.
    const bool training = dropout.residual > 0 || dropout.attention > 0 || dropout.activation > 0 || dropout.layer > 0;
    if (!training) CHECK(loss(false).loss == Approx(whole).epsilon(1e-7));
    Random random(9);
    for (const auto& entry : arena.entries()) {
      const float* g = gradient.data() + entry.offset;
      double norm = 0;
      for (std::int64_t i = 0; i < entry.size; ++i) norm += static_cast<double>(g[i]) * g[i];
      norm = std::sqrt(norm);
      // A key's bias shifts all scores of a query alike, unless keys are turned or scores capped: its gradient is zero.
      const StackSpec& stack = configuration.stack(entry.name.starts_with("decoder"));
      const bool turned = stack.positions == PositionKind::rotary && entry.name.ends_with("self_attn/key/bias");
      const bool nothing = entry.name.ends_with("key/bias") && !turned && stack.attention_soft_cap == 0;
      INFO(entry.name << ", norm " << norm);
      if (nothing) {
        CHECK(norm < 1e-4);
        continue;
      }
      CHECK(norm > 1e-6);
      for (int direction = 0; direction < 3; ++direction) {
        std::vector<double> v(static_cast<std::size_t>(entry.size));
        double length = 0, expected = 0;
        for (std::size_t i = 0; i < v.size(); ++i) {
          v[i] = direction == 0 ? static_cast<double>(g[i])
                                : random.normal() * norm / std::sqrt(static_cast<double>(entry.size)) +
                                      0.5 * static_cast<double>(g[i]);
          length += v[i] * v[i];
        }
        length = std::sqrt(length);
        const float* before = arena.values() + entry.offset;
        const std::vector<float> kept(before, before + entry.size);
        const double h = 2e-3;
        const auto at = [&](double step) {
          float* values = arena.mutable_values() + entry.offset;
          for (std::size_t i = 0; i < v.size(); ++i) values[i] = static_cast<float>(kept[i] + step * v[i] / length);
          const double result = loss(training).loss;
          std::copy(kept.begin(), kept.end(), arena.mutable_values() + entry.offset);
          return result;
        };
        for (std::size_t i = 0; i < v.size(); ++i) expected += v[i] / length * static_cast<double>(g[i]);
        // Fourth order, so that the step may be long against float32's noise.
        const double quotient = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
        INFO("direction " << direction << ": gradient says " << expected << ", loss says " << quotient);
        // A step over a corner of relu bends the quotient.
        CHECK(std::abs(quotient - expected) <=
              (configuration.decoder.activation == Activation::relu ? 0.04 : 0.01) * norm + 0.01);
      }
    }
  }
};

}  // namespace

TEST_CASE("gradients of the whole model in every configuration", "[model]") {
  const auto check = [](const std::string& name, auto change) {
    Configuration c = tiny();
    change(c);
    INFO(name);
    Setting setting(c);
    setting.check_gradients();
  };
  // Activations without corners, so that difference quotients can be trusted; relu has a case of its own.
  check("post-norm, gelu", [](Configuration& c) { c.stacks([](StackSpec& s) { s.activation = Activation::gelu; }); });
  check("pre-norm, final norm, silu", [](Configuration& c) {
    c.stacks([](StackSpec& s) {
      s.norm_position = NormPosition::pre, s.final_norm = true, s.activation = Activation::silu;
    });
  });
  check("relu", [](Configuration&) {});
  check("rms norm, gated", [](Configuration& c) {
    c.stacks([](StackSpec& s) { s.norm = NormKind::rms, s.gated = true, s.activation = Activation::gelu_tanh; });
  });
  check("rotary, grouped queries", [](Configuration& c) {
    c.stacks([](StackSpec& s) { s.positions = PositionKind::rotary, s.kv_heads = 2, s.activation = Activation::gelu; });
  });
  check("learned positions, nothing tied, output bias", [](Configuration& c) {
    c.tied = Tied::none, c.output_bias = true;
    c.stacks([](StackSpec& s) { s.positions = PositionKind::learned, s.activation = Activation::gelu; });
  });
  check("target tied, no biases, no scale", [](Configuration& c) {
    c.tied = Tied::target;
    c.stacks([](StackSpec& s) {
      s.attention_bias = s.attention_output_bias = s.ffn_bias = false, s.embedding_scale = false,
      s.activation = Activation::gelu;
    });
  });
  check("halved sinusoids, one key/value head", [](Configuration& c) {
    c.stacks([](StackSpec& s) {
      s.positions = PositionKind::sinusoidal_halved, s.kv_heads = 1, s.activation = Activation::gelu;
    });
  });
  check("decoder only", [](Configuration& c) {
    c.kind = ModelKind::decoder_only;
    c.stacks([](StackSpec& s) {
      s.norm_position = NormPosition::pre, s.final_norm = true, s.positions = PositionKind::rotary,
      s.norm = NormKind::rms, s.gated = true, s.activation = Activation::silu,
      s.attention_bias = s.attention_output_bias = s.ffn_bias = false;
    });
  });
  check("decoder only, learned positions, not tied", [](Configuration& c) {
    c.kind = ModelKind::decoder_only, c.tied = Tied::none;
    c.stacks([](StackSpec& s) { s.positions = PositionKind::learned, s.activation = Activation::gelu; });
  });
}

TEST_CASE("gradients of what published models have beside the paper's", "[model]") {
  const auto check = [](const std::string& name, auto change) {
    Configuration c = tiny();
    c.stacks([](StackSpec& s) { s.activation = Activation::gelu; });
    change(c);
    INFO(name);
    Setting setting(c);
    setting.check_gradients();
  };
  check("relative positions, scores not scaled (T5)", [](Configuration& c) {
    c.stacks([](StackSpec& s) {
      s.positions = PositionKind::relative, s.relative_buckets = 8, s.relative_distance = 12, s.attention_scale = 1;
      s.norm_position = NormPosition::pre, s.norm = NormKind::rms, s.final_norm = true;
    });
    c.output_scale = 0.25;
  });
  check("alibi, a window, heads wider than width / heads", [](Configuration& c) {
    c.kind = ModelKind::decoder_only;
    c.stacks([](StackSpec& s) { s.positions = PositionKind::alibi, s.window = 3, s.head_width = 6, s.kv_heads = 2; });
  });
  check("part of a head turned, sublayers side by side (GPT-NeoX)", [](Configuration& c) {
    c.kind = ModelKind::decoder_only;
    c.tied = Tied::none;
    c.stacks([](StackSpec& s) {
      s.positions = PositionKind::rotary, s.rotary_width = 2, s.parallel_residual = true;
      s.norm_position = NormPosition::pre, s.final_norm = true;
    });
  });
  check("norms of queries and keys, stretched rotary positions (Qwen, Llama)", [](Configuration& c) {
    c.kind = ModelKind::decoder_only;
    c.stacks([](StackSpec& s) {
      s.positions = PositionKind::rotary, s.rotary_scaling = RotaryScaling::llama3, s.rotary_factor = 8;
      s.rotary_context = 32, s.query_key_norm = true, s.norm = NormKind::rms, s.gated = true, s.kv_heads = 2;
      s.activation = Activation::silu, s.attention_output_bias = false, s.ffn_bias = false;
    });
  });
  check("neighbours turned together, linear scaling, scaled sublayers", [](Configuration& c) {
    c.stacks([](StackSpec& s) {
      s.positions = PositionKind::rotary, s.rotary_interleaved = true, s.layer_scale = true;
      s.rotary_scaling = RotaryScaling::linear, s.rotary_factor = 2;
    });
  });
  check("narrow embeddings with a norm and types (ELECTRA), fairseq's sinusoids", [](Configuration& c) {
    c.tied = Tied::none;
    c.stacks([](StackSpec& s) {
      s.embedding_width = 8, s.embedding_norm = true, s.token_types = 2, s.activation = Activation::quick_gelu;
      s.positions = PositionKind::sinusoidal_fairseq, s.position_offset = 2;
    });
  });
  check("yarn, windows in some layers, soft caps, norms on both sides (Gemma 2)", [](Configuration& c) {
    c.kind = ModelKind::decoder_only;
    c.output_soft_cap = 2;
    c.stacks([](StackSpec& s) {
      s.positions = PositionKind::rotary, s.rotary_scaling = RotaryScaling::yarn, s.rotary_factor = 4;
      s.rotary_context = 64, s.rotary_low_frequency = 1, s.rotary_high_frequency = 32;
      s.rotary_attention_factor = 1.2, s.attention_soft_cap = 0.5, s.window = 2, s.window_pattern = "wf";
      s.norm_position = NormPosition::pre, s.norm = NormKind::rms, s.final_norm = true, s.sublayer_norm = true;
    });
  });
  check("dynamic scaling, one norm for both sublayers (Phi)", [](Configuration& c) {
    c.kind = ModelKind::decoder_only;
    c.stacks([](StackSpec& s) {
      s.positions = PositionKind::rotary, s.rotary_scaling = RotaryScaling::dynamic, s.rotary_factor = 4;
      s.rotary_context = 3, s.parallel_residual = true, s.shared_norm = true;
      s.norm_position = NormPosition::pre, s.final_norm = true;
    });
  });
  check("longrope, a base of its own in layers with a window, norms on both sides and layer scale",
        [](Configuration& c) {
          c.kind = ModelKind::decoder_only;
          c.stacks([](StackSpec& s) {
            s.positions = PositionKind::rotary, s.rotary_scaling = RotaryScaling::longrope, s.rotary_context = 3;
            s.rotary_short_factors = "1,1.5", s.rotary_long_factors = "2,8", s.rotary_attention_factor = 1.3;
            s.norm_position = NormPosition::pre, s.final_norm = true, s.sublayer_norm = true, s.layer_scale = true;
          });
          c.decoder.window = 3, c.decoder.window_pattern = "fw", c.decoder.rotary_local_base = 50;
        });
  check("a soft cap of scores with distance biases", [](Configuration& c) {
    c.stacks([](StackSpec& s) {
      s.positions = PositionKind::relative, s.relative_buckets = 8, s.relative_distance = 12,
      s.attention_soft_cap = 0.7;
    });
  });
  check("a layer and a norm before the output", [](Configuration& c) {
    c.kind = ModelKind::decoder_only;
    c.head_dense = c.head_norm = c.output_bias = true;
  });
}

TEST_CASE("gradients of a classifier: each way of pooling, poolers of every width", "[model]") {
  for (const Pooling pooling : {Pooling::mean, Pooling::first, Pooling::last, Pooling::max, Pooling::first_and_mean})
    for (const std::int64_t pooler : {-1, 0, 5, 40}) {
      Configuration c = tiny();
      c.kind = ModelKind::encoder_only;
      c.head = Head::classes;
      c.classes = 23;
      c.pooling = pooling;
      c.pooler = pooler >= 0;
      c.pooler_width = std::max<std::int64_t>(pooler, 0);
      c.pooler_bias = pooler != 40;
      c.stacks([](StackSpec& s) { s.layers = 1, s.activation = Activation::gelu; });
      INFO("pooling " << name_of(pooling) << ", pooler " << pooler);
      Setting setting(c);
      setting.check_gradients();
    }
}

TEST_CASE("gradients of labels that hold or do not, of numbers, and of weighted classes", "[model]") {
  for (const ProblemType problem : {ProblemType::single_label, ProblemType::multi_label, ProblemType::regression}) {
    Configuration c = tiny();
    c.kind = ModelKind::encoder_only;
    c.head = Head::classes;
    c.problem_type = problem;
    c.classes = 23;
    c.pooler = true;
    c.stacks([](StackSpec& s) { s.layers = 1, s.activation = Activation::gelu; });
    INFO(name_of(problem));
    Setting setting(c);
    Random random(4);
    for (int i = 0; i < 23; ++i) setting.class_weights.push_back(static_cast<float>(0.1 + random.uniform()));
    if (problem != ProblemType::single_label)
      for (int i = 0; i < 3 * 23; ++i) setting.values.push_back(static_cast<float>(random.uniform()));
    setting.check_gradients();
    const LossSums sums = setting.loss(false);
    CHECK(sums.rows == (setting.values.empty() ? 3 : 69));
    CHECK(sums.weight == Approx(setting.values.empty()
                                    ? setting.class_weights[static_cast<std::size_t>(setting.labels[0])] +
                                          setting.class_weights[static_cast<std::size_t>(setting.labels[1])] +
                                          setting.class_weights[static_cast<std::size_t>(setting.labels[2])]
                                    : 69));
  }
}

TEST_CASE("layers that are computed again in the backward pass give the same bits", "[model][law4]") {
  for (const bool distances : {false, true})
    for (const float layer_drop : {0.0f, 0.5f}) {
      Configuration c = tiny();
      c.stacks([&](StackSpec& s) {
        s.layers = 4;
        if (distances) s.positions = PositionKind::relative;
      });
      Setting setting(c);
      setting.dropout = {0.1f, 0.1f, 0.1f, layer_drop};
      const double loss = setting.loss(true).loss;
      const std::vector<float> gradient(setting.arena.gradients(), setting.arena.gradients() + setting.arena.size());
      setting.recompute = true;
      CHECK(setting.loss(true).loss == loss);
      CHECK(std::memcmp(gradient.data(), setting.arena.gradients(), gradient.size() * sizeof(float)) == 0);
    }
}

TEST_CASE("gradients with all dropouts", "[model]") {
  Configuration c = tiny();
  c.stacks([](StackSpec& s) { s.activation = Activation::gelu; });
  Setting setting(c);
  setting.dropout = {0.2f, 0.2f, 0.2f};
  setting.check_gradients();  // the same key draws the same dropout
}

TEST_CASE("loss and gradients have the same bits with any threads, dropout is drawn from the key", "[model][law4]") {
  Configuration c = tiny();
  Setting setting(c);
  setting.dropout = {0.1f, 0.1f, 0.1f};
  const int before = thread_count();
  set_thread_count(1);
  const double loss = setting.loss(true).loss;
  const std::vector<float> gradient(setting.arena.gradients(), setting.arena.gradients() + setting.arena.size());
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    CHECK(setting.loss(true).loss == loss);
    CHECK(std::memcmp(gradient.data(), setting.arena.gradients(), gradient.size() * sizeof(float)) == 0);
  }
  set_thread_count(before);
  CHECK(setting.loss(true, 78).loss != loss);
}

TEST_CASE("the parts of a batch have together its loss and gradients, dropout too", "[model]") {
  Setting setting(tiny());
  setting.dropout = {0.3f, 0.3f, 0.3f};
  const LossSums whole = setting.loss(true);
  float* gradients = setting.arena.gradients();
  const std::vector<float> expected(gradients, gradients + setting.arena.size());
  std::fill_n(gradients, setting.arena.size(), 0.0f);
  LossSums sum = setting.loss_of_part(0, 1);
  sum.add(setting.loss_of_part(1, 3));
  CHECK(sum.rows == whole.rows);
  CHECK(sum.loss == Approx(whole.loss).epsilon(1e-6));
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(gradients[i] - expected[i]), 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  CHECK(std::sqrt(difference / norm) < 1e-5);
}

namespace {

/// The row that a RowError names; -1: there is none.
template <class Run>
std::int64_t row_of(Run run) {
  try {
    run();
  } catch (const RowError& error) {
    return error.row();
  }
  return -1;
}

/// A probe that looks at nothing.
struct Blind : Probe {
  bool wants(Tap) const override { return false; }
  void rows(Tap, const TapRows&) const override {}
  void matrix(Tap, const TapMatrix&) const override {}
  void ids(Tap, const std::int32_t*, const Ragged&) const override {}
};

}  // namespace

TEST_CASE("a large batch that the encoder computes in parts has the bits of the whole", "[model][law4]") {
  using Kind = Transformer::Source::Kind;
  const Kind kind = GENERATE(Kind::ids, Kind::vectors, Kind::embedded);
  Configuration c = tiny();
  c.kind = ModelKind::encoder_only;
  c.stacks([](StackSpec& s) { s.positions = PositionKind::learned, s.max_positions = 700, s.token_types = 2; });
  if (kind == Kind::vectors) {
    c.stacks([](StackSpec& s) { s.token_types = 0; });
    c.source_vocabulary = 0;
    c.input_width = 6;
    c.class_tokens = 2;
  }
  ParameterArena arena([&](ParameterSource& source) { Transformer(source, c); });
  arena.initialize(3);
  const Transformer model(arena, c);
  Random random(4);
  // Empty sequences, one that is longer than a part; 300 are too many for one part even before the weights are packed.
  const int sequences = GENERATE(90, 300);
  std::vector<std::int64_t> offsets{0};
  for (int s = 0; s < sequences; ++s)
    offsets.push_back(offsets.back() + (s == 40 ? 600 : static_cast<int>(random.below(20))));
  const auto rows = static_cast<std::size_t>(offsets.back());
  std::vector<std::int32_t> ids(rows), types(rows);
  std::vector<float> vectors(rows * 16);
  for (auto& id : ids) id = static_cast<std::int32_t>(random.below(23));
  for (auto& type : types) type = static_cast<std::int32_t>(random.below(2));
  for (auto& x : vectors) x = static_cast<float>(random.normal());
  const Transformer::Source source{.ragged = {offsets},
                                   .kind = kind,
                                   .ids = kind == Kind::ids ? ids.data() : nullptr,
                                   .rows = kind == Kind::ids ? nullptr : vectors.data(),
                                   .types = kind == Kind::ids ? types.data() : nullptr};
  Workspace workspace;
  const auto encode = [&](const Probe* probe = nullptr) {
    workspace.clear();
    Context ctx{workspace};
    ctx.probe = probe;  // with one there are no parts
    Transformer::Encoded encoded;
    const bool in_parts = !probe && (sequences == 300 || model.encoder().is_packed());
    model.encode(ctx, source, encoded);
    CHECK(encoded.stack.layers.empty() == in_parts);  // what parts leave behind is their own
    std::vector<float> memory(encoded.memory, encoded.memory + encoded.ragged.rows() * c.width);
    return std::pair(std::vector<std::int64_t>(encoded.ragged.offsets.begin(), encoded.ragged.offsets.end()), memory);
  };
  const Blind blind;
  const auto whole = encode(&blind);
  CHECK(whole.first.back() == offsets.back() + std::ssize(offsets) * c.class_tokens - c.class_tokens);
  CHECK(!model.encoder().is_packed());
  CHECK(encode() == whole);
  CHECK(model.encoder().is_packed());  // small weights are at their second use
  const int threads = thread_count();
  for (const int n : {1, 2, 5}) {
    set_thread_count(n);
    CHECK(encode() == whole);
    CHECK(encode() == whole);
  }
  if (kind == Kind::ids) {
    ids[rows - 3] = 23;
    ids[rows - 2] = -1;
    CHECK(row_of([&] { encode(); }) == static_cast<std::int64_t>(rows) - 3);
  }
  set_thread_count(threads);
}

TEST_CASE("an id outside the vocabulary and a position beyond the last name their row", "[model]") {
  Configuration c = tiny();
  c.stacks([](StackSpec& s) { s.positions = PositionKind::learned; });
  Setting setting(c);
  const TokenEmbedding& embedding = setting.model.target_embedding();
  std::vector<std::int32_t> ids{1, 2, 23, 4};
  std::vector<float> x(64 * 16);
  CHECK(row_of([&] { embedding.look_up(4, ids.data(), nullptr, x.data()); }) == 2);
  ids[2] = -1;
  CHECK(row_of([&] { embedding.look_up(4, ids.data(), nullptr, x.data()); }) == 2);
  const std::vector<std::int64_t> offsets{0, 20, 41};
  CHECK(row_of([&] { embedding.add_positions({offsets}, 0, x.data(), x.data()); }) == 20);
  CHECK(row_of([&] { embedding.add_positions({offsets}, 1, x.data(), x.data()); }) == 0);
}
