#include "import/import.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>

#include "core/error.hpp"
#include "core/half.hpp"
#include "import/family.hpp"
#include "import/sentence_vectors.hpp"
#include "io/byte_source.hpp"
#include "io/json_file.hpp"
#include "models/model_file.hpp"
#include "models/transformer.hpp"
#include "text/hf/folder.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {
namespace {

namespace fs = std::filesystem;

std::string list_of(const std::vector<std::string>& names) {
  std::string list;
  for (std::size_t i = 0; i < names.size() && i < 12; ++i) list += (i > 0 ? ", " : "") + names[i];
  if (names.size() > 12) list += cat(" and ", names.size() - 12, " more");
  return list;
}

/// The parameters that a configuration has.
class ParameterList : public ParameterSource {
 public:
  explicit ParameterList(const Configuration& c) { Transformer(*this, c); }
  Parameter get(const std::string& name, const Shape& shape, Initial) override {
    shapes_.emplace(name, shape);
    return {};
  }
  const std::map<std::string, Shape>& shapes() const { return shapes_; }

 private:
  std::map<std::string, Shape> shapes_;
};

/// A shape without leading axes of length 1, at least one axis.
Shape squeezed(Shape shape) {
  while (shape.size() > 1 && shape.front() == 1) shape.erase(shape.begin());
  return shape;
}

/// The elements of one parameter on their way. Type F32, F16 or BF16.
struct Elements {
  TensorType type = TensorType::F32;
  std::int64_t rows = 0, columns = 0;
  Buffer<std::byte> bytes;
  std::size_t element() const { return tensor_type_size(type); }
};

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

/// (out, C, P, P) becomes (out, P, P, C).
void channels_last(Elements& e, std::int64_t patch, const std::string& where) {
  const std::int64_t pixels = patch * patch, channels = pixels > 0 ? e.columns / pixels : 0;
  require(channels * pixels == e.columns, where, ": ", e.columns, " columns are no patches of ", patch, " x ", patch);
  Buffer<std::byte> to(e.bytes.size());
  const std::size_t size = e.element();
  for (std::int64_t r = 0; r < e.rows; ++r)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < pixels; ++p)
        std::memcpy(to.data() + static_cast<std::size_t>(r * e.columns + p * channels + c) * size,
                    e.bytes.data() + static_cast<std::size_t>(r * e.columns + c * pixels + p) * size, size);
  e.bytes = std::move(to);
}

void choose_rows(Elements& e, const ImportRow& row, const std::string& where) {
  if (row.first == 0 && row.run == 0 && row.rows < 0) return;
  const std::int64_t count = row.rows >= 0 ? row.rows : e.rows - row.first;
  const std::int64_t run = row.run > 0 ? row.run : std::max<std::int64_t>(count, 1);
  const std::size_t bytes = static_cast<std::size_t>(e.columns) * e.element();
  require(count >= 0, where, ": has ", e.rows, " rows, expected more than ", row.first);
  Buffer<std::byte> to(static_cast<std::size_t>(count) * bytes);
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t from = row.first + r / run * row.step + r % run;
    require(from >= 0 && from < e.rows, where, ": has ", e.rows, " rows, expected at least ", from + 1);
    std::memcpy(to.data() + static_cast<std::size_t>(r) * bytes,
                e.bytes.data() + static_cast<std::size_t>(from) * bytes, bytes);
  }
  e.bytes = std::move(to);
  e.rows = count;
}

