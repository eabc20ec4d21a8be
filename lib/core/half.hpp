/// The two 16-bit floating-point types, as their bits: IEEE 754 binary16 (sign 1, exponent 5, fraction 10) and bfloat16
/// (the upper half of a binary32: sign 1, exponent 8, fraction 7). Widening is exact; narrowing rounds to nearest
/// even.
#pragma once
#include <bit>
#include <cstdint>

namespace pipeformer {

inline float float_from_half(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0)
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(fraction) * 0x1p-24f));
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

/// On the bits. Coming from a float the first step (to double) is exact, so there is one rounding only. A NaN keeps its
/// sign and the top of its payload.
inline std::uint16_t half_from_double(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 48 & 0x8000);
  const auto exponent = static_cast<int>(bits >> 52 & 0x7ff);
  std::uint64_t fraction = bits & 0xfffffffffffffULL;
  if (exponent == 0x7ff) {
    const auto payload = static_cast<std::uint16_t>(fraction >> 42);
    return static_cast<std::uint16_t>(sign | 0x7c00 | (fraction != 0 && payload == 0 ? 1 : payload));
  }
  const int biased = exponent - 1023 + 15;
  if (biased >= 31) return static_cast<std::uint16_t>(sign | 0x7c00);
  if (biased < -10) return sign;  // below half of the least subnormal
  int drop = 42;                  // fraction bits of f8 that f2 does not have
  std::uint64_t result = 0;
  if (biased > 0) {
    result = static_cast<std::uint64_t>(biased) << 10;
  } else {
    fraction |= 1ULL << 52;
    drop += 1 - biased;
  }
  const std::uint64_t rest = fraction & ((1ULL << drop) - 1), tie = 1ULL << (drop - 1);
  result += fraction >> drop;
  if (rest > tie || (rest == tie && (result & 1)))
    ++result;  // a carry runs into the exponent, up to infinity, as it should
  return static_cast<std::uint16_t>(sign | result);
}

/// A NaN stays one, and keeps its sign and the top of its payload.
inline std::uint16_t bfloat16_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float float_from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

}  // namespace pipeformer
