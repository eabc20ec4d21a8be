#include "ops/nearest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/gemm.hpp"
#include "ops/logits.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kBaseBlock = 1024;  // rows of the base that a block of scores is taken with
constexpr std::int64_t kSpare = 32;        // more candidates than asked for, where products only estimate

double square_length(const float* x, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

void normalize(float* x, std::int64_t n) {
  const double length = std::sqrt(square_length(x, n));
  for (std::int64_t i = 0; i < n && length > 0; ++i) x[i] = static_cast<float>(x[i] / length);
}

bool higher(const Hit& a, const Hit& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}
bool lower(const Hit& a, const Hit& b) {
  return a.score != b.score ? a.score < b.score : a.id < b.id;
}

}  // namespace

/// The highest scores so far of one query; a heap with the worst of them on top.
struct NearestRows::Selection {
  std::vector<Hit> hits;
  std::int64_t most = 0, left_out = -1;

  /// Scores of rows `first` and following, which are later ones than all before: of equals the earlier stay.
  void take(const float* scores, std::int64_t count, std::int64_t first) {
    float threshold = -std::numeric_limits<float>::infinity();
    if (std::ssize(hits) == most) threshold = hits.front().score;
    for (std::int64_t i = 0; (i = find_above(i, count, threshold, scores)) < count; ++i) {
      if (first + i == left_out) continue;
      if (std::ssize(hits) == most) {
        std::pop_heap(hits.begin(), hits.end(), higher);
        hits.pop_back();
      }
      hits.push_back({static_cast<std::int32_t>(first + i), scores[i]});
      std::push_heap(hits.begin(), hits.end(), higher);
      if (std::ssize(hits) == most) threshold = hits.front().score;
    }
  }
};

NearestRows::NearestRows(Buffer<float> base, std::int64_t width, VectorMetric metric)
    : metric_(metric), width_(width), rows_(width == 0 ? 0 : std::ssize(base) / width), base_(std::move(base)) {
  if (metric == VectorMetric::euclidean) bias_.resize(static_cast<std::size_t>(rows_));
  Buffer<double> squares(bias_.size());
  parallel_for(rows_, 256, [&](std::int64_t row, std::int64_t end) {
    for (; row < end; ++row) {
      float* y = base_.data() + row * width_;
      if (metric_ == VectorMetric::cosine) normalize(y, width_);
      if (metric_ != VectorMetric::euclidean) continue;
      const double square = squares[static_cast<std::size_t>(row)] = square_length(y, width_);
      bias_[static_cast<std::size_t>(row)] = static_cast<float>(-square / 2);
    }
  });
  for (const double square : squares) longest_ = std::max(longest_, std::sqrt(square));
}

float NearestRows::distance(const float* query, std::int64_t row) const {
  const float* y = base_.data() + row * width_;
  double sum = 0;
  for (std::int64_t i = 0; i < width_; ++i) {
    const double difference = static_cast<double>(query[i]) - y[i];
    sum += difference * difference;
  }
  return static_cast<float>(std::sqrt(sum));
}

/// Turns the best estimates x . y - |y|^2 / 2 = (|x|^2 - |x - y|^2) / 2 into the k smallest distances. What was not
/// selected has an estimate no higher than the worst that was; where that, with the most that rounding may have done to
/// an estimate, does not rule it out, the distances to all rows are measured.
void NearestRows::measure(const float* query, std::int64_t k, Selection& selection) const {
  auto& hits = selection.hits;
  const float worst = hits.front().score;
  for (Hit& hit : hits) hit.score = distance(query, hit.id);
  std::sort(hits.begin(), hits.end(), lower);
  if (std::ssize(hits) < rows_ - (selection.left_out >= 0)) {
    const double square = square_length(query, width_), x = std::sqrt(square);
    const double rounding = static_cast<double>(width_ + 8) * 0x1p-24 * longest_ * (x + longest_ / 2);
    const double nearest_of_others = square - 2 * (static_cast<double>(worst) + rounding);
    const double last = static_cast<double>(hits[static_cast<std::size_t>(k) - 1].score) * (1 + 0x1p-20);
    if (!(last * last < nearest_of_others)) {
      hits.clear();
      for (std::int64_t row = 0; row < rows_; ++row)
        if (row != selection.left_out) hits.push_back({static_cast<std::int32_t>(row), distance(query, row)});
      std::partial_sort(hits.begin(), hits.begin() + k, hits.end(), lower);
    }
  }
  hits.resize(static_cast<std::size_t>(k));
}

std::vector<Hit> NearestRows::search(const MatrixView& queries, std::int64_t k, const std::int64_t* same) const {
  const std::int64_t m = queries.rows, others = rows_ - (same != nullptr);
  std::vector<Hit> hits(static_cast<std::size_t>(m * k));
  if (hits.empty()) return hits;
  require(k <= others, "nearest: ", k, " of ", others, " rows");
  Buffer<float> normal;
  MatrixView x = queries;
  if (metric_ == VectorMetric::cosine) {
    normal.resize(static_cast<std::size_t>(m * width_));
    for (std::int64_t q = 0; q < m; ++q) {
      std::copy_n(queries.data + q * queries.stride, width_, normal.data() + q * width_);
      normalize(normal.data() + q * width_, width_);
    }
    x = {normal.data(), m, width_};
  }
  std::vector<Selection> selections(static_cast<std::size_t>(m));
  for (std::int64_t q = 0; q < m; ++q) {
    Selection& selection = selections[static_cast<std::size_t>(q)];
    selection.most = metric_ == VectorMetric::euclidean ? std::min(k + kSpare, others) : k;
    if (same) selection.left_out = *same + q;
  }
  Buffer<float> scores(static_cast<std::size_t>(m * std::min(rows_, kBaseBlock)));
  for (std::int64_t first = 0; first < rows_; first += kBaseBlock) {
    const std::int64_t count = std::min(kBaseBlock, rows_ - first);
    product_nt(x, {base_.data() + first * width_, count, width_}, bias_.empty() ? nullptr : bias_.data() + first,
               {scores.data(), m, count});
    parallel_for(m, 32, [&](std::int64_t q, std::int64_t end) {
      for (; q < end; ++q) {
        const float* row = scores.data() + q * count;
        if (!all_finite(row, count)) throw RowError(q, "a score is not finite: numbers too large");
        selections[static_cast<std::size_t>(q)].take(row, count, first);
      }
    });
  }
  parallel_for(m, 8, [&](std::int64_t q, std::int64_t end) {
    for (; q < end; ++q) {
      Selection& selection = selections[static_cast<std::size_t>(q)];
      if (metric_ == VectorMetric::euclidean)
        measure(queries.data + q * queries.stride, k, selection);
      else
        std::sort(selection.hits.begin(), selection.hits.end(), higher);
      std::copy_n(selection.hits.begin(), k, hits.begin() + q * k);
    }
  });
  return hits;
}

}  // namespace pipeformer
