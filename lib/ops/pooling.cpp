#include "ops/pooling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/threads.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

void gather_rows(std::int64_t n, std::int64_t d, const std::int32_t* index, const float* x, float* y) {
  for (std::int64_t i = 0; i < n; ++i) {
    if (index[i] < 0)
      std::fill_n(y + i * d, d, 0.0f);
    else
      std::copy_n(x + index[i] * d, d, y + i * d);
  }
}

void gather_rows_backward(std::int64_t n, std::int64_t d, const std::int32_t* index, const float* dy, float* dx) {
  for (std::int64_t i = 0; i < n; ++i)
    if (index[i] >= 0) kernels().axpy(d, 1.0f, dy + i * d, dx + index[i] * d);
}

void mean_rows(const Ragged& ragged, std::int64_t d, const float* x, float* y) {
  parallel_for(ragged.sequences(), 8, [&](std::int64_t s, std::int64_t end) {
    for (; s < end; ++s) {
      float* mean = y + s * d;
      std::fill_n(mean, d, 0.0f);
      const std::int64_t length = ragged.length(s);
      if (length == 0) continue;
      for (std::int64_t t = 0; t < length; ++t) kernels().axpy(d, 1.0f, x + (ragged.begin(s) + t) * d, mean);
      kernels().scale(d, 1.0f / static_cast<float>(length), mean);
    }
  });
}

void mean_rows_backward(const Ragged& ragged, std::int64_t d, const float* dy, float* dx) {
  parallel_for(ragged.sequences(), 8, [&](std::int64_t s, std::int64_t end) {
    for (; s < end; ++s) {
      const std::int64_t length = ragged.length(s);
      for (std::int64_t t = 0; t < length; ++t) {
        float* row = dx + (ragged.begin(s) + t) * d;
        std::copy_n(dy + s * d, d, row);
        kernels().scale(d, 1.0f / static_cast<float>(length), row);
      }
    }
  });
}

void max_rows(const Ragged& ragged, std::int64_t d, const float* x, float* y, std::int32_t* rows) {
  parallel_for(ragged.sequences(), 8, [&](std::int64_t s, std::int64_t end) {
    for (; s < end; ++s) {
      float* largest = y + s * d;
      std::int32_t* row = rows + s * d;
      std::fill_n(largest, d, 0.0f);
      std::fill_n(row, d, -1);
      for (std::int64_t r = ragged.begin(s); r < ragged.begin(s) + ragged.length(s); ++r)
        for (std::int64_t c = 0; c < d; ++c)
          if (row[c] < 0 || x[r * d + c] > largest[c] || std::isnan(x[r * d + c])) {  // NaN must not be hidden
            largest[c] = x[r * d + c];
            row[c] = static_cast<std::int32_t>(r);
          }
    }
  });
}

void max_rows_backward(std::int64_t n, std::int64_t d, const std::int32_t* rows, const float* dy, float* dx) {
  for (std::int64_t i = 0; i < n * d; ++i)
    if (rows[i] >= 0) dx[rows[i] * d + i % d] += dy[i];
}

namespace {
constexpr float kShortest = 1e-12f;
}

void normalize_rows(std::int64_t rows, std::int64_t d, float* x, float* lengths) {
  parallel_for(rows, 16, [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) {
      const double length = std::sqrt(kernels().sum_squares(d, x + r * d));
      kernels().scale(d, static_cast<float>(1.0 / std::max<double>(length, kShortest)), x + r * d);
      if (lengths) lengths[r] = static_cast<float>(length);
    }
  });
}

void normalize_rows_backward(std::int64_t rows, std::int64_t d, const float* y, const float* lengths, const float* dy,
                             float* dx) {
  parallel_for(rows, 16, [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) {
      const float *row = y + r * d, *d_row = dy + r * d;
      // A row below the shortest length was divided by a constant.
      const float along = lengths[r] > kShortest ? kernels().dot(d, row, d_row) : 0.0f;
      if (dx != dy) std::copy_n(d_row, d, dx + r * d);
      kernels().axpy(d, -along, row, dx + r * d);
      kernels().scale(d, 1.0f / std::max(lengths[r], kShortest), dx + r * d);
    }
  });
}

void softmax_rows(std::int64_t rows, std::int64_t c, float* x) {
  parallel_for(rows, 4, [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) {
      float maximum = 0, sum = 0;
      kernels().log_sum_exp(c, x + r * c, &maximum, &sum, nullptr);
      const auto nothing = [](float v) { return v == kMinusInfinity; };
      if (maximum == kMinusInfinity && std::all_of(x + r * c, x + (r + 1) * c, nothing)) {
        std::fill_n(x + r * c, c, 0.0f);  // and not NaN, which a row that holds one becomes
        continue;
      }
      kernels().exp_shifted(c, maximum, x + r * c);
      kernels().scale(c, 1.0f / sum, x + r * c);
    }
  });
}

}  // namespace pipeformer