/// A row's parameter: its tensors, transformed and put together.
Elements fetch(const TensorFolder& tensors, const ImportRow& row, bool widen) {
  const bool computes = row.plus != 0 || row.times != 1 || row.add;
  Elements whole;
  for (std::size_t i = 0; i < row.theirs.size(); ++i) {
    const StoredTensor tensor = tensors.tensor(row.theirs[i]);
    Elements e = read_tensor(tensor, widen || computes);
    if (row.transposed) transpose(e);
    if (row.patch > 0) channels_last(e, row.patch, tensor.where);
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
  if (computes) {
    auto* x = reinterpret_cast<float*>(whole.bytes.data());
    for (std::int64_t k = 0; k < whole.rows * whole.columns; ++k) x[k] = x[k] * row.times + row.plus;
  }
  return whole;
}

void require_finite(const Elements& e, const std::string& where) {
  const std::int64_t count = e.rows * e.columns;
  bool finite = true;
  if (e.type == TensorType::F32) {
    finite = all_finite(reinterpret_cast<const float*>(e.bytes.data()), count);
  } else {
    const auto* bits = reinterpret_cast<const std::uint16_t*>(e.bytes.data());
    const std::uint16_t exponent = e.type == TensorType::F16 ? 0x7c00 : 0x7f80;
    for (std::int64_t i = 0; i < count && finite; ++i) finite = (bits[i] & exponent) != exponent;
  }
  require(finite, where, ": holds NaN or infinity");
}

/// One model of a checkpoint, ready to be written.
struct Tower {
  std::string name;
  Import import;
};

void write_parameter(Hdf5File& file, const std::string& path, const Shape& shape, const Elements& e) {
  if (e.type == TensorType::BF16)
    file.write_bfloat16(path, shape, e.bytes.data());
  else
    file.write(path, e.type == TensorType::F16 ? DType::f2 : DType::f4, shape, e.bytes.data());
}

/// Checks that rows and parameters are the same set, and what is known of their shapes.
void match_parameters(const Tower& tower, const std::map<std::string, Shape>& shapes) {
  std::map<std::string, const ImportRow*> rows;
  std::vector<std::string> unfilled, unknown;
  for (const ImportRow& row : tower.import.rows) {
    require(rows.emplace(row.ours, &row).second, "parameter ", row.ours, " is filled twice");
    if (!shapes.contains(row.ours)) unknown.push_back(row.theirs.front());
    for (const std::string& name : row.theirs)
      if (!tower.import.has(name)) unfilled.push_back(cat(name, " (", row.ours, ")"));
  }
  for (const auto& [name, shape] : shapes)
    if (!rows.contains(name)) unfilled.push_back(name);
  require(unfilled.empty(), tower.import.tensors.path(),
          ": tensors that the model needs and that are missing: ", list_of(unfilled));
  require(unknown.empty(), tower.import.tensors.path(),
          ": tensors that have no place in a model of this configuration: ", list_of(unknown));
}

void check_copies(const Import& import, bool widen) {
  for (const auto& [copy, original] : import.copies) {
    const StoredTensor a = import.tensors.tensor(copy), b = import.tensors.tensor(original);
    const Elements x = read_tensor(a, widen), y = read_tensor(b, widen);
    require(x.type == y.type && x.bytes == y.bytes, a.where, ": differs from ", original,
            ", though the configuration says that they are one");
  }
}

/// Every tensor must be taken by a row of some tower, be a checked copy, or be known to be no parameter.
void match_tensors(const TensorFolder& tensors, const std::vector<Tower>& towers,
                   const std::vector<std::string>& drop) {
  std::set<std::string> taken;
  for (const Tower& tower : towers) {
    for (const ImportRow& row : tower.import.rows) taken.insert(row.theirs.begin(), row.theirs.end());
    for (const auto& [copy, original] : tower.import.copies) taken.insert(copy);
    taken.insert(tower.import.left_out.begin(), tower.import.left_out.end());
  }
  std::vector<std::string> left;
  for (const std::string& name : tensors.names()) {
    const bool dropped = std::any_of(drop.begin(), drop.end(), [&](const std::string& pattern) {
      return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
    });
    if (!taken.contains(name) && !dropped) left.push_back(name);
  }
  require(left.empty(), tensors.path(),
          ": tensors that are not understood (--drop PATTERN leaves them out): ", list_of(left));
}

const Family& family_of(const Json& config) {
  const auto type = config.get("model_type");
  std::vector<std::string> known;
  for (const Family& family : families()) {
    if (type && type->string() == family.model_type) return family;
    known.push_back(family.model_type);
  }
  if (type) type->fail(cat("which is no family that is known: ", list_of(known)));
  config.fail("has no model_type");
}

std::string file_text(const fs::path& path) {
  std::error_code failed;
  if (!fs::exists(path, failed)) return "";
  const std::vector<std::byte> bytes = ByteSource(path.string()).read_all();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The folder's tokenizer, if it has one, as a model keeps it; tells the models what hides an id. Throws Error when it
/// has ids that a model of tokens has no embedding for.
std::string tokenizer_of(const std::string& directory, std::vector<Tower>& towers) {
  const char* const files[] = {"tokenizer.json",          "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model",
                               "sentencepiece.bpe.model", "source.spm"};
  if (std::none_of(std::begin(files), std::end(files),
                   [&](const char* name) { return fs::exists(fs::path(directory) / name); }))
    return "";
  std::string json = hf::tokenizer_json_of_folder(directory);
  const auto tokenizer = Tokenizer::parse(json, directory);
  for (Tower& tower : towers) {
    Configuration& c = tower.import.configuration;
    if (c.reads_vectors()) continue;
    const std::int64_t ids = c.has_encoder() ? c.source_vocabulary : c.target_vocabulary;
    require(tokenizer->vocabulary_size() <= ids, directory, ": the tokenizer has ", tokenizer->vocabulary_size(),
            " ids, the model embeddings for ", ids);
    if (const auto mask = tokenizer->named_ids().mask; mask && c.head == Head::tokens && !c.has_decoder())
      c.mask_id = *mask;
  }
  return json;
}

}  // namespace

void import_checkpoint(const std::string& directory, const std::string& output, const ImportOptions& options) {
  const fs::path folder(directory);
  require(fs::is_directory(folder), directory, ": is no directory with a checkpoint");
  const JsonDocument config = read_json((folder / "config.json").string());
  std::optional<JsonDocument> generation;
  if (fs::exists(folder / "generation_config.json"))
    generation.emplace(read_json((folder / "generation_config.json").string()));
  const ConfigKeys keys(config.root(), generation ? std::optional(generation->root()) : std::nullopt);
  const Family& family = family_of(config.root());
  const std::string architecture = keys.architecture();
  require(
      architecture.empty() || std::count(family.architectures.begin(), family.architectures.end(), architecture) > 0,
      config.name(), ": architecture ", architecture, " is none of those that are known of ", family.model_type, ": ",
      list_of(family.architectures));
  keys.get("model_type");
  if (const auto quantized = keys.get("quantization_config")) quantized->fail("quantised weights are not supported");

  const TensorFolder tensors(directory);
  std::vector<Tower> towers;
  for (const ImportedTower& tower : family.towers) {
    towers.push_back({tower.name, Import{keys, tensors}});
    tower.build(towers.back().import);
  }
  for (Tower& tower : towers)
    if (towers.size() == 1) read_sentence_vectors(directory, tower.import);
  const std::vector<std::string> unknown = keys.not_understood();
  require(unknown.empty(), config.name(), ": keys that are not understood: ", list_of(unknown));
  if (towers.size() > 1 && tensors.has("logit_scale")) towers.front().import.leave_out("logit_scale");  // written below
  for (Tower& tower : towers) {
    Configuration& c = tower.import.configuration;
    c.check(config.name());
    c = c.resolved();
    match_parameters(tower, ParameterList(c).shapes());
    check_copies(tower.import, options.widen);
  }
  match_tensors(tensors, towers, options.drop);
  ModelTexts texts;
  texts.tokenizer = tokenizer_of(directory, towers);
  texts.preprocessor = file_text(folder / "preprocessor_config.json");

  Hdf5File file = Hdf5File::create(output);
  for (const Tower& tower : towers) {
    const Configuration& c = tower.import.configuration;
    const ParameterList list(c);
    for (const std::string& label : tower.import.labels) texts.labels += label + "\n";
    write_model_head(file, c, texts, tower.name);
    for (const ImportRow& row : tower.import.rows) {
      const Shape& shape = list.shapes().at(row.ours);
      const Elements e = fetch(tensors, row, options.widen);
      const Shape wanted = squeezed(shape), found = squeezed({e.rows, e.columns});
      const std::string where = tensors.tensor(row.theirs.front()).where;
      const bool fits = wanted == found || (wanted.size() == 1 && e.rows == wanted[0] && e.columns == 1);
      require(fits, where, ": has shape ", shape_text(tensors.tensor(row.theirs.front()).shape),
              ", which does not make ", row.ours, " of shape ", shape_text(shape));
      require_finite(e, where);
      write_parameter(file, tower.name.empty() ? row.ours : tower.name + "/" + row.ours, shape, e);
    }
  }
  if (towers.size() > 1) {
    file.set_attribute("format", std::string(kSeveralModels));
    if (tensors.has("logit_scale")) {
      const Elements e = read_tensor(tensors.tensor("logit_scale"), true);
      file.write("logit_scale", DType::f4, {}, e.bytes.data());
    }
  }
  file.close();
}

}  // namespace pipeformer
