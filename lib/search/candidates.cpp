#include "search/candidates.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/elementary.hpp"
#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/elementwise.hpp"
#include "ops/logits.hpp"

namespace pipeformer {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// Without branches, of which a selection would foresee half wrongly.
bool before(const Candidate& a, const Candidate& b) {
  return (a.logit > b.logit) | ((a.logit == b.logit) & (a.id < b.id));
}

constexpr std::int64_t kBlock = 128;

/// The sum of p, and those of its blocks of kBlock: four sums side by side, for each waits for the one before.
double sum_blocks(std::int64_t n, const float* p, std::vector<double>& blocks) {
  double total = 0;
  blocks.clear();
  for (std::int64_t first = 0; first < n; first += kBlock) {
    const std::int64_t end = std::min(n, first + kBlock);
    double sums[4] = {};
    std::int64_t i = first;
    for (; i + 4 <= end; i += 4)
      for (int s = 0; s < 4; ++s) sums[s] += static_cast<double>(p[i + s]);
    for (; i < end; ++i) sums[0] += static_cast<double>(p[i]);
    blocks.push_back((sums[0] + sums[1]) + (sums[2] + sums[3]));
    total += blocks.back();
  }
  return total;
}

/// The first element of p (n) with which they add up to more than `rest`.
std::int64_t draw_any(std::int64_t n, const float* p, const std::vector<double>& blocks, double rest) {
  // Sums are rounded: what is left over after the last of them falls to the last block or element that is not 0.
  std::int64_t begin = 0, last = 0;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (blocks[b] <= 0) continue;
    begin = static_cast<std::int64_t>(b) * kBlock;
    if (rest < blocks[b]) break;
    rest -= blocks[b];
  }
  for (std::int64_t i = begin; i < n; ++i) {
    if (p[i] <= 0) continue;
    last = i;
    if ((rest -= static_cast<double>(p[i])) < 0) break;
  }
  return last;
}

struct Mass {
  std::size_t index;
  double before;
};

/// Of candidates whose logits are probabilities: the first, from the largest on, with which they add up to at least
/// `mass`, or else the last one. It comes to `index`; those before it, which add up to `before`, come before it. By
/// quickselect (Hoare 1961): sorting takes longer than the model where very many are possible.
Mass candidate_at(std::vector<Candidate>& of, double mass) {
  std::size_t first = 0, last = of.size();
  double sum = 0;
  while (last - first > 1) {
    Candidate &a = of[first], &b = of[first + (last - first) / 2], &c = of[last - 1];
    if (before(b, a)) std::swap(a, b);
    if (before(b, c)) std::swap(b, c);
    if (before(c, a)) std::swap(a, c);
    const Candidate pivot = c;  // the median of the three
    std::size_t middle = first;
    double higher = 0;
    for (std::size_t i = first; i + 1 < last; ++i) {
      const Candidate x = of[i];
      const bool is_before = before(x, pivot);
      of[i] = of[middle];
      of[middle] = x;
      middle += is_before;
      higher += static_cast<double>(x.logit) * is_before;
    }
    std::swap(of[middle], of[last - 1]);
    if (middle > first && sum + higher >= mass) {
      last = middle;
    } else if (sum + higher + static_cast<double>(pivot.logit) >= mass || middle + 1 == last) {
      return {middle, sum + higher};
    } else {
      sum += higher + static_cast<double>(pivot.logit);
      first = middle + 1;
    }
  }
  return {first, sum};
}

/// An element of those that are the largest of p (n) and reach top_p of their total together, each as often as it is
/// large.
std::int64_t draw_nucleus(std::int64_t n, const float* p, double total, double top_p, double u) {
  thread_local std::vector<Candidate> kept;
  // All that are no larger than this are together too little to be needed.
  const double needless = (1 - top_p) * total / static_cast<double>(n) * 0.999;
  kept.clear();
  for (std::int64_t i = 0; i < n; ++i)
    if (p[i] > needless) kept.push_back({static_cast<std::int32_t>(i), p[i]});
  const Mass cut = candidate_at(kept, top_p * total);
  kept.resize(cut.index + 1);
  const double mass = u * (cut.before + static_cast<double>(kept.back().logit));
  // With the one that is drawn they are more than `mass`, not at least.
  return kept[candidate_at(kept, std::nextafter(mass, std::numeric_limits<double>::infinity())).index].id;
}

}  // namespace

bool RowOfLogits::measure(std::int64_t n) {
  if (!normalized) return std::isfinite(maxima(n, values, block_maxima));
  float maximum = 0, sum = 0;
  log_sum_exp(n, values, &maximum, &sum, block_maxima);
  log_sum = static_cast<double>(maximum) + elementary::log(static_cast<double>(sum));
  return std::isfinite(log_sum);
}

