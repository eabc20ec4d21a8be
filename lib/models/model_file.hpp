/// Model files: one HDF5 file with the hyper-parameters as attributes of the root, the parameters as datasets in groups
/// named after the paper
/// ("encoder/0/self_attn/query/weight", [out, in]), and the tokenizer as a byte dataset `tokenizer`.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/hdf5.hpp"
#include "layers/parameter.hpp"
#include "models/configuration.hpp"
#include "models/quantization.hpp"

namespace pipeformer {

/// Texts that a model carries with it, as byte datasets; an empty one is left out.
struct ModelTexts {
  std::string tokenizer{};     ///< Dataset `tokenizer`: the bytes of the tokenizer's file.
  std::string labels{};        ///< Dataset `labels`: the names of the classes, a line each.
  std::string preprocessor{};  ///< Dataset `preprocessor`: preprocessor_config.json of an imported model of images.
  std::string family{};        ///< Dataset `family`: model_type of the checkpoint that a model was imported from.
};

/// The `format` of a file that holds several models, each in a group of its own (the towers of CLIP).
constexpr const char* kSeveralModels = "pipeformer models";

/// The models at an address: all of a file of several, each with the group that it stands in; else the one meant, whose
/// names need none.
struct ModelPlace {
  std::string group, address;
  std::string path(const std::string& name) const { return group.empty() ? name : group + "/" + name; }
};
std::vector<ModelPlace> models_at(const std::string& address);

/// Beside NAME/weight an adapter has the parameters NAME/adapter_a and NAME/adapter_b; the model's attribute has the
/// scale.
constexpr const char *kWeightSuffix = "/weight", *kAdapterScale = "adapter_scale";
std::string adapter_name(const std::string& weight, char which);

/// Writes what stands beside the parameters: hyper-parameters and texts, at the root or into a group.
void write_model_head(Hdf5File&, const Configuration&, const ModelTexts&, const std::string& group = "");

/// A model opened for inference: parameters are mapped, not read, so that the processes of a pipeline share them and a
/// large model opens in milliseconds. A file whose datasets cannot be mapped (chunked, compressed, float64) is read
/// instead.
class ModelFile : public StoredParameters {
 public:
  /// Address "model.h5" or "model.h5:encoder/0/self_attn". Throws Error when the file is no model or has no such group.
  /// With `weights`, the weights become elements of that type as they are asked for, as quantize_model writes them.
  explicit ModelFile(const std::string& address, std::optional<WeightType> weights = std::nullopt);

  const Configuration& configuration() const { return configuration_; }
  /// Of adapters; 0: there are none. Weights are bound as their sums with them, unless they are kept apart.
  double adapter_scale() const { return adapter_scale_; }
  void keep_adapters_apart() { adapters_apart_ = true; }
  const std::string& name() const { return file_->name(); }
  const std::string& group() const { return group_; }  ///< "" for the whole model (of several: for the one meant).
  /// `path` below the addressed group: "query/weight" -> "encoder/0/self_attn/query/weight".
  std::string below(const std::string& path) const { return group_.empty() ? path : group_ + "/" + path; }

  bool has(const std::string& name) const override { return file_->has_dataset(stored(name)); }
  Shape shape(const std::string& name) const override;  ///< Throws Error when there is no such parameter.
  std::string where() const override { return name() + ": "; }
  /// Binds a parameter by its full name. Throws Error when it is missing or has another shape.
  Parameter get(const std::string& name, const Shape& shape, Initial initial) override;
  Weight get_weight(const std::string& name, const Shape& shape, Initial initial) override;
  /// A parameter as it is stored, of int8 with its scales; float32 where it had to be read.
  WeightView stored_parameter(const std::string& name, const Shape& shape);
  /// The type that a parameter is stored with; float32 for those that are read as such.
  WeightType type(const std::string& name) const;
  void require_finite() const override;
  /// The bytes of the tokenizer stored with the model; nothing when there is none.
  std::optional<std::string> tokenizer() const { return text("tokenizer"); }
  /// The names of the classes, in the order of their numbers; none when the model has no names.
  std::vector<std::string> labels() const;
  ModelTexts texts() const;
  const Hdf5File& file() const { return *file_; }

