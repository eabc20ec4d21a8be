#include "import/tensor_rows.hpp"

#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "layers/linear.hpp"

namespace pipeformer {

void widen(Elements& e) {
  if (e.type == TensorType::F32) return;
  StoredTensor narrow{"", e.type, {e.rows, e.columns}, {}, e.bytes};
  Buffer<std::byte> wide(static_cast<std::size_t>(e.rows * e.columns) * sizeof(float));
  narrow.read_floats(reinterpret_cast<float*>(wide.data()));
  e.bytes = std::move(wide);
  e.type = TensorType::F32;
}

namespace {

void transpose(Elements& e) {
  Buffer<std::byte> to(e.bytes.size());
  const std::size_t size = e.element();
  for (std::int64_t r = 0; r < e.rows; ++r)
    for (std::int64_t c = 0; c < e.columns; ++c)
      std::memcpy(to.data() + static_cast<std::size_t>(c * e.rows + r) * size,
                  e.bytes.data() + static_cast<std::size_t>(r * e.columns + c) * size, size);
  e.bytes = std::move(to);
  std::swap(e.rows, e.columns);
}

/// (out, C, P, P) becomes (out, P, P, C), or back.
void move_channels(Elements& e, std::int64_t patch, bool last, const std::string& where) {
  const std::int64_t pixels = patch * patch, channels = pixels > 0 ? e.columns / pixels : 0;
  require(channels * pixels == e.columns, where, ": ", e.columns, " columns are no patches of ", patch, " x ", patch);
  Buffer<std::byte> to(e.bytes.size());
  const std::size_t size = e.element();
  for (std::int64_t r = 0; r < e.rows; ++r)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < pixels; ++p) {
        const std::int64_t ours = r * e.columns + p * channels + c, theirs = r * e.columns + c * pixels + p;
        std::memcpy(to.data() + static_cast<std::size_t>(last ? ours : theirs) * size,
                    e.bytes.data() + static_cast<std::size_t>(last ? theirs : ours) * size, size);
      }
  e.bytes = std::move(to);
}

/// Where row r of ours stands in theirs.
std::int64_t source_row(const TensorRow& row, std::int64_t r) {
  return row.run > 0 ? row.first + r / row.run * row.step + r % row.run : row.first + r;
}

void choose_rows(Elements& e, const TensorRow& row, const std::string& where) {
  if (row.first == 0 && row.run == 0 && row.rows < 0) return;
  const std::int64_t count = row.rows >= 0 ? row.rows : e.rows - row.first;
  const std::size_t bytes = static_cast<std::size_t>(e.columns) * e.element();
  require(count >= 0, where, ": has ", e.rows, " rows, expected more than ", row.first);
  Buffer<std::byte> to(static_cast<std::size_t>(count) * bytes);
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t from = source_row(row, r);
    require(from >= 0 && from < e.rows, where, ": has ", e.rows, " rows, expected at least ", from + 1);
    std::memcpy(to.data() + static_cast<std::size_t>(r) * bytes,
                e.bytes.data() + static_cast<std::size_t>(from) * bytes, bytes);
  }
  e.bytes = std::move(to);
  e.rows = count;
}

/// The product of an embedding and its projection.
Elements project(const TensorFolder& tensors, const TensorRow& row) {
  const StoredTensor second = tensors.tensor(row.theirs.at(1));
  const Elements table = read_tensor(tensors.tensor(row.theirs.at(0)), true);
  Elements weight = read_tensor(second, true);
  if (row.product == TensorRow::Product::out_of) transpose(weight);
  require(weight.columns == table.columns, second.where, ": has shape ", shape_text(second.shape),
          ", which does not fit to ", row.theirs.at(0), " with ", table.columns, " columns");
  Elements product{TensorType::F32, table.rows, weight.rows, {}};
  product.bytes.resize(static_cast<std::size_t>(product.rows * product.columns) * sizeof(float));
  const Linear linear(
      Weight{{reinterpret_cast<const float*>(weight.bytes.data()), weight.rows, weight.columns}, nullptr, nullptr}, {});
  linear.forward(table.rows, reinterpret_cast<const float*>(table.bytes.data()),
                 reinterpret_cast<float*>(product.bytes.data()));
  return product;
}

