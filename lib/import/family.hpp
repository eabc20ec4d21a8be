/// A family of checkpoints in Hugging Face's layout: how its configuration and ours say the same, and which of its
/// tensors is which of our parameters. One function a family serves both directions: reading a checkpoint
/// (import.cpp) and writing one (export.cpp). Nothing is guessed and nothing is dropped: a tensor that nobody takes, a
/// parameter that nobody fills and a configuration key that nobody understands are errors; a written checkpoint must
/// give the same configuration when it is read.
///
/// A new family is one function in a file of its own, and a line in families.cpp.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "import/config_keys.hpp"
#include "import/tensor_rows.hpp"
#include "models/configuration.hpp"

namespace pipeformer {

struct Exchange;

/// A model inside a checkpoint: the whole one, or one tower of several. Empty name: the file's root.
struct FamilyTower {
  std::string name;
  std::function<void(Exchange&)> build;
  std::string alone{};  ///< The family of this tower without the others.
};

struct Family {
  std::string model_type;                  ///< As config.json calls it.
  std::vector<std::string> architectures;  ///< Those that are understood.
  std::vector<FamilyTower> towers;
};
/// All families that are known.
const std::vector<Family>& families();
/// Throws Error that lists those that are known.
const Family& family_named(const std::string& model_type);

using Shapes = std::map<std::string, Shape>;

/// What a family's function fills. Reading: a configuration of defaults and the tensors that there are. Writing: the
/// model's configuration and its parameters. The function sets every hyper-parameter: those that the family fixes are
/// assigned, all others are keys' fields, or follow from what is there.
struct Exchange {
  const Family& family;
  ConfigKeys& keys;
  const Shapes& tensors;     ///< Reading: theirs. Writing: none.
  const Shapes& parameters;  ///< Writing: ours. Reading: none.
  std::string prefix{};      ///< What the tensors' names of the base model begin with ("bert.", or nothing).
  Configuration configuration{};
  std::vector<std::string> labels{};
  std::int64_t padding = -1;           ///< Writing: the tokenizer's padding id.
  std::optional<float> logit_scale{};  ///< Reading: of one encoder of pairs that was trained here.
  std::vector<TensorRow> rows{};
  std::set<std::string> left_out{};                           ///< Tensors that are no parameters: buffers, masks.
  std::vector<std::pair<std::string, std::string>> copies{};  ///< (copy, original): must hold the same elements.

  bool writing() const { return keys.writing(); }
  const std::string& type() const { return family.model_type; }
  /// Whether the checkpoint is of an architecture whose name ends so. Writing: `ours`, and it becomes that one.
  bool is(const std::string& ending, bool ours);
  /// Whether a tensor is there. Writing: `ours`.
  bool exists(const std::string& theirs, bool ours) const { return writing() ? ours : tensors.contains(theirs); }
  /// Reading: the length of an axis of a tensor. Throws Error when there is none.
  void length(std::int64_t& value, const std::string& theirs, std::size_t axis) const;
  /// Sets the prefix. Reading: `candidate` if any tensor's name begins with it. Writing: `ours`.
  void find_prefix(const std::string& candidate, bool ours = true);
  /// A row whose source has the same shape, or has leading axes of 1, so that it has so many axes.
  void row(const std::string& ours, const std::string& theirs, std::size_t axes = 0) {
    rows.push_back({.ours = ours, .theirs = {theirs}, .axes = axes});
  }
  /// ours/weight and, if there is one, ours/bias. Older files call a norm's gamma and beta.
  void layer(const std::string& ours, const std::string& theirs);
  /// ours/weight and, if there is one, ours/bias: the rows of theirs that `slice` says (a transposed weight has columns
  /// for them).
  void part(const std::string& ours, const std::string& theirs, const TensorRow& slice);
  /// Query, key, value and output of an attention sublayer by their names there.
  void attention(const std::string& ours, const std::string& theirs, const std::vector<std::string>& names);
  /// A tensor that repeats another one, where it is there.
  void copy(const std::string& copy, const std::string& original);
  void leave_out(const std::string& theirs) { left_out.insert(theirs); }
  /// id2label and the names of the classes, and of sequences problem_type.
  void field_labels();
  void field_problem_type();
  /// The kind of a causal model: a language model, which is a decoder here; or an encoder of which a linear layer
  /// without bias, `score`, reads the last row (...ForSequenceClassification), or one with bias reads each of them:
  /// `tagger` (...ForTokenClassification), or qa_outputs (...ForQuestionAnswering). Returns the stack; `side` becomes
  /// what our names begin with.
  StackSpec& field_causal(const std::string& language_model, std::string& side, const std::string& tagger = "score");
  /// The ids that a decoder starts from, must give first, ends with and must not give.
  void field_control_ids(bool starts_with_id);
  /// max_position_embeddings of a model without learned positions.
  void field_context();
  /// tie_word_embeddings of a decoder.
  void field_tied(bool fallback);
  /// Their output matrix: a copy of `table`, or ours.
  void output(const std::string& output, const std::string& table);
};

/// The sizes of a stack by the names that most families have for them.
void field_sizes(ConfigKeys&, Configuration&, StackSpec&);

/// Patches of images: their sizes, and the side of the images whose patches the learned positions count.
void field_image(ConfigKeys&, Configuration&, std::int64_t usual_patch);
/// As many positions as `theirs` has along an axis. Throws Error unless these are one for each patch of an image
/// (image_size: the side of a square, or height and width) and one for each class token.
void field_image_positions(Exchange&, const ConfigKeys&, const std::string& theirs, std::size_t axis);

/// What a family calls the base of rotary positions and the share of a head that is turned (empty: a whole head).
struct RotaryKeys {
  std::string base = "rope_theta", share{};
  double usual_share = 1;
};
/// Rotary positions by their keys, and rope_scaling or rope_parameters where they say more (transformers,
/// modeling_rope_utils). After field_context().
void field_rotary(Exchange&, StackSpec&, const RotaryKeys&);

/// The layers with a window and those without, by layer_types, or as `usual` says where that key is missing (letters as
/// StackSpec::window_pattern). In families whose configuration has no layer_types this is not called.
void field_layer_types(Exchange&, StackSpec&, const std::string& usual);

}  // namespace pipeformer
