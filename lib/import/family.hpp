/// A family of checkpoints in Hugging Face's layout: how its configuration becomes ours, and which of its tensors is
/// which of our parameters. Nothing is guessed and nothing is dropped: a tensor that nobody takes, a parameter that
/// nobody fills and a configuration key that nobody understands are errors (import.cpp collects them).
///
/// A new family is one function in a file of its own, and a line in families.cpp.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/json.hpp"
#include "io/tensor_folder.hpp"
#include "models/configuration.hpp"

namespace pipeformer {

/// The keys of a configuration; every look at one notes that it is understood.
class ConfigKeys {
 public:
  /// generation: generation_config.json, where it exists; what it says about ids goes before.
  ConfigKeys(Json config, std::optional<Json> generation) : config_(config), generation_(generation) {}

  std::int64_t integer(const std::string& key) const { return need(key).integer(); }
  std::int64_t integer(const std::string& key, std::int64_t fallback) const;
  double number(const std::string& key, double fallback) const;
  bool flag(const std::string& key, bool fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  /// A member that is set (not null).
  std::optional<Json> get(const std::string& key) const;
  /// The ids of a key that holds one or several, -1 and nothing for none; from generation_config.json first.
  std::vector<std::int64_t> ids(const std::string& key) const;
  std::int64_t id(const std::string& key) const;  ///< The first one, -1 for none.
  std::int64_t suppressed() const;                ///< The one id that bad_words_ids forbids, -1 for none.
  /// Throws Error unless the key is missing, null, or has this value: we do nothing else.
  void expect(const std::string& key, bool value) const;
  void expect(const std::string& key, const char* value) const;
  /// Keys that change nothing here.
  void harmless(std::initializer_list<const char*> keys) const;
  std::string architecture() const;  ///< The first of `architectures`; empty when there is none.
  /// The keys that nobody asked for and that are not known to change no result, sorted.
  std::vector<std::string> not_understood() const;
  /// Of a member that is an object.
  ConfigKeys inside(const std::string& key) const;
  const Json& json() const { return config_; }

 private:
  Json need(const std::string& key) const;
  Json config_;
  std::optional<Json> generation_;
  mutable std::set<std::string> seen_;
};

/// One parameter of ours and where it comes from.
struct ImportRow {
  std::string ours;
  std::vector<std::string> theirs;  ///< Several: their rows one after another.
  bool transposed = false;          ///< (in, out) becomes (out, in).
  /// Then: rows first, first + step, ... in runs of `run`: row r is theirs' row first + r / run * step + r % run. run
  /// 0: all rows from `first` on.
  std::int64_t first = 0, run = 0, step = 0;
  std::int64_t rows = -1;     ///< How many; -1: all there are.
  std::int64_t patch = 0;     ///< A convolution (out, C, P, P) becomes (out, P * P * C), channels last.
  bool side_by_side = false;  ///< Several of `theirs` stand beside each other: columns, not rows.
  float plus = 0, times = 1;  ///< Then x * times + plus, in float32.
  bool add = false;           ///< Several of `theirs` are added up (before times and plus).
};

/// What a family's function fills.
struct Import {
  const ConfigKeys& keys;
  const TensorFolder& tensors;
  std::string prefix{};  ///< What the tensors' names of the base model begin with ("bert.", or nothing).
  Configuration configuration{};
  std::vector<ImportRow> rows{};
  std::set<std::string> left_out{};                           ///< Tensors that are no parameters: buffers, masks.
  std::vector<std::pair<std::string, std::string>> copies{};  ///< (copy, original): must hold the same elements.
  std::vector<std::string> labels{};

  bool has(const std::string& theirs) const { return tensors.has(theirs); }
  Shape shape(const std::string& theirs) const;  ///< Throws Error when there is no such tensor.
  /// Sets the prefix: `candidate` if any tensor's name begins with it.
  void find_prefix(const std::string& candidate);
  /// A row whose source has the same shape.
  void row(const std::string& ours, const std::string& theirs) { rows.push_back({ours, {theirs}}); }
  /// ours/weight and, if there is one, ours/bias. Older files call a norm's gamma and beta.
  void layer(const std::string& ours, const std::string& theirs);
  /// A tensor that repeats another one, where it is there.
  void copy(const std::string& copy, const std::string& original);
  void leave_out(const std::string& theirs) { left_out.insert(theirs); }
  /// id2label becomes the names of the classes, and their number.
  void take_labels();
  /// The ids that a decoder starts from, must give first, ends with and must not give.
  void take_control_ids(bool starts_with_id);
};

/// An activation's name in the reference library.
Activation activation_of(const ConfigKeys&, const std::string& key, const std::string& fallback);
Activation activation_of(const std::string& name);

/// Rotary positions from base and turned share of a head, and from rope_scaling or rope_parameters where they say more.
void rotary_of(Import&, StackSpec&, double base, double share);

/// A model inside a checkpoint: the whole one, or one tower of several. Empty name: the file's root.
struct ImportedTower {
  std::string name;
  std::function<void(Import&)> build;
};

struct Family {
  std::string model_type;                  ///< As config.json calls it.
  std::vector<std::string> architectures;  ///< Those that are understood.
  std::vector<ImportedTower> towers;
};
/// All families that are known.
const std::vector<Family>& families();

}  // namespace pipeformer
