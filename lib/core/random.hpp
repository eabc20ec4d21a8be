/// Random numbers by position: a value is a pure function of (seed, stream, index), so that dropout and shuffles are
/// the same whatever the threads, the batch or the moment a run was interrupted (law 4).
#pragma once
#include <cstdint>
#include <string_view>

namespace pipeformer {

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijective mixing of 64 bits.
constexpr std::uint64_t mix64(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

/// The seed of one stream of random numbers, derived from a parent seed.
constexpr std::uint64_t derive_seed(std::uint64_t seed, std::uint64_t stream) {
  return mix64(seed ^ mix64(stream));
}

/// A stream's number from a name, for derive_seed.
constexpr std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0;
  for (const char c : name) hash = mix64(hash ^ static_cast<unsigned char>(c));
  return hash;
}

/// Sequential generator over one stream. next() is uniform over 64 bits, uniform() over [0, 1), normal() is N(0, 1).
class Random {
 public:
  explicit Random(std::uint64_t seed) : seed_(seed) {}
  std::uint64_t next() { return mix64(seed_ + 0x9e3779b97f4a7c15ULL * counter_++); }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  double normal();
  std::uint64_t below(std::uint64_t bound);  ///< Uniform over [0, bound), without modulo bias.

 private:
  std::uint64_t seed_;
  std::uint64_t counter_ = 0;
};

}  // namespace pipeformer
