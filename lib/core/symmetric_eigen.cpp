#include "core/symmetric_eigen.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.hpp"
#include "core/threads.hpp"

namespace pipeformer {
namespace {

double dot(std::int64_t n, const double* a, const double* b) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

/// A symmetric matrix on its way: Q^T A Q is tridiagonal, with `diagonal` and `beside` it; `rows` is Q^T at first, in
/// the end the eigenvectors.
struct Reduction {
  std::int64_t n;
  std::vector<double> diagonal, beside, rows;
  double* row(std::int64_t i) { return rows.data() + i * n; }
};

/// Reflects row k's entries beyond the diagonal onto the first of them: I - beta v v^T, whose v takes their place.
/// Returns beta, 0 when there is nothing to do, and what the first becomes.
double reflector(std::int64_t count, double* v, double& becomes) {
  becomes = v[0];
  if (dot(count - 1, v + 1, v + 1) == 0) return 0;
  becomes = v[0] > 0 ? -std::sqrt(dot(count, v, v)) : std::sqrt(dot(count, v, v));
  v[0] -= becomes;
  return 2 / dot(count, v, v);
}

/// The block of a (n, n) from row and column `first` on: H a H with H = I - beta v v^T.
void reflect_block(std::vector<double>& a, std::int64_t n, std::int64_t first, double beta, const double* v) {
  const std::int64_t count = n - first;
  std::vector<double> w(static_cast<std::size_t>(count));
  const auto at = [&](std::int64_t i) { return a.data() + (first + i) * n + first; };
  parallel_for(count, 64, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) w[static_cast<std::size_t>(i)] = beta * dot(count, at(i), v);
  });
  const double along = beta / 2 * dot(count, w.data(), v);
  for (std::int64_t i = 0; i < count; ++i) w[static_cast<std::size_t>(i)] -= along * v[i];
  parallel_for(count, 64, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) {
      double* row = at(i);
      const double vi = v[i], wi = w[static_cast<std::size_t>(i)];
      for (std::int64_t j = 0; j < count; ++j) row[j] -= vi * w[static_cast<std::size_t>(j)] + wi * v[j];
    }
  });
}

Reduction tridiagonal(std::vector<double> a, std::int64_t n) {
  const auto size = static_cast<std::size_t>(n);
  Reduction r{n, std::vector<double>(size), std::vector<double>(size), std::vector<double>(size * size)};
  std::vector<double> betas(size);
  for (std::int64_t k = 0; k < n; ++k) {
    const auto at = static_cast<std::size_t>(k);
    double* row = a.data() + k * n;
    r.diagonal[at] = row[k];
    if (k + 1 == n) break;
    betas[at] = reflector(n - k - 1, row + k + 1, r.beside[at]);
    if (betas[at] != 0) reflect_block(a, n, k + 1, betas[at], row + k + 1);
  }
  // Q^T: the identity times the reflections, the last first, so that each meets rows that begin where it does.
  for (std::int64_t i = 0; i < n; ++i) r.row(i)[i] = 1;
  for (std::int64_t k = n - 2; k >= 0; --k) {
    const double beta = betas[static_cast<std::size_t>(k)];
    const double* v = a.data() + k * n + k + 1;
    if (beta == 0) continue;
    parallel_for(n - k - 1, 64, [&](std::int64_t i, std::int64_t end) {
      for (; i < end; ++i) {
        double* row = r.row(k + 1 + i) + k + 1;
        const double along = beta * dot(n - k - 1, row, v);
        for (std::int64_t j = 0; j < n - k - 1; ++j) row[j] -= along * v[j];
      }
    });
  }
  return r;
}

/// A turn of two axes that takes (x, z) to (length, 0).
struct Turn {
  double c = 1, s = 0, length;
  Turn(double x, double z) : length(std::sqrt(x * x + z * z)) {
    if (length > 0) c = x / length, s = z / length;
  }
  void apply(std::int64_t n, double* a, double* b) const {
    for (std::int64_t j = 0; j < n; ++j) {
      const double x = a[j], y = b[j];
      a[j] = c * x + s * y;
      b[j] = c * y - s * x;
    }
  }
};

/// One implicit QR step on the block from `low` to `high`, none of whose numbers beside the diagonal is zero.
void qr_step(Reduction& r, std::size_t low, std::size_t high) {
  std::vector<double>&d = r.diagonal, &e = r.beside;
  const double half = (d[high - 1] - d[high]) / 2, last = e[high - 1];
  const double root = std::sqrt(half * half + last * last);
  const double shift = d[high] - last * last / (half < 0 ? half - root : half + root);
  double x = d[low] - shift, z = e[low];
  for (std::size_t k = low; k < high; ++k) {
    const Turn turn(x, z);
    if (k > low) e[k - 1] = turn.length;
    const double c = turn.c, s = turn.s, a = d[k], b = e[k], next = d[k + 1];
    d[k] = c * c * a + 2 * c * s * b + s * s * next;
    d[k + 1] = s * s * a - 2 * c * s * b + c * c * next;
    e[k] = c * s * (next - a) + (c * c - s * s) * b;
    x = e[k];
    if (k + 1 < high) {
      z = s * e[k + 1];
      e[k + 1] *= c;
    }
    turn.apply(r.n, r.row(static_cast<std::int64_t>(k)), r.row(static_cast<std::int64_t>(k) + 1));
  }
}

void diagonalise(Reduction& r) {
  double size = 0;
  for (std::size_t i = 0; i < r.diagonal.size(); ++i)
    size = std::max({size, std::fabs(r.diagonal[i]), std::fabs(r.beside[i])});
  const double nothing = size * std::numeric_limits<double>::epsilon() / 2;
  std::int64_t steps = 0;
  for (std::size_t high = r.diagonal.size() - 1; high > 0;) {
    if (std::fabs(r.beside[high - 1]) <= nothing) {
      --high;
      continue;
    }
    std::size_t low = high - 1;
    while (low > 0 && std::fabs(r.beside[low - 1]) > nothing) --low;
    require(++steps <= 60 * r.n, "the eigenvalues of a matrix (", r.n, ", ", r.n, ") were not found");
    qr_step(r, low, high);
  }
}

}  // namespace

SymmetricEigen symmetric_eigen(std::vector<double> a, std::int64_t n) {
  if (n == 0) return {};
  Reduction r = tridiagonal(std::move(a), n);
  diagonalise(r);
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](std::int64_t i) { return r.diagonal[static_cast<std::size_t>(i)]; };
  std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return value(i) > value(j); });
  SymmetricEigen result;
  result.vectors.reserve(r.rows.size());
  for (const std::int64_t i : order) {
    const double* row = r.row(i);
    const double* largest =
        std::max_element(row, row + n, [](double x, double y) { return std::fabs(x) < std::fabs(y); });
    const double sign = *largest < 0 ? -1 : 1;
    result.values.push_back(value(i));
    for (std::int64_t j = 0; j < n; ++j) result.vectors.push_back(sign * row[j]);
  }
  return result;
}

}  // namespace pipeformer
