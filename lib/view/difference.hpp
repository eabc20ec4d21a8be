/// How two files of tensors differ: streams, and HDF5 files (models, checkpoints, taps) and NPZ archives name by name.
#pragma once
#include <cstdint>
#include <string>

#include "view/report.hpp"

namespace pipeformer {

/// Of two streams of numbers.
struct Difference {
  std::int64_t records = 0, elements = 0;  ///< Compared.
  std::int64_t differing = 0;              ///< Elements apart by more than the tolerance.
  double maximum = 0, sum = 0;             ///< Of |a - b|.
  double relative = 0;                     ///< Largest |a - b| / max(|a|, |b|).
  std::string first;   ///< Where the first differing element is: "record 3 [0, 17]"; empty: nowhere.
  std::string shapes;  ///< Why they cannot be compared element by element; empty: they can.
  bool same() const { return differing == 0 && shapes.empty(); }
};

/// Numbers are the same when |a - b| <= tolerance * max(1, |a|, |b|), and NaN is NaN; two integers are compared as
/// such, exactly. Reads to the end of both.
Difference compare(RecordReader& a, RecordReader& b, double tolerance);

/// Writes a line for each name that differs, or is in one file only: name, elements, differing, max, mean, relative,
/// first. Weights of 8 bits are compared by what they stand for, their codes times their scales. False when there is
/// any. Throws Error for an archive beside an HDF5 file of several names.
bool write_differences(const std::string& a, const std::string& b, double tolerance, const TextSink& sink,
                       bool aligned);

}  // namespace pipeformer