void for_logits(Context& ctx, const OutputHead& head, const Ragged& ragged, const float* hidden,
                const std::function<void(std::int64_t row, const RowOfLogits&)>& body, bool normalized) {
  // About 8 MB of logits at a time stay in the last-level cache between the passes over them. A probe sees whole
  // sequences.
  const std::int64_t rows = ragged.rows(), vocabulary = head.projection().out(), width = head.width();
  const Places places = ctx.places;
  const bool whole = head.watched(ctx);
  std::int64_t chunk = std::clamp<std::int64_t>((std::int64_t{2} << 20) / vocabulary, 16, 1024);
  if (whole) chunk = std::max(chunk, ragged.longest());
  const WorkspaceScope scope(ctx.workspace);
  float* logits = ctx.workspace.get(std::min(chunk, rows) * vocabulary);
  const std::int64_t blocks = (vocabulary + kMaximaBlock - 1) / kMaximaBlock;
  float* bounds = ctx.workspace.get(std::min(chunk, rows) * blocks);
  std::vector<char> finite(static_cast<std::size_t>(std::min(chunk, rows)));
  std::vector<std::int64_t> part;
  for (std::int64_t first = 0, sequence = 0; first < rows;) {
    part = {0, std::min(chunk, rows - first)};
    if (whole) {
      part.resize(1);
      ctx.places = places.from(sequence);
      for (; sequence < ragged.sequences() && ragged.begin(sequence + 1) - first <= chunk; ++sequence)
        part.push_back(ragged.begin(sequence + 1) - first);
    }
    const std::int64_t n = part.back();
    head.logits(ctx, {part}, hidden + first * width, logits);
    parallel_for(n, 4, [&](std::int64_t r, std::int64_t end) {
      for (; r < end; ++r) {
        RowOfLogits row{logits + r * vocabulary, 0, bounds + r * blocks, normalized};
        const bool good = row.measure(vocabulary);
        finite[static_cast<std::size_t>(r)] = good;
        if (good) body(first + r, row);
      }
    });
    for (std::int64_t r = 0; r < n; ++r)
      if (!finite[static_cast<std::size_t>(r)]) throw RowError(first + r, "the model's scores are not finite");
    first += n;
  }
  ctx.places = places;
}

void best_candidates(std::int64_t n, const float* x, const float* block_maxima, std::int64_t k,
                     std::vector<Candidate>& best) {
  best.clear();
  if (k > 256 && k > n / 16) {  // so many that sorting is faster
    for (std::int64_t i = 0; i < n; ++i)
      if (x[i] > kMinusInfinity) best.push_back({static_cast<std::int32_t>(i), x[i]});
    if (k < static_cast<std::int64_t>(best.size())) {
      std::nth_element(best.begin(), best.begin() + k, best.end(), before);
      best.resize(static_cast<std::size_t>(k));
    }
    std::sort(best.begin(), best.end(), before);
    return;
  }
  // A scan against the k-th best so far, which few elements pass, and few blocks.
  const std::int64_t block = block_maxima ? kMaximaBlock : n, blocks = (n + kMaximaBlock - 1) / kMaximaBlock;
  const auto scan = [&](float threshold) {
    best.clear();
    for (std::int64_t first = 0; first < n; first += block) {
      if (block_maxima && !(block_maxima[first / block] > threshold)) continue;
      const std::int64_t end = std::min(n, first + block);
      for (std::int64_t i = first; (i = find_above(i, end, threshold, x)) < end; ++i) {
        const Candidate candidate{static_cast<std::int32_t>(i), x[i]};
        if (static_cast<std::int64_t>(best.size()) == k) best.pop_back();
        best.insert(std::upper_bound(best.begin(), best.end(), candidate, before), candidate);
        if (static_cast<std::int64_t>(best.size()) == k) threshold = best.back().logit;
      }
    }
  };
  if (block_maxima && blocks > k) {
    // k elements are as high as the k-th highest maximum, unless some have been lowered since it was taken.
    best_candidates(blocks, block_maxima, nullptr, k, best);
    if (static_cast<std::int64_t>(best.size()) == k) {
      scan(std::nextafter(best.back().logit, kMinusInfinity));
      if (static_cast<std::int64_t>(best.size()) == k) return;
    }
  }
  scan(kMinusInfinity);
}

std::int32_t draw(const Sampling& sampling, std::int64_t n, const float* logits, const float* block_maxima, double u) {
  thread_local std::vector<Candidate> best;
  thread_local Buffer<float> memory;
  thread_local std::vector<double> blocks;
  const bool cut = sampling.top_k > 0 && sampling.top_k < n;
  if (cut) best_candidates(n, logits, block_maxima, sampling.top_k, best);
  const std::int64_t count = cut ? static_cast<std::int64_t>(best.size()) : n;
  float* p = at_least(memory, count);
  for (std::int64_t i = 0; i < count; ++i) p[i] = cut ? best[static_cast<std::size_t>(i)].logit : logits[i];
  scale(count, static_cast<float>(1 / sampling.temperature), p);
  const float maximum = maxima(count, p, nullptr);
  if (maximum == kMinusInfinity) return -1;
  exp_shifted(count, maximum, p);  // proportional to the probabilities
  const double total = sum_blocks(count, p, blocks);
  const std::int64_t drawn =
      sampling.top_p < 1 ? draw_nucleus(count, p, total, sampling.top_p, u) : draw_any(count, p, blocks, u * total);
  return cut ? best[static_cast<std::size_t>(drawn)].id : static_cast<std::int32_t>(drawn);
}

}  // namespace pipeformer
