#include "import/export.hpp"

#include <algorithm>
#include <bit>
#include <deque>
#include <iomanip>
#include <memory>

#include "core/error.hpp"
#include "core/half.hpp"
#include "import/reading.hpp"
#include "import/sentence_vectors.hpp"
#include "import/sinusoids.hpp"
#include "import/tables.hpp"
#include "io/address.hpp"
#include "io/output_file.hpp"
#include "io/safetensors.hpp"
#include "models/model_file.hpp"
#include "text/hf/control_tokens.hpp"
#include "text/hf/sentencepiece_json.hpp"

namespace pipeformer {
namespace {

/// A model to be written: a whole file, or one of several that it holds.
struct Tower {
  std::string name;
  ModelFile file;
  Shapes parameters;
  std::string path(const std::string& parameter) const { return name.empty() ? parameter : name + "/" + parameter; }
};

/// The model that is a family's tower: of the same name, or the only one.
const Tower& tower_of(const std::deque<Tower>& towers, const Family& family, const FamilyTower& form) {
  require(towers.size() == family.towers.size(), towers.size(), towers.size() == 1 ? " model" : " models", " (not ",
          family.towers.size(), ")");
  for (const Tower& tower : towers)
    if (towers.size() == 1 || tower.name == form.name) return tower;
  throw Error(cat("no model ", form.name));
}

std::deque<Tower> towers_of(const std::string& address) {
  const Address parts = split_address(address);
  std::deque<Tower> towers;
  const auto add = [&](const std::string& name, const std::string& where) {
    ModelFile file(where);
    require(file.group().empty(), where, ": expected a whole model, not a part of one");
    require(file.adapter_scale() == 0, where,
            ": has adapters, which these checkpoints do not know; `model merge` adds them to their weights");
    Shapes parameters = parameters_of(file.configuration());
    for (const auto& [parameter, shape] : parameters) {
      require(file.has(parameter) && file.shape(parameter) == shape, where, ": parameter ", parameter,
              " is missing, or has another shape than ", shape_text(shape));
      require(!is_integer(file.type(parameter)), where, ": parameter ", parameter, " is of ",
              name_of(file.type(parameter)),
              ", which these checkpoints do not know; `model quantize --weights f32` widens it");
    }
    towers.push_back({name, std::move(file), std::move(parameters)});
  };
  const Hdf5File file = Hdf5File::open(parts.file);
  const bool several = file.attribute("format") == Attribute(std::string(kSeveralModels));
  if (several && parts.group.empty())
    for (const std::string& name : file.groups()) add(name, parts.file + ":" + name);
  else
    add(several ? parts.group : "", address);
  return towers;
}

TensorType type_of(const Tower& tower, const std::string& parameter) {
  const Hdf5Dataset dataset = tower.file.file().dataset(tower.path(parameter));
  return dataset.is_bfloat16() ? TensorType::BF16 : dataset.dtype() == DType::f2 ? TensorType::F16 : TensorType::F32;
}

/// False, and nothing changes, when an element would be rounded.
bool narrow(Elements& e, TensorType type) {
  const auto* wide = reinterpret_cast<const float*>(e.bytes.data());
  Buffer<std::byte> bytes(static_cast<std::size_t>(e.rows * e.columns) * sizeof(std::uint16_t));
  auto* bits = reinterpret_cast<std::uint16_t*>(bytes.data());
  for (std::int64_t i = 0; i < e.rows * e.columns; ++i) {
    const bool half = type == TensorType::F16;
    bits[i] = half ? half_from_double(static_cast<double>(wide[i]))
                   : static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(wide[i]) >> 16);
    if ((half ? float_from_half(bits[i]) : float_from_bfloat16(bits[i])) != wide[i]) return false;
  }
  e.bytes = std::move(bytes);
  e.type = type;
  return true;
}

Elements read_parameter(const Tower& tower, const std::string& name) {
  const Shape& shape = tower.parameters.at(name);
  const std::string path = tower.path(name);
  const TensorType type = type_of(tower, name);
  Array array = tower.file.file().read(path);
  if (type != TensorType::F16 && array.dtype != DType::f4) array = array.as(DType::f4);
  Elements e{type == TensorType::BF16 ? TensorType::F32 : type, shape.front(), 0, {}};
  e.columns = e.rows > 0 ? element_count(shape) / e.rows : 0;
  e.bytes = std::move(array.bytes);
  if (type == TensorType::BF16) narrow(e, type);
  return e;
}

/// Whether anything depends on a hyper-parameter in a model of this configuration.
bool matters(const std::string& name, const Configuration& c) {
  for (const bool decoding : {false, true}) {
    const std::string side = decoding ? "decoder_" : "encoder_";
    if (!name.starts_with(side)) continue;
    const StackSpec& s = c.stack(decoding);
    const std::string field = name.substr(side.size());
    if (field == "causal") return !decoding;
    if (field == "max_positions") return s.positions == PositionKind::learned;
    if (field == "position_offset") return s.positions <= PositionKind::sinusoidal_fairseq;
    if (field.starts_with("relative_")) return s.positions == PositionKind::relative;
    if (field.starts_with("rotary_") && s.positions != PositionKind::rotary) return false;
    const RotaryScaling scaling = s.rotary_scaling;
    if (field == "rotary_factor") return scaling != RotaryScaling::none && scaling != RotaryScaling::longrope;
    if (field.ends_with("_frequency")) return scaling == RotaryScaling::llama3 || scaling == RotaryScaling::yarn;
    if (field == "rotary_context") return scaling != RotaryScaling::none && scaling != RotaryScaling::linear;
    if (field.ends_with("_factors")) return scaling == RotaryScaling::longrope;
    if (field == "embedding_scale" || field == "embedding_width" || field == "token_types")
      return decoding || !c.reads_vectors();
    return true;
  }
  if (name == "source_vocabulary") return c.has_encoder() && !c.reads_vectors();
  if (name == "target_vocabulary") return c.has_decoder();
  if (name == "tied" || name == "output_bias" || name == "output_scale" || name == "output_soft_cap" ||
      name == "head_dense")
    return c.head == Head::tokens || (name == "head_dense" && c.head != Head::none);
  if (name == "mask_id") return c.head == Head::tokens && !c.has_decoder();
  if (name == "head_activation" || name == "head_norm") return c.head_dense;
  if (name == "classes" || name == "classifier_bias") return c.head == Head::classes || c.head == Head::token_classes;
  if (name == "problem_type") return c.head == Head::classes;
  if (name.starts_with("pooler_")) return c.pooler;
  if (name == "patch_size" || name == "channels") return c.reads_vectors() && c.patch_size > 0;
  if (name == "input_bias" || name == "class_tokens") return c.reads_vectors();
  return true;
}

/// One matrix for embedding and output, whatever the name, in a model with one vocabulary.
Configuration comparable(Configuration c) {
  if (c.kind == ModelKind::encoder_decoder) return c;
  if (c.tied == Tied::target) c.tied = Tied::all;
  if (c.tied == Tied::embeddings) c.tied = Tied::none;
  return c;
}

struct Difference {
  std::string name;
  Attribute ours, theirs;
};

std::vector<Difference> differences(const Configuration& ours, const Configuration& theirs) {
  if (ours.kind != theirs.kind) return {{"kind", name_of(ours.kind), name_of(theirs.kind)}};
  std::vector<Difference> all;
  std::map<std::string, Attribute> values;
  comparable(theirs).each([&](const std::string& name, const Attribute& value) { values.emplace(name, value); });
  comparable(ours).each([&](const std::string& name, const Attribute& value) {
    if (matters(name, ours) && values.at(name) != value) all.push_back({name, value, values.at(name)});
  });
  return all;
}

std::string text_of(const Attribute& value) {
  return std::visit([](const auto& x) { return cat(std::boolalpha, std::setprecision(9), x); }, value);
}

/// " --positions learned": what gives a hyper-parameter the value that a family has. Empty: no option does.
std::string option_of(const Difference& d) {
  const auto option = [&](const auto& field) {
    std::string name = field.option.empty() ? field.name : field.option;
    std::replace(name.begin(), name.end(), '_', '-');
    if (const bool* on = std::get_if<bool>(&d.theirs)) return cat(*on ? " --" : " --no-", name);
    return cat(" --", name, " ", text_of(d.theirs));
  };
  for (const auto& field : configuration_fields())
    if (field.name == d.name) return field.help.empty() ? "" : option(field);
  for (const auto& field : stack_fields())
    for (const char* side : {"encoder_", "decoder_"})
      if (side + field.name == d.name) return field.help.empty() || field.name == "layers" ? "" : option(field);
  return "";
}

/// How a model is put so that a family has a place for it: sinusoids in another order (import/sinusoids.hpp), or
/// sinusoids and scaled embeddings in tables (import/tables.hpp).
enum class Form { as_it_is, halved, tables };

/// What a family would write.
struct Draft {
  const Family* family = nullptr;
  Form form = Form::as_it_is;
  std::int64_t positions = 0;           ///< Of tables.
  std::vector<std::string> problems{};  ///< Hyper-parameters without a place; empty: this is the same model.
  /// With these options `train` and `model make` make a model that has a place; empty: no options would.
  std::string options{};
  bool far = false;  ///< Another kind of model, or one that the family cannot say anything about.
  std::string config{}, generation{};
  std::optional<SentenceModules> modules{};
  std::deque<Exchange> exchanges{};
  std::deque<Shapes> shapes{};  ///< Of the parameters of each tower, in this form.
  struct Tensor {
    const Tower* tower;
    TensorParts parts;
  };
  std::map<std::string, Tensor> tensors{};

