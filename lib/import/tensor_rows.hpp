/// The elements of parameters on their way from a checkpoint's tensors to ours and back: one row says which tensors
/// make a parameter, and both directions follow from it.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/array.hpp"
#include "io/tensor_folder.hpp"

namespace pipeformer {

/// One parameter of ours and where it comes from.
struct TensorRow {
  std::string ours{};
  std::vector<std::string> theirs{};  ///< Several: their rows one after another.
  bool transposed = false;            ///< (in, out) becomes (out, in).
  /// Then: rows first, first + step, ... in runs of `run`: row r is theirs' row first + r / run * step + r % run. run
  /// 0: all rows from `first` on.
  std::int64_t first = 0, run = 0, step = 0;
  std::int64_t rows = -1;     ///< How many; -1: all there are.
  std::int64_t patch = 0;     ///< A convolution (out, C, P, P) becomes (out, P * P * C), channels last.
  bool side_by_side = false;  ///< Several of `theirs` stand beside each other: columns, not rows.
  float plus = 0, times = 1;  ///< Then x * times + plus, in float32.
  bool add = false;           ///< Several of `theirs` are added up (before times and plus); back, each is a share.
  /// Two of theirs, an embedding (V, N) and what projects it: their product in float32. `into`: the projection is (D,
  /// N), else (N, D). There is no way back.
  enum class Product { none, into, out_of } product = Product::none;
  std::size_t axes = 0;  ///< Of theirs: it has leading axes of 1, or lacks ours; 0: as many as ours.

  bool computes() const { return plus != 0 || times != 1 || add || product != Product::none; }
};

/// A matrix of elements of type F32, F16 or BF16.
struct Elements {
  TensorType type = TensorType::F32;
  std::int64_t rows = 0, columns = 0;
  Buffer<std::byte> bytes;
  std::size_t element() const { return tensor_type_size(type); }
};

/// 16-bit types become F32.
void widen(Elements&);

/// A shape without leading axes of length 1, at least one axis.
Shape squeezed(Shape shape);

/// A tensor as a matrix of its first axis and all others. widen: 16-bit types become F32.
Elements read_tensor(const StoredTensor& tensor, bool widen);
/// A row's parameter: its tensors, transformed and put together. Throws Error when they do not fit.
Elements fetch(const TensorFolder& tensors, const TensorRow& row, bool widen);

/// One of theirs that is to be written: what rows put into it.
struct TensorParts {
  struct Part {
    const TensorRow* row;
    std::size_t which;  ///< Of row->theirs.
  };
  std::vector<Part> parts;
  Shape shape;
};

/// Their tensors, of the rows whose parameters there are (name -> shape). Rows that nothing fills are for what the
/// library does not read (positions of padding).
std::map<std::string, TensorParts> tensors_of(const std::vector<TensorRow>& rows,
                                              const std::map<std::string, Shape>& parameters);
/// The elements of one of them. `parameter` gives ours by name. What fetch() makes of it are the same bits, but for
/// rows that compute: theirs are rounded to float32.
Elements assemble(const TensorParts& tensor, const std::function<Elements(const std::string&)>& parameter);

}  // namespace pipeformer