/// Ours as a matrix that one of theirs becomes a part of: its share of what was put together.
Elements share_of(Elements e, const TensorRow& row, std::size_t which) {
  const auto count = static_cast<std::int64_t>(row.theirs.size());
  if (count == 1 || row.add) return e;
  const std::size_t size = e.element();
  Elements part{
      e.type, row.side_by_side ? e.rows : e.rows / count, row.side_by_side ? e.columns / count : e.columns, {}};
  part.bytes.resize(static_cast<std::size_t>(part.rows * part.columns) * size);
  const std::size_t line = static_cast<std::size_t>(part.columns) * size,
                    whole = static_cast<std::size_t>(e.columns) * size;
  const std::byte* from = e.bytes.data() + (row.side_by_side ? which * line : which * part.bytes.size());
  for (std::size_t r = 0; r < static_cast<std::size_t>(part.rows); ++r)
    std::memcpy(part.bytes.data() + r * line, from + r * whole, line);
  return part;
}

}  // namespace

Shape squeezed(Shape shape) {
  while (shape.size() > 1 && shape.front() == 1) shape.erase(shape.begin());
  return shape;
}

Elements read_tensor(const StoredTensor& tensor, bool widen) {
  Elements e;
  require(is_floating(tensor.type), tensor.where, " has type ", tensor_type_name(tensor.type),
          ", which is no type of a parameter");
  const Shape shape = squeezed(tensor.shape);
  e.rows = shape.empty() ? 1 : shape[0];
  e.columns = e.rows > 0 ? tensor.size() / e.rows : 0;
  e.type = widen || tensor.type == TensorType::F64 ? TensorType::F32 : tensor.type;
  e.bytes.resize(static_cast<std::size_t>(tensor.size()) * e.element());
  if (e.type == tensor.type)
    tensor.read(e.bytes.data());
  else
    tensor.read_floats(reinterpret_cast<float*>(e.bytes.data()));
  return e;
}

Elements fetch(const TensorFolder& tensors, const TensorRow& row, bool widen) {
  if (row.product != TensorRow::Product::none) return project(tensors, row);
  Elements whole;
  for (std::size_t i = 0; i < row.theirs.size(); ++i) {
    const StoredTensor tensor = tensors.tensor(row.theirs[i]);
    Elements e = read_tensor(tensor, widen || row.computes());
    if (row.transposed) transpose(e);
    if (row.patch > 0) move_channels(e, row.patch, true, tensor.where);
    choose_rows(e, row, tensor.where);
    if (row.theirs.size() > 1 && !row.add && !row.side_by_side && e.columns == 1) {  // vectors that become rows
      e.columns = e.rows;
      e.rows = 1;
    }
    if (i == 0) {
      whole = std::move(e);
      continue;
    }
    require(e.type == whole.type, tensor.where, ": is of another type than ", row.theirs[0]);
    require(
        (row.side_by_side || e.columns == whole.columns) && (!(row.side_by_side || row.add) || e.rows == whole.rows),
        tensor.where, ": does not fit to ", row.theirs[0]);
    if (row.add) {
      auto* sum = reinterpret_cast<float*>(whole.bytes.data());
      const auto* more = reinterpret_cast<const float*>(e.bytes.data());
      for (std::int64_t k = 0; k < whole.rows * whole.columns; ++k) sum[k] += more[k];
    } else if (row.side_by_side) {
      const std::size_t left = static_cast<std::size_t>(whole.columns) * whole.element(),
                        right = static_cast<std::size_t>(e.columns) * e.element();
      Buffer<std::byte> both;
      for (std::size_t r = 0; r < static_cast<std::size_t>(whole.rows); ++r) {
        both.insert(both.end(), whole.bytes.data() + r * left, whole.bytes.data() + (r + 1) * left);
        both.insert(both.end(), e.bytes.data() + r * right, e.bytes.data() + (r + 1) * right);
      }
      whole.bytes = std::move(both);
      whole.columns += e.columns;
    } else {
      whole.bytes.insert(whole.bytes.end(), e.bytes.begin(), e.bytes.end());
      whole.rows += e.rows;
    }
  }
  if (row.computes()) {
    auto* x = reinterpret_cast<float*>(whole.bytes.data());
    for (std::int64_t k = 0; k < whole.rows * whole.columns; ++k) x[k] = x[k] * row.times + row.plus;
  }
  return whole;
}

