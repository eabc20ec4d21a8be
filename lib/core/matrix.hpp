/// Views of matrices that live elsewhere: rows of float32, one after another at a fixed distance. The operands of ops.
#pragma once
#include <cstdint>

namespace pipeformer {

struct MutableMatrixView {
  float* data;
  std::int64_t rows, columns;
  std::int64_t stride;  ///< From one row to the next, in elements; at least `columns`.

  MutableMatrixView(float* d, std::int64_t r, std::int64_t c) : MutableMatrixView(d, r, c, c) {}
  MutableMatrixView(float* d, std::int64_t r, std::int64_t c, std::int64_t s)
      : data(d), rows(r), columns(c), stride(s) {}
};

struct MatrixView {
  const float* data;
  std::int64_t rows, columns;
  std::int64_t stride;

  MatrixView(const float* d, std::int64_t r, std::int64_t c) : MatrixView(d, r, c, c) {}
  MatrixView(const float* d, std::int64_t r, std::int64_t c, std::int64_t s)
      : data(d), rows(r), columns(c), stride(s) {}
  MatrixView(const MutableMatrixView& m)  // NOLINT(google-explicit-constructor)
      : MatrixView(m.data, m.rows, m.columns, m.stride) {}
};

}  // namespace pipeformer
