// Weights of a mapped file, which products read from the file: the bits of the same weights in memory. CTest runs this
// file once more for each instruction set.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/array.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "files.hpp"
#include "ops/gemm.hpp"

using namespace pipeformer;

namespace {

using Floats = std::vector<float>;
using Bytes = std::vector<std::byte>;

constexpr std::int64_t kBefore = 37;  // bytes of the file that come before the weight

Floats random_floats(std::int64_t n, std::uint64_t seed) {
  Random random(derive_seed(23, seed));
  Floats x(static_cast<std::size_t>(n));
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

/// Elements of any type, none of them NaN or infinite.
Bytes random_elements(WeightType type, std::int64_t n, std::int64_t k) {
  const Floats x = random_floats(n * k, 1);
  Bytes bytes(static_cast<std::size_t>(n * row_bytes(type, k)));
  if (type == WeightType::float32) {
    std::memcpy(bytes.data(), x.data(), bytes.size());
    return bytes;
  }
  Random random(3);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.below(256));
  for (std::size_t i = 1; !is_integer(type) && i < bytes.size(); i += 2) bytes[i] &= std::byte{0xbf};
  for (std::byte& b : bytes)
    if (type == WeightType::int8 && b == std::byte{0x80}) b = std::byte{0x7f};
  return bytes;
}

/// A file of these bytes behind others, open.
class File {
 public:
  explicit File(const Bytes& bytes) {
    test::spit(path_,
               std::string(kBefore, '#') + std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd_ >= 0);
  }
  ~File() { ::close(fd_); }
  int descriptor() const { return fd_; }
  void cut(std::int64_t size) const { REQUIRE(::ftruncate(fd_, size) == 0); }

 private:
  test::TemporaryDirectory directory_;
  std::string path_ = directory_ / "weight";
  int fd_ = -1;
};

Floats product(const Floats& a, const WeightView& w, const Floats& bias) {
  const auto m = static_cast<std::int64_t>(a.size()) / w.columns;
  Floats c(static_cast<std::size_t>(m * w.rows));
  product_nt({a.data(), m, w.columns}, w, bias.data(), {c.data(), m, w.rows});
  return c;
}

Floats packed_product(const Floats& a, const WeightView& w, const Floats& bias) {
  const auto m = static_cast<std::int64_t>(a.size()) / w.columns;
  Buffer<std::byte> memory(static_cast<std::size_t>(packed_bytes(w.rows, w.columns, w.type)));
  Floats c(static_cast<std::size_t>(m * w.rows));
  product_packed({a.data(), m, w.columns}, pack_nt(w, memory.data()), bias.data(), {c.data(), m, w.rows});
  return c;
}

bool same_bits(const Floats& a, const Floats& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y) || (std::isnan(x) && std::isnan(y));
  });
}

}  // namespace

TEST_CASE("weights of a mapped file are read from the file, whole or in pieces, and give the same bits", "[ops]") {
  for (const WeightType type :
       {WeightType::float32, WeightType::float16, WeightType::bfloat16, WeightType::int8, WeightType::int4})
    for (const auto& [n, k] : std::vector<std::array<std::int64_t, 2>>{{1, 1}, {33, 300}, {700, 517}, {2100, 512}}) {
      const Bytes elements = random_elements(type, n, k), others(elements.size());
      const File file(elements);
      Floats scales = random_floats(n * std::max<std::int64_t>(1, row_scales(type, k)), 5);
      for (float& s : scales) s = std::abs(s);
      WeightView kept(elements.data(), type, n, k), mapped(others.data(), type, n, k);
      kept.scales = mapped.scales = scales.data();
      mapped.file = file.descriptor();
      mapped.offset = kBefore;
      const Floats bias = random_floats(n, 6);
      for (const std::int64_t m : {1, 3, 5, 40, 97})
        for (const int threads : {1, 2}) {
          INFO("type " << static_cast<int>(type) << ": " << m << " x " << n << " x " << k << ", " << threads
                       << " threads");
          const int before = thread_count();
          set_thread_count(threads);
          const Floats a = random_floats(m * k, 7), expected = product(a, kept, bias);
          CHECK(same_bits(product(a, mapped, bias), expected));
          CHECK(same_bits(packed_product(a, mapped, bias), expected));
          set_thread_count(before);
        }
      // Of a file that was cut short the mapping is touched, which says so: here it holds other bytes.
      file.cut(kBefore + std::ssize(elements) - 1);
      WeightView behind = mapped;
      behind.file = -1;
      const Floats a = random_floats(k, 7);
      CHECK(same_bits({product(a, mapped, bias).back()}, {product(a, behind, bias).back()}));
    }
}
