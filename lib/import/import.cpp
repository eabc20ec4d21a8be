#include "import/import.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <set>

#include "core/error.hpp"
#include "import/reading.hpp"
#include "import/sentence_vectors.hpp"
#include "io/byte_source.hpp"
#include "io/json_file.hpp"
#include "models/model_file.hpp"
#include "text/hf/folder.hpp"

namespace pipeformer {
namespace {

namespace fs = std::filesystem;

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
  Exchange exchange;
};

void write_parameter(Hdf5File& file, const std::string& path, const Shape& shape, const Elements& e) {
  if (e.type == TensorType::BF16)
    file.write_bfloat16(path, shape, e.bytes.data());
  else
    file.write(path, e.type == TensorType::F16 ? DType::f2 : DType::f4, shape, e.bytes.data());
}

void check_copies(const Exchange& exchange, const TensorFolder& tensors, bool widen) {
  for (const auto& [copy, original] : exchange.copies) {
    const StoredTensor a = tensors.tensor(copy), b = tensors.tensor(original);
    const Elements x = read_tensor(a, widen), y = read_tensor(b, widen);
    require(x.type == y.type && x.bytes == y.bytes, a.where, ": differs from ", original,
            ", though the configuration says that they are one");
  }
}

/// Every tensor must be taken by a row of some tower, be a checked copy, or be known to be no parameter.
void match_tensors(const TensorFolder& tensors, const std::deque<Tower>& towers, const std::vector<std::string>& drop) {
  std::set<std::string> taken;
  for (const Tower& tower : towers) {
    for (const TensorRow& row : tower.exchange.rows) taken.insert(row.theirs.begin(), row.theirs.end());
    for (const auto& [copy, original] : tower.exchange.copies) taken.insert(copy);
    taken.insert(tower.exchange.left_out.begin(), tower.exchange.left_out.end());
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
  if (!type) config.fail("has no model_type");
  try {
    return family_named(type->string());
  } catch (const Error& error) {
    type->fail(cat("which ", error.what()));
  }
}

std::string file_text(const fs::path& path) {
  std::error_code failed;
  if (!fs::exists(path, failed)) return "";
  const std::vector<std::byte> bytes = ByteSource(path.string()).read_all();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The folder's tokenizer, if it has one, as a model keeps it.
std::string tokenizer_of(const std::string& directory, std::deque<Tower>& towers) {
  const char* const files[] = {"tokenizer.json",          "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model",
                               "sentencepiece.bpe.model", "source.spm"};
  if (std::none_of(std::begin(files), std::end(files),
                   [&](const char* name) { return fs::exists(fs::path(directory) / name); }))
    return "";
  std::string json = hf::tokenizer_json_of_folder(directory);
  const auto tokenizer = Tokenizer::parse(json, directory);
  for (Tower& tower : towers) take_tokenizer(tower.exchange.configuration, *tokenizer, directory);
  return json;
}

void write_parameters(Hdf5File& file, const Tower& tower, const TensorFolder& tensors, bool widen) {
  const Shapes parameters = parameters_of(tower.exchange.configuration);
  for (const TensorRow& row : tower.exchange.rows) {
    const Shape& shape = parameters.at(row.ours);
    const Elements e = fetch(tensors, row, widen);
    const Shape wanted = squeezed(shape), found = squeezed({e.rows, e.columns});
    const StoredTensor first = tensors.tensor(row.theirs.front());
    const bool fits = wanted == found || (wanted.size() == 1 && e.rows == wanted[0] && e.columns == 1);
    require(fits, first.where, ": has shape ", shape_text(first.shape), ", which does not make ", row.ours,
            " of shape ", shape_text(shape));
    require_finite(e, first.where);
    write_parameter(file, tower.name.empty() ? row.ours : tower.name + "/" + row.ours, shape, e);
  }
}

constexpr const char* kScaleTensor = "logit_scale";

/// What two towers' products of vectors are multiplied by (its logarithm): one number.
Elements read_logit_scale(const TensorFolder& tensors) {
  require(tensors.has(kScaleTensor), tensors.path(), ": has no tensor ", kScaleTensor);
  const StoredTensor tensor = tensors.tensor(kScaleTensor);
  require(tensor.shape.empty(), tensor.where, ": has shape ", shape_text(tensor.shape), ", expected one number");
  Elements scale = read_tensor(tensor, true);
  require_finite(scale, tensor.where);
  return scale;
}

}  // namespace

void import_checkpoint(const std::string& directory, const std::string& output, const ImportOptions& options) {
  require(fs::is_directory(directory), directory, ": is no directory with a checkpoint");
  const SentenceModules modules = read_sentence_modules(directory);
  const fs::path folder = modules.transformer.empty() ? fs::path(directory) : fs::path(directory) / modules.transformer;
  const JsonDocument config = read_json((folder / "config.json").string());
  std::optional<JsonDocument> generation;
  if (fs::exists(folder / "generation_config.json"))
    generation.emplace(read_json((folder / "generation_config.json").string()));
  ConfigKeys keys(config.root(), generation ? std::optional(generation->root()) : std::nullopt);
  const Family& family = family_of(config.root());
  const std::string architecture = keys.architecture();
  require(
      architecture.empty() || std::count(family.architectures.begin(), family.architectures.end(), architecture) > 0,
      config.name(), ": architecture ", architecture, " is none of those that are known of ", family.model_type, ": ",
      list_of(family.architectures));
  keys.harmless({"model_type"});
  if (const auto quantized = keys.get("quantization_config")) quantized->fail("quantised weights are not supported");

  TensorFolder tensors(folder.string());
  if (modules.dense) tensors.add((fs::path(directory) / modules.dense->folder).string(), modules.dense->folder + "/");
  const Shapes theirs = tensors.shapes(), none;
  std::deque<Tower> towers;
  for (const FamilyTower& tower : family.towers) {
    towers.push_back({tower.name, Exchange{family, keys, theirs, none}});
    read_tower(towers.back().exchange, tower);
  }
  if (towers.size() == 1) add_modules(modules, towers.front().exchange);
  const std::vector<std::string> unknown = keys.not_understood();
  require(unknown.empty(), config.name(), ": keys that are not understood: ", list_of(unknown));
  std::optional<Elements> scale;
  if (towers.size() > 1) {
    scale = read_logit_scale(tensors);
    towers.front().exchange.leave_out(kScaleTensor);  // written below
  }
  for (Tower& tower : towers) {
    Configuration& c = tower.exchange.configuration;
    c.check(config.name());
    c = c.resolved();
    match_parameters(tower.exchange, parameters_of(c), tensors.path());
    check_copies(tower.exchange, tensors, options.widen);
  }
  match_tensors(tensors, towers, options.drop);
  ModelTexts texts;
  texts.tokenizer = tokenizer_of(folder.string(), towers);
  texts.preprocessor = file_text(folder / "preprocessor_config.json");
  texts.family = family.model_type;

  Hdf5File file = Hdf5File::create(output);
  for (const Tower& tower : towers) {
    texts.labels.clear();
    for (const std::string& label : tower.exchange.labels) texts.labels += label + "\n";
    write_model_head(file, tower.exchange.configuration, texts, tower.name);
    write_parameters(file, tower, tensors, options.widen);
  }
  if (const auto one = towers.front().exchange.logit_scale; one && !scale)
    file.write(kScaleTensor, DType::f4, {}, &*one);
  if (scale) {
    file.set_attribute("format", std::string(kSeveralModels));
    file.write(kScaleTensor, DType::f4, {}, scale->bytes.data());
  }
  file.close();
}

}  // namespace pipeformer