 private:
  std::optional<std::string> text(const std::string& dataset) const;
  bool has_adapter(const std::string& name) const;
  /// The sum of a weight and its adapter, which is kept.
  WeightView with_adapter(const std::string& name, const Shape& expected);
  /// stored_parameter() and get() of the weight alone.
  WeightView stored_apart(const std::string& name, const Shape& expected);
  Parameter get_apart(const std::string& name, const Shape& expected);
  /// The path in the file of a name in the model.
  std::string stored(const std::string& name) const { return model_.empty() ? name : model_ + "/" + name; }
  std::optional<Hdf5File> file_;
  std::string model_;  ///< The group that holds the model, in a file of several.
  std::string group_;
  Configuration configuration_;
  /// A parameter of the shape that is expected: where its elements are in the mapped file, or null.
  WeightView mapped(const Hdf5Dataset&, const std::string& name, const Shape& expected);
  std::map<std::string, Array> read_;         ///< As f4: parameters that could not be mapped, or not bound as they are.
  std::map<std::string, OwnedWeight> owned_;  ///< The same of weights of other types.
  std::map<std::string, WeightView> bound_;
  std::optional<WeightType> wanted_;
  double adapter_scale_ = 0;
  bool adapters_apart_ = false;
};

/// One parameter of a list of them; offset: where it begins when all are put one after another, each on a cache line.
struct ParameterEntry {
  std::string name;
  Shape shape;
  Initial initial;
  std::int64_t offset, size;
  bool weight;  ///< Asked for as get_weight() does, by all who ask: it may be stored in fewer bits.
};

/// The parameters that `build` asks for as it constructs layers, in that order, each once.
std::vector<ParameterEntry> list_parameters(const std::function<void(ParameterSource&)>& build);

/// The intermediates of the layers that `build` constructs, in the order in which they are made.
TapList list_taps(const std::function<void(ParameterSource&)>& build, bool gradients = false);

/// All parameters of a model in training: values and gradients are each one contiguous arena, so that an optimizer
/// step, an all-reduce and a checkpoint are one pass each.
class ParameterArena : public ParameterSource {
 public:
  using Entry = ParameterEntry;
  /// `build` constructs the layers from a source; it is called twice: to list the parameters, and by the user, to bind
  /// them.
  explicit ParameterArena(const std::function<void(ParameterSource&)>& build);
  ParameterArena(const ParameterArena&) = delete;
  ParameterArena& operator=(const ParameterArena&) = delete;

  Parameter get(const std::string& name, const Shape& shape, Initial initial) override;
  const std::vector<Entry>& entries() const { return entries_; }
  const Entry& entry(const std::string& name) const;  ///< Throws Error when there is none.
  std::int64_t size() const { return size_; }         ///< Of the arena, with the gaps that align its parameters.
  std::int64_t parameters() const;                    ///< Trained numbers.
  /// For changing them: packed copies of weights are made anew. It counts a version up, so that it must not be called
  /// by several threads at a time: ask once, before a parallel loop.
  float* mutable_values() {
    ++version_;
    return values_.data();
  }
  const float* values() const { return values_.data(); }
  float* gradients() { return gradients_.data(); }
  const float* gradients() const { return gradients_.data(); }

  /// All gradients zero: backward passes add to them.
  void clear_gradients();

  /// Fresh values; each parameter's draw depends on the seed and its name only.
  void initialize(std::uint64_t seed);
  /// Throws Error for a parameter that the file lacks or holds in another shape. `keeps`: those that keep their values;
  /// null: none. before: only the parameters whose names begin so, which the file names without it.
  void load(ModelFile&, const std::function<bool(const Entry&)>& keeps = {}, const std::string& before = "");
  /// Writes the parameters, the configuration and the texts into a file being made.
  void write(Hdf5File&, const Configuration&, const ModelTexts&) const;
  void write_parameters(Hdf5File&, const std::string& before = "") const;

 private:
  std::vector<Entry> entries_;
  std::int64_t size_ = 0;
  Buffer<float> values_, gradients_;
  std::uint64_t version_ = 0;
};

}  // namespace pipeformer