  Configuration configuration(const Tower& tower) const {
    Configuration c = tower.file.configuration();
    if (form == Form::halved) halve_sinusoids(c);
    if (form == Form::tables) put_in_tables(c, positions);
    return c.resolved();
  }
  Elements read(const Tower& tower, const std::string& parameter) const {
    if (form == Form::tables)
      return in_tables(tower.file.configuration(), positions, parameter,
                       [&](const std::string& name) { return read_parameter(tower, name); });
    Elements e = read_parameter(tower, parameter);
    if (form == Form::halved) halve_sinusoids(parameter, e);
    return e;
  }
  TensorType type(const Tower& tower, const std::string& parameter) const {
    if (form != Form::tables) return type_of(tower, parameter);
    const std::string source = table_source(tower.file.configuration(), parameter);
    return source.empty() || parameter.ends_with("/embedding/weight") ? TensorType::F32 : type_of(tower, source);
  }
};

const Shapes kNone{};

/// What one encoder of pairs was trained with; its family has no tensor for it.
float scale_of(const ModelFile& file) {
  const Array scale = file.file().read(file.below("logit_scale"));
  require(scale.dtype == DType::f4 && scale.size() == 1, file.name(), ": logit_scale is no number of type f4");
  return scale.values<float>()[0];
}

/// Reads what was drafted as an import would; says in config.json the settings of use that come out otherwise, and
/// lists everything else that does.
void check_draft(Draft& draft, ConfigKeys& written, const std::deque<Tower>& towers, const Tokenizer* tokenizer) {
  const JsonDocument config = JsonDocument::parse(written.config_json(), "config.json");
  std::optional<JsonDocument> generation;
  if (const std::string text = written.generation_json(); !text.empty())
    generation.emplace(JsonDocument::parse(text, "generation_config.json"));
  ConfigKeys keys(config.root(), generation ? std::optional(generation->root()) : std::nullopt);
  Shapes theirs;
  for (const auto& [name, tensor] : draft.tensors) theirs.emplace(name, tensor.parts.shape);
  for (const FamilyTower& form : draft.family->towers) {
    const Tower& tower = tower_of(towers, *draft.family, form);
    const Configuration ours = draft.configuration(tower);
    Exchange back{*draft.family, keys, theirs, kNone};
    read_tower(back, form);
    if (draft.modules) add_modules(*draft.modules, back);
    if (tokenizer) take_tokenizer(back.configuration, *tokenizer, "the model");
    back.configuration = back.configuration.resolved();
    draft.far = ours.kind != back.configuration.kind;
    bool all = true;  // problems have options
    for (const Difference& d : differences(ours, back.configuration)) {
      if (is_setting_of_use(d.name, ours) && form.name.empty()) {
        written.inside("pipeformer").say(d.name, d.ours);
        continue;
      }
      draft.problems.push_back(cat(d.name, " ", text_of(d.ours), " (not ", text_of(d.theirs), ")"));
      const std::string option = option_of(d);
      if (draft.options.find(option) == std::string::npos) draft.options += option;
      all &= !option.empty();
    }
    if (!all) draft.options.clear();
    if (draft.problems.empty()) match_parameters(back, parameters_of(ours), "the model");
  }
}

Draft draft_of(Draft draft, const std::deque<Tower>& towers, const Tokenizer* tokenizer) {
  const Family& family = *draft.family;
  if (towers.size() == 1) draft.modules = sentence_modules(towers.front().file.configuration());
  ConfigKeys keys;
  keys.say("model_type", family.model_type);
  const TensorType type = type_of(towers.front(), towers.front().parameters.begin()->first);
  keys.say("torch_dtype", type == TensorType::F16    ? std::string("float16")
                          : type == TensorType::BF16 ? std::string("bfloat16")
                                                     : std::string("float32"));
  try {
    for (const FamilyTower& form : family.towers) {
      const Tower& tower = tower_of(towers, family, form);
      const Configuration c = draft.configuration(tower);
      const Shapes& parameters = draft.shapes.emplace_back(parameters_of(c));
      Exchange& x = draft.exchanges.emplace_back(Exchange{family, keys, kNone, parameters});
      x.configuration = c;
      if (draft.modules) x.configuration.pooler = false;  // it is one of theirs
      x.labels = tower.file.labels();
      x.padding = tokenizer ? tokenizer->named_ids().padding.value_or(-1) : -1;
      form.build(x);
      if (draft.modules) add_modules(*draft.modules, x);
      for (auto& [name, parts] : tensors_of(x.rows, parameters))
        draft.tensors.emplace(name, Draft::Tensor{&tower, std::move(parts)});
    }
    if (const ModelFile& file = towers.front().file; family.towers.size() == 1 && file.has("logit_scale"))
      keys.inside("pipeformer").say("logit_scale", static_cast<double>(scale_of(file)));
    if (family.towers.size() > 1) {
      require(towers.front().file.file().has_dataset("logit_scale"), "no logit_scale");
      keys.say_json("architectures", "[" + json_string(family.architectures[0]) + "]");
    }
    check_draft(draft, keys, towers, tokenizer);
  } catch (const Error& error) {
    draft.problems.push_back(error.what());
    draft.far = true;
  }
  draft.config = keys.config_json();
  draft.generation = keys.generation_json();
  return draft;
}

/// The forms that a model may be put in for a family, and those of all other families.
bool has_form(Form form, const Family& family, const std::deque<Tower>& towers) {
  if (form == Form::as_it_is) return true;
  if (towers.size() > 1) return false;
  const Configuration& c = towers.front().file.configuration();
  if (form == Form::halved) return family.model_type == "marian" && can_halve_sinusoids(c);
  return can_be_in_tables(c);
}

/// The families that are meant where none is asked for: that of the import, or of one of its towers if that is all that
/// there is. Empty: any.
std::vector<std::string> usual_families(const std::deque<Tower>& towers) {
  const std::string name = towers.front().file.texts().family;
  if (name.empty()) return {};
  const Family& family = family_named(name);
  if (towers.size() == family.towers.size()) return {name};
  std::vector<std::string> names;
  for (const FamilyTower& tower : family.towers)
    if (towers.size() == 1 && (towers.front().name.empty() || towers.front().name == tower.name))
      names.push_back(tower.alone);
  return names.empty() ? std::vector{name} : names;
}

/// Of the family that was asked for, the one of the import, or the first that has a place for everything; as it is
/// before any other form.
Draft choose(const std::deque<Tower>& towers, const Tokenizer* tokenizer, const ExportOptions& options) {
  const std::vector<std::string> names =
      options.family.empty() ? usual_families(towers) : std::vector{family_named(options.family).model_type};
  const Configuration& c = towers.front().file.configuration();
  const std::int64_t positions = options.positions > 0 ? options.positions
                                 : c.context > 0       ? c.context
                                                       : c.stack(c.has_decoder()).max_positions;
  std::optional<Draft> best;
  for (const Form form : {Form::as_it_is, Form::halved, Form::tables})
    for (const Family& family : families()) {
      const bool meant = names.empty() || std::count(names.begin(), names.end(), family.model_type) > 0;
      if (!meant || !has_form(form, family, towers)) continue;
      Draft draft = draft_of({&family, form, positions}, towers, tokenizer);
      const auto distance = [](const Draft& d) { return std::pair(d.far, d.problems.size()); };
      if (!best || distance(draft) < distance(*best)) best = std::move(draft);
      if (best->problems.empty()) return std::move(*best);
    }
  const std::string help =
      best->options.empty() ? "" : "; train and model make with" + best->options + " make one that is";
  throw Error(cat(towers.front().file.name(), ": ",
                  names.empty() ? "is a model of no family that is known; of the nearest, " : "is no ",
                  best->family->model_type,
                  names.empty() ? ", these differ: " : "; what has no place there: ", list_of(best->problems), help));
}

/// Types: that of the parameters; where a family computes, theirs if nothing is rounded by it.
TensorType type_of(const Draft& draft, const Draft::Tensor& tensor, const std::optional<TensorType>& usual,
                   const std::function<Elements(const std::string&)>& read) {
  std::optional<TensorType> type;
  bool computes = false;
  for (const auto& [row, which] : tensor.parts.parts) {
    const TensorType of_row = draft.type(*tensor.tower, row->ours);
    type = !type || *type == of_row ? of_row : TensorType::F32;
    computes |= row->computes();
  }
  if (!computes) return *type;
  if (!usual || *usual == TensorType::F32) return TensorType::F32;
  Elements e = assemble(tensor.parts, read);
  return narrow(e, *usual) ? *usual : TensorType::F32;
}

/// The type of all parameters that are not computed; nothing when they have several.
std::optional<TensorType> usual_type(const Draft& draft) {
  std::optional<TensorType> type;
  for (const auto& [name, tensor] : draft.tensors)
    for (const auto& [row, which] : tensor.parts.parts) {
      if (row->computes()) continue;
      const TensorType one = draft.type(*tensor.tower, row->ours);
      if (type && *type != one) return std::nullopt;
      type = one;
    }
  return type;
}

/// Those whose names begin with `prefix`, which is left out; of others, all that stand in no folder of their own.
void write_tensors(const Draft& draft, const std::string& prefix, const std::string& path) {
  const std::optional<TensorType> usual = usual_type(draft);
  const auto reader = [&](const Tower* tower) {
    return [tower, &draft](const std::string& name) { return draft.read(*tower, name); };
  };
  std::vector<NewTensor> announced;
  for (const auto& [name, tensor] : draft.tensors)
    if (name.substr(0, name.find('/') + 1) == prefix)
      announced.push_back(
          {name.substr(prefix.size()), type_of(draft, tensor, usual, reader(tensor.tower)), tensor.parts.shape});
  const Hdf5File& file = draft.tensors.begin()->second.tower->file.file();
  const bool scaled = draft.family->towers.size() > 1;
  Elements scale{TensorType::F32, 1, 1, {}};
  if (scaled) {
    const Array value = file.read("logit_scale");
    scale.bytes.assign(value.bytes.begin(), value.bytes.end());
    if (usual.value_or(TensorType::F32) != TensorType::F32) narrow(scale, *usual);
    announced.push_back({"logit_scale", scale.type, {}});
  }
  SafetensorsWriter writer(path, std::move(announced));
  for (const NewTensor& tensor : writer.tensors()) {
    if (!draft.tensors.contains(prefix + tensor.name)) {
      writer.write(scale.bytes);
      continue;
    }
    const Draft::Tensor& from = draft.tensors.at(prefix + tensor.name);
    Elements e = assemble(from.parts, reader(from.tower));
    if (e.type != tensor.type) require(narrow(e, tensor.type), "tensor ", tensor.name, " does not fit its type");
    writer.write(e.bytes);
  }
  writer.close();
}

void write_text(const std::string& path, const std::string& text) {
  if (text.empty()) return;
  OutputFile out(path, Content::text);
  out.write(text);
  out.close();
}

}  // namespace

