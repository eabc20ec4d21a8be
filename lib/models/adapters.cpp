#include "models/adapters.hpp"

#include <fnmatch.h>

#include <algorithm>

#include "core/threads.hpp"
#include "ops/gemm.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kGrain = 1 << 14;

void scale_all(std::int64_t n, float factor, float* x) {
  parallel_for(n, kGrain, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) x[i] *= factor;
  });
}

}  // namespace

void add_adapter(const AdapterView& adapter, const float* weight, const MutableMatrixView& sum) {
  Buffer<float> low(static_cast<std::size_t>(sum.rows * sum.columns));
  product_nn({adapter.b, sum.rows, adapter.rank}, {adapter.a, adapter.rank, sum.columns},
             {low.data(), sum.rows, sum.columns});
  parallel_for(sum.rows * sum.columns, kGrain, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) sum.data[i] = weight[i] + adapter.scale * low[static_cast<std::size_t>(i)];
  });
}

Adapters::Adapters(const AdapterSettings& settings, const std::vector<ParameterEntry>& weights)
    : rank_(settings.rank), scale_(settings.rank > 0 ? settings.scale() : 1) {
  if (rank_ == 0) return;
  std::vector<std::string> patterns = settings.patterns;
  if (patterns.empty()) patterns = {"*_attn/query/weight", "*_attn/value/weight"};
  std::vector<bool> used(patterns.size());
  for (const ParameterEntry& entry : weights) {
    if (!entry.weight || !entry.name.ends_with(kWeightSuffix)) continue;
    bool wanted = false;
    for (std::size_t i = 0; i < patterns.size(); ++i)
      if (fnmatch(patterns[i].c_str(), entry.name.c_str(), 0) == 0) wanted = used[i] = true;
    if (!wanted) continue;
    require(rank_ < std::min(entry.shape[0], entry.shape[1]), "an adapter of rank ", rank_, " is no smaller than ",
            entry.name, ", ", shape_text(entry.shape));
    adapted_.push_back({entry.name, entry.shape[0], entry.shape[1], {}});
  }
  for (std::size_t i = 0; i < patterns.size(); ++i)
    require(used[i], "no weight of the model matches '", patterns[i], "'");
}

bool Adapters::owns(const std::string& parameter) const {
  return std::any_of(adapted_.begin(), adapted_.end(), [&](const Adapted& adapted) {
    return parameter == adapter_name(adapted.name, 'a') || parameter == adapter_name(adapted.name, 'b');
  });
}

void Adapters::build(ParameterSource& source) const {
  for (const Adapted& adapted : adapted_) {
    source.get(adapter_name(adapted.name, 'a'), {rank_, adapted.in}, Initial::xavier);
    source.get(adapter_name(adapted.name, 'b'), {adapted.out, rank_}, Initial::zero);
  }
}

AdapterView Adapters::view(const ParameterArena& arena, const Adapted& adapted) const {
  const auto at = [&](char which) { return arena.values() + arena.entry(adapter_name(adapted.name, which)).offset; };
  return {at('a'), at('b'), rank_, static_cast<float>(scale_)};
}

void Adapters::hold(ParameterArena& arena) {
  for (Adapted& adapted : adapted_) {
    const float* weight = arena.values() + arena.entry(adapted.name).offset;
    adapted.weight.assign(weight, weight + adapted.out * adapted.in);
  }
  put_in(arena);
}

void Adapters::put_in(ParameterArena& arena) const {
  if (!any()) return;
  float* values = arena.mutable_values();
  for (const Adapted& adapted : adapted_)
    add_adapter(view(arena, adapted), adapted.weight.data(),
                {values + arena.entry(adapted.name).offset, adapted.out, adapted.in});
}

void Adapters::take_out(ParameterArena& arena) const {
  if (!any()) return;
  float* values = arena.mutable_values();
  for (const Adapted& adapted : adapted_)
    std::copy(adapted.weight.begin(), adapted.weight.end(), values + arena.entry(adapted.name).offset);
}

void Adapters::backward(ParameterArena& arena) const {
  for (const Adapted& adapted : adapted_) {
    const AdapterView adapter = view(arena, adapted);
    const auto gradient = [&](const std::string& name) { return arena.gradients() + arena.entry(name).offset; };
    const float* d_sum = gradient(adapted.name);
    float *d_a = gradient(adapter_name(adapted.name, 'a')), *d_b = gradient(adapter_name(adapted.name, 'b'));
    std::fill_n(d_a, rank_ * adapted.in, 0.0f);
    product_tn({adapter.b, adapted.out, rank_}, {d_sum, adapted.out, adapted.in}, {d_a, rank_, adapted.in});
    product_nt({d_sum, adapted.out, adapted.in}, {adapter.a, rank_, adapted.in}, nullptr, {d_b, adapted.out, rank_});
    scale_all(rank_ * adapted.in, adapter.scale, d_a);
    scale_all(adapted.out * rank_, adapter.scale, d_b);
  }
}

double Adapters::scale_below(const std::string& before) const {
  const bool any_below = std::any_of(adapted_.begin(), adapted_.end(),
                                     [&](const Adapted& adapted) { return adapted.name.starts_with(before); });
  return any_below ? scale_ : 0;
}

void Adapters::write_head(Hdf5File& file, const std::string& group) const {
  const double scale = scale_below(group.empty() ? "" : group + "/");
  if (scale == 0) return;
  file.set_attribute("format_version", kAdapterFormatVersion, group);
  file.set_attribute(kAdapterScale, scale, group);
}

}  // namespace pipeformer
