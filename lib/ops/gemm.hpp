/// Matrix products on row-major float32.
///
/// An element of a product is the sum over k in blocks of kDepthBlock terms: each block one chain of multiply-adds in
/// ascending k, the blocks added in ascending order. That definition does not mention the number of rows, so a row's
/// bits are the same in every batch, at every position, with any number of threads (law 4), at no cost in time.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>

#include "core/array.hpp"

namespace pipeformer {

constexpr std::int64_t kDepthBlock = 256;

/// A weight (out, in) packed for the kernels, in both directions, kept between products, on any thread, until its
/// `version` (a number of its values) is another one. Filled at the second use of a version: who runs a weight once
/// should not pay for a second copy of the model.
class PackedWeight {
 public:
  /// The panels for x w^T, or nullptr when it is better to go without.
  const float* forward(const float* w, std::int64_t out, std::int64_t in, std::uint64_t version);
  /// The panels for dy w.
  const float* backward(const float* w, std::int64_t out, std::int64_t in, std::uint64_t version);

 private:
  struct Copy {
    static constexpr std::uint64_t kNone = ~std::uint64_t{0};
    std::atomic<std::uint64_t> version = kNone;
    std::mutex filling;
    std::uint64_t used = kNone;  ///< The version that was asked for.
    Buffer<float> panels;
    template <class Pack>
    const float* get(std::int64_t size, std::uint64_t wanted, Pack pack);
  };
  Copy forward_, backward_;
};

/// B as the kernels read it, for a product that is taken several times with the same B: packed once into packed_size(n,
/// k) floats.
std::int64_t packed_size(std::int64_t n, std::int64_t k);
void pack_nt(std::int64_t n, std::int64_t k, const float* w, float* packed);  ///< B = w^T, w (n, k)
void pack_nn(std::int64_t n, std::int64_t k, const float* b, float* packed);  ///< B = b, b (k, n)
/// c (m, n) (+)= a (m, k) B + bias; lda and ldc are row strides.
void product_packed(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda,
                    const float* packed, const float* bias, float* c, std::int64_t ldc, bool accumulate);

/// c (m, n) = a (m, k) w^T + bias, w (n, k): a linear layer with PyTorch's [out, in] weight. bias (n) may be null; ldc
/// >= n is the row stride of c.
void product_nt(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* w, const float* bias,
                float* c, std::int64_t ldc);

/// c (m, n) (+)= a (m, k) b, b (k, n); lda is the row stride of a.
void product_nn(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b,
                float* c, bool accumulate);

/// c (m, n) += a^T b, a (k, m) with row stride lda, b (k, n): the gradient of a weight.
void product_tn(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b,
                float* c);

/// sums (n) += the columns of x (rows, n) with row stride ld.
void column_sums(std::int64_t rows, std::int64_t n, const float* x, std::int64_t ld, float* sums);

}  // namespace pipeformer
