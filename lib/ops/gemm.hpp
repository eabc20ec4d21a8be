/// Matrix products on row-major float32.
///
/// An element of a product is the sum over k in blocks of kDepthBlock terms: each block one chain of multiply-adds in
/// ascending k, the blocks added in ascending order. That definition does not mention the number of rows, so a row's
/// bits are the same in every batch, at every position, with any number of threads (law 4), at no cost in time.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "core/array.hpp"
#include "core/matrix.hpp"
#include "ops/weight.hpp"

namespace pipeformer {

constexpr std::int64_t kDepthBlock = 256;

/// A weight (out, in) packed for the kernels, in both directions, kept between products, on any thread, until its
/// `version` (a number of its values) is another one. Such a second copy of the model is made where it pays: at the
/// second use of a version, since who runs a weight once should not pay for it. Of a weight too large for the caches,
/// whose copy takes memory that the system has to give and clear first, it is made at the fifth: few rows (few_rows()
/// of its type) read the weight as it stands, and products of many rows with a file's weights, which are not changed
/// meanwhile, hide the packing.
class PackedWeight {
 public:
  /// The panels for x w^T, x of so many rows, or null when it is better to go without. They keep the type of the
  /// weight.
  PackedView forward(const WeightView& w, std::uint64_t version, std::int64_t rows);
  /// Whether forward() has its copy of that version: until then, products may pack the weight each time.
  bool is_packed(std::uint64_t version) const { return forward_.version.load(std::memory_order_acquire) == version; }
  /// The panels for dy w, w float32.
  PackedView backward(const WeightView& w, std::uint64_t version);

 private:
  static constexpr int kCopy = 4, kLargeUse = 1;  ///< What a copy costs; what uses of large weights cost without one.
  static constexpr std::int64_t kManyRows = 256;
  static constexpr std::int64_t kLargeBytes = std::int64_t{512} << 10, kLongRow = 256;
  struct Copy {
    static constexpr std::uint64_t kNone = ~std::uint64_t{0};
    std::atomic<std::uint64_t> version = kNone;
    std::mutex filling;
    std::uint64_t used = kNone;         ///< The version that was asked for, ...
    int spent = 0;                      ///< ... and what its uses without a copy cost.
    std::shared_ptr<std::byte> panels;  ///< Of one size.
    template <class Pack>
    const void* get(std::int64_t bytes, std::uint64_t wanted, int cost, Pack pack);
  };
  Copy forward_, backward_;
};

/// B (k, n) as the kernels read it, for a product that is taken several times with the same B: packed once into
/// packed_bytes of memory.
std::int64_t packed_bytes(std::int64_t n, std::int64_t k, WeightType type = WeightType::float32);
PackedView pack_nt(const WeightView& w, void* packed);  ///< B = w^T, w (n, k)
PackedView pack_nn(const MatrixView& b, void* packed);  ///< B = b, b (k, n)
/// c (m, n) (+)= a (m, k) B + bias (n); bias may be null.
void product_packed(const MatrixView& a, const PackedView& packed, const float* bias, const MutableMatrixView& c,
                    bool accumulate = false);

/// While one lives, products of this thread that read the same rows one after another prepare them once: those with
/// weights of 8 bits quantise them. The rows must not change meanwhile.
class SameRows {
 public:
  SameRows();
  ~SameRows();
  SameRows(const SameRows&) = delete;
  SameRows& operator=(const SameRows&) = delete;
};

/// c (m, n) = a (m, k) w^T + bias, w (n, k): a linear layer with PyTorch's [out, in] weight. bias (n) may be null.
void product_nt(const MatrixView& a, const WeightView& w, const float* bias, const MutableMatrixView& c);

/// c (m, n) (+)= a (m, k) b, b (k, n).
void product_nn(const MatrixView& a, const MatrixView& b, const MutableMatrixView& c, bool accumulate = false);

/// c (m, n) += a^T b, a (k, m), b (k, n): the gradient of a weight.
void product_tn(const MatrixView& a, const MatrixView& b, const MutableMatrixView& c);

/// sums (n) += the columns of x (rows, n).
void column_sums(const MatrixView& x, float* sums);

}  // namespace pipeformer
