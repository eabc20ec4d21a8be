#include "models/quantization.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "core/error.hpp"
#include "core/half.hpp"
#include "core/threads.hpp"
#include "io/address.hpp"
#include "models/model_file.hpp"
#include "models/towers.hpp"
#include "ops/gemm.hpp"

namespace pipeformer {
namespace {

const std::vector<std::string>& type_names() {
  static const std::vector<std::string> names{"f32", "f16", "bf16", "int8", "int4"};
  return names;
}

/// x (n) narrowed to 16 bits. Throws Error for a number that becomes infinite.
void narrow(const std::string& where, WeightType to, const Buffer<float>& x, std::uint16_t* y) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    y[i] = to == WeightType::float16 ? half_from_double(static_cast<double>(x[i])) : bfloat16_from_float(x[i]);
    const float back = to == WeightType::float16 ? float_from_half(y[i]) : float_from_bfloat16(y[i]);
    require(std::isfinite(back), where, ": ", x[i], " is too large for ", name_of(to));
  }
}

void write_weight(Hdf5File& file, const std::string& path, const Shape& shape, const WeightView& w) {
  switch (w.type) {
    case WeightType::float32:
      return file.write(path, DType::f4, shape, w.data);
    case WeightType::float16:
      return file.write(path, DType::f2, shape, w.data);
    case WeightType::bfloat16:
      return file.write_bfloat16(path, shape, w.data);
    case WeightType::int8:
      file.write_int8(path, shape, w.data);
      return file.write(path + kScaleSuffix, DType::f4, {w.rows}, w.scales);
    case WeightType::int4:
      file.write(path, DType::u1, {w.rows, row_bytes(w.type, w.columns)}, w.data);
      return file.write(path + kScaleSuffix, DType::f4, {w.rows, row_scales(w.type, w.columns)}, w.scales);
  }
}

/// Writes one model of a file; the patterns that matched a weight are added to `used`.
void quantize_one(const ModelPlace& place, const QuantizationOptions& options, Hdf5File& file,
                  std::set<std::string>& used) {
  ModelFile model(place.address);
  require(model.group().empty(), model.name(), ": expected a whole model, not its part ", model.group());
  write_model_head(file, model.configuration(), model.texts(), place.group);
  for (const ParameterEntry& entry : list_parameters([&](ParameterSource& source) { build_stored(source, model); })) {
    const std::string path = place.path(entry.name);
    bool kept = !entry.weight && options.type != WeightType::float32;
    for (const std::string& pattern : options.keep)
      if (entry.weight && fnmatch(pattern.c_str(), path.c_str(), 0) == 0) {
        used.insert(pattern);
        kept = true;
      }
    const WeightView stored = model.stored_parameter(entry.name, entry.shape);
    const WeightType type = kept ? stored.type : options.type;
    const OwnedWeight converted = convert(stored, type, cat(model.name(), ": parameter ", entry.name));
    write_weight(file, path, entry.shape, converted.view(type, stored.rows, stored.columns));
  }
}

}  // namespace

const std::string& name_of(WeightType type) {
  return type_names()[static_cast<std::size_t>(type)];
}

WeightType weight_type_from_name(const std::string& name) {
  const auto found = std::find(type_names().begin(), type_names().end(), name);
  require(found != type_names().end(), "'", name, "' is no type of weights");
  return static_cast<WeightType>(found - type_names().begin());
}

WeightView OwnedWeight::view(WeightType type, std::int64_t rows, std::int64_t columns) const {
  WeightView w(elements.data(), type, rows, columns);
  if (is_integer(type)) w.scales = scales.data();
  return w;
}

OwnedWeight convert(const WeightView& from, WeightType to, const std::string& where) {
  OwnedWeight result;
  const std::int64_t bytes = row_bytes(to, from.columns), scales = row_scales(to, from.columns);
  require(to != WeightType::int4 || from.columns % 2 == 0, where, ": rows of ", from.columns,
          " are odd, which int4 cannot be: --keep it");
  require(!is_integer(to) || from.columns <= kInt8Depth, where, ": rows of ", from.columns,
          " are longer than sums of 8-bit integers hold (", kInt8Depth, "): --keep it");
  result.elements.resize(static_cast<std::size_t>(from.rows * bytes));
  result.scales.resize(static_cast<std::size_t>(from.rows * scales));
  parallel_for(from.rows, std::max<std::int64_t>(1, 65536 / (from.columns + 1)), [&](std::int64_t r, std::int64_t end) {
    Buffer<float> row(static_cast<std::size_t>(from.columns));
    for (; r < end; ++r) {
      std::byte* out = result.elements.data() + r * bytes;
      widen_row(from, r, row.data());
      require(all_finite(row.data(), from.columns), where, ": holds NaN or infinity");
      if (to == from.type) {
        std::memcpy(out, from.row(r), static_cast<std::size_t>(bytes));
        std::copy_n(from.scales + r * scales, scales, result.scales.data() + r * scales);
      } else if (to == WeightType::float32) {
        std::memcpy(out, row.data(), static_cast<std::size_t>(bytes));
      } else if (to == WeightType::int8) {
        result.scales[static_cast<std::size_t>(r)] =
            quantise(from.columns, row.data(), reinterpret_cast<std::int8_t*>(out));
      } else if (to == WeightType::int4) {
        quantise_int4(from.columns, row.data(), reinterpret_cast<std::uint8_t*>(out),
                      result.scales.data() + r * scales);
      } else {
        narrow(where, to, row, reinterpret_cast<std::uint16_t*>(out));
      }
    }
  });
  return result;
}

void quantize_model(const std::string& address, const std::string& output, const QuantizationOptions& options) {
  const std::vector<ModelPlace> models = models_at(address);
  Hdf5File file = Hdf5File::create(output);
  std::set<std::string> used;
  for (const ModelPlace& place : models) quantize_one(place, options, file, used);
  const std::string source_path = split_address(address).file;
  if (models.size() != 1 || !models.front().group.empty()) {
    file.set_attribute("format", std::string(kSeveralModels));
    const Hdf5File source = Hdf5File::open(source_path);
    for (const std::string& name : source.datasets()) file.write(name, source.read(name));
  }
  for (const std::string& pattern : options.keep)
    require(used.contains(pattern), source_path, ": --keep '", pattern, "' is no weight of this model");
  file.close();
}

}  // namespace pipeformer