void export_checkpoint(const std::string& model, const std::string& output, const ExportOptions& options) {
  const std::deque<Tower> towers = towers_of(model);
  const ModelTexts texts = towers.front().file.texts();
  std::unique_ptr<Tokenizer> tokenizer;
  hf::TokenizerFiles files;
  if (!options.without_tokenizer && !texts.tokenizer.empty()) {
    const std::string& name = towers.front().file.name();
    tokenizer = Tokenizer::parse(texts.tokenizer, name);
    try {
      files = hf::without_control_tokens(hf::without_unused_pieces(tokenizer_json(*tokenizer)));
    } catch (const Error& error) {
      throw Error(cat(name, ": ", error.what(), " (--without-tokenizer leaves it out)"));
    }
  }
  const Draft draft = choose(towers, tokenizer.get(), options);

  TemporaryDirectory directory(output);
  write_text(directory.file("config.json"), draft.config);
  write_text(directory.file("generation_config.json"), draft.generation);
  write_text(directory.file("tokenizer.json"), files.tokenizer);
  write_text(directory.file("tokenizer_config.json"), files.config);
  write_text(directory.file("preprocessor_config.json"), texts.preprocessor);
  if (draft.modules) {
    directory.directory("1_Pooling");
    if (draft.modules->dense) {
      const std::string& folder = draft.modules->dense->folder;
      directory.directory(folder);
      write_tensors(draft, folder + "/", directory.file(folder + "/model.safetensors"));
    }
    for (const auto& [path, text] : files_of(*draft.modules, towers.front().file.configuration().width))
      write_text(directory.file(path), text);
  }
  write_tensors(draft, "", directory.file("model.safetensors"));
  directory.rename();
}

}  // namespace pipeformer
