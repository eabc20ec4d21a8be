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

bool before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
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
    const auto middle = best.begin() + std::min<std::int64_t>(k, static_cast<std::int64_t>(best.size()));
    std::partial_sort(best.begin(), middle, best.end(), before);
    best.erase(middle, best.end());
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

std::int32_t draw(const Sampling& sampling, std::int64_t n, float* p, double u) {
  scale(n, static_cast<float>(1 / sampling.temperature), p);
  const float maximum = *std::max_element(p, p + n);
  if (maximum == kMinusInfinity) return -1;
  exp_shifted(n, maximum, p);
  // p is now proportional to the probabilities.
  if ((sampling.top_k == 0 || sampling.top_k >= n) && sampling.top_p >= 1) {
    double total = 0;
    for (std::int64_t i = 0; i < n; ++i) total += p[i];
    double rest = u * total;
    std::int64_t last = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      if (p[i] <= 0) continue;
      last = i;
      if ((rest -= p[i]) < 0) break;
    }
    return static_cast<std::int32_t>(last);
  }
  thread_local std::vector<Candidate> best;
  std::int64_t k = sampling.top_k > 0 ? std::min(sampling.top_k, n) : std::min<std::int64_t>(64, n);
  double total = 0, kept = 0;
  if (sampling.top_k > 0) {
    best_candidates(n, p, nullptr, k, best);
    for (const Candidate& c : best) total += c.logit;
  } else {
    for (std::int64_t i = 0; i < n; ++i) total += p[i];
  }
  for (;; k = std::min(n, 16 * k)) {
    if (sampling.top_k == 0) best_candidates(n, p, nullptr, k, best);
    std::size_t count = 0;
    for (kept = 0; count < best.size() && (count == 0 || kept < sampling.top_p * total); ++count)
      kept += best[count].logit;
    if (kept < sampling.top_p * total && sampling.top_k == 0 && k < n) continue;  // more tokens are needed
    best.resize(count);
    break;
  }
  double rest = u * kept;
  for (const Candidate& c : best)
    if ((rest -= c.logit) < 0) return c.id;
  return best.back().id;
}

}  // namespace pipeformer