std::map<std::string, TensorParts> tensors_of(const std::vector<TensorRow>& rows,
                                              const std::map<std::string, Shape>& parameters) {
  std::map<std::string, TensorParts> tensors;
  for (const TensorRow& row : rows) {
    const auto ours = parameters.find(row.ours);
    if (ours == parameters.end()) continue;  // the configurations will differ
    const auto count = static_cast<std::int64_t>(row.theirs.size());
    for (std::size_t which = 0; which < row.theirs.size(); ++which) {
      TensorParts& tensor = tensors[row.theirs[which]];
      tensor.parts.push_back({&row, which});
      Shape shape = ours->second;
      if (count > 1 && row.side_by_side) shape.back() /= count;
      if (count > 1 && !row.side_by_side && !row.add) shape.front() /= count;
      if (shape.front() > 0) shape.front() = source_row(row, shape.front() - 1) + 1;
      if (row.patch > 0) shape = {shape[0], shape[1] / (row.patch * row.patch), row.patch, row.patch};
      if (row.transposed) std::swap(shape[0], shape[1]);
      while (shape.size() < row.axes) shape.insert(shape.begin(), 1);
      while (row.axes > 0 && shape.size() > row.axes && shape.front() == 1) shape.erase(shape.begin());
      const std::size_t axis = row.transposed ? 1 : 0;  // along which the rows of several parameters stand
      if (tensor.parts.size() > 1) shape[axis] = std::max(shape[axis], tensor.shape.at(axis));
      tensor.shape = shape;
    }
  }
  return tensors;
}

Elements assemble(const TensorParts& tensor, const std::function<Elements(const std::string&)>& parameter) {
  Elements whole;
  const TensorRow& form = *tensor.parts.front().row;
  const bool alone = tensor.parts.size() == 1;
  for (const auto& [row, which] : tensor.parts) {
    Elements e = share_of(parameter(row->ours), *row, which);
    if (row->computes()) {
      widen(e);
      auto* x = reinterpret_cast<float*>(e.bytes.data());
      const float times = row->times * (row->add ? static_cast<float>(row->theirs.size()) : 1.0f);
      for (std::int64_t k = 0; k < e.rows * e.columns; ++k) x[k] = (x[k] - row->plus) / times;
    }
    if (alone && source_row(*row, 0) == 0 && row->run == 0) {
      whole = std::move(e);
      break;
    }
    if (whole.columns == 0) {
      whole = {e.type, tensor.shape[row->transposed ? 1 : 0], e.columns, {}};
      whole.bytes.resize(static_cast<std::size_t>(whole.rows * whole.columns) * whole.element());
      std::fill(whole.bytes.begin(), whole.bytes.end(), std::byte{0});
    }
    if (e.type != whole.type) {
      widen(e);
      widen(whole);
    }
    const std::size_t line = static_cast<std::size_t>(e.columns) * e.element();
    for (std::int64_t r = 0; r < e.rows; ++r)
      std::memcpy(whole.bytes.data() + static_cast<std::size_t>(source_row(*row, r)) * line,
                  e.bytes.data() + static_cast<std::size_t>(r) * line, line);
  }
  if (form.patch > 0) move_channels(whole, form.patch, false, form.ours);
  if (form.transposed) transpose(whole);
  return whole;
}

}  // namespace pipeformer
