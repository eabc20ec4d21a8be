#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "core/random.hpp"
#include "core/symmetric_eigen.hpp"
#include "core/threads.hpp"

using namespace pipeformer;

namespace {

using Doubles = std::vector<double>;

std::size_t at(std::int64_t i, std::int64_t j, std::int64_t n) {
  return static_cast<std::size_t>(i * n + j);
}

/// A symmetric matrix of whole numbers, of rank n or (with `rank`) less.
Doubles symmetric(std::int64_t n, std::int64_t rank, std::uint64_t seed) {
  Doubles a(at(n, 0, n));
  for (std::int64_t r = 0; r < rank; ++r) {
    Doubles v;
    for (std::int64_t i = 0; i < n; ++i)
      v.push_back(static_cast<double>(derive_seed(seed, static_cast<std::uint64_t>(r * n + i)) % 9) - 4);
    const double sign = r % 3 == 2 ? -1 : 1;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        a[at(i, j, n)] += sign * v[static_cast<std::size_t>(i)] * v[static_cast<std::size_t>(j)];
  }
  return a;
}

/// Largest entries of A v - value v and of V V^T - I.
double residual(const Doubles& a, const SymmetricEigen& e, std::int64_t n) {
  double worst = 0, size = 1;
  for (const double x : a) size = std::max(size, std::fabs(x));
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t i = 0; i < n; ++i) {
      double product = 0, along = 0;
      for (std::int64_t j = 0; j < n; ++j) {
        product += a[at(i, j, n)] * e.vectors[at(k, j, n)];
        along += e.vectors[at(i, j, n)] * e.vectors[at(k, j, n)];
      }
      const double expected = e.values[static_cast<std::size_t>(k)] * e.vectors[at(k, i, n)];
      worst = std::max({worst, std::fabs(product - expected) / (size * static_cast<double>(n)),
                        std::fabs(along - (i == k ? 1 : 0))});
    }
  return worst;
}

}  // namespace

TEST_CASE("eigenvalues and eigenvectors of symmetric matrices", "[core]") {
  for (const std::int64_t n : {1, 2, 3, 7, 64, 150})
    for (const std::int64_t rank : {n, std::max<std::int64_t>(n / 3, 1), std::int64_t{0}}) {
      CAPTURE(n, rank);
      const Doubles a = symmetric(n, rank, 7);
      const SymmetricEigen e = symmetric_eigen(a, n);
      CHECK(residual(a, e, n) < 1e-13);
      CHECK(std::is_sorted(e.values.rbegin(), e.values.rend()));
      for (std::int64_t k = 0; k < n; ++k) {
        double largest = 0;
        for (std::int64_t j = 0; j < n; ++j)
          if (std::fabs(e.vectors[at(k, j, n)]) > std::fabs(largest)) largest = e.vectors[at(k, j, n)];
        CHECK(largest > 0);
      }
    }
  CHECK(symmetric_eigen({}, 0).values.empty());
}

TEST_CASE("eigenvalues that are equal, far apart, or in blocks", "[core]") {
  Doubles identity(25), graded(36), blocks(16);
  for (std::int64_t i = 0; i < 5; ++i) identity[at(i, i, 5)] = 3;
  for (std::int64_t i = 0; i < 6; ++i)
    for (std::int64_t j = 0; j < 6; ++j) graded[at(i, j, 6)] = std::pow(10.0, -static_cast<double>(i + j));
  blocks = {2, 1, 0, 0, 1, 2, 0, 0, 0, 0, 2, 1, 0, 0, 1, 2};
  CHECK(symmetric_eigen(identity, 5).values == Doubles(5, 3.0));
  CHECK(residual(graded, symmetric_eigen(graded, 6), 6) < 1e-14);
  const SymmetricEigen e = symmetric_eigen(blocks, 4);
  CHECK(residual(blocks, e, 4) < 1e-14);
  CHECK(e.values[1] == Approx(3).epsilon(1e-14));
  CHECK(e.values[2] == Approx(1).epsilon(1e-14));
}

TEST_CASE("eigenvectors do not depend on threads", "[core]") {
  const Doubles a = symmetric(200, 200, 3);
  const int threads = thread_count();
  set_thread_count(1);
  const SymmetricEigen one = symmetric_eigen(a, 200);
  set_thread_count(3);
  const SymmetricEigen three = symmetric_eigen(a, 200);
  set_thread_count(threads);
  CHECK(one.values == three.values);
  CHECK(one.vectors == three.vectors);
}
