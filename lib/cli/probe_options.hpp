/// Looking at intermediates and changing them, as options of the tools that run models.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "cli/tool.hpp"
#include "layers/parameter.hpp"
#include "models/model_probe.hpp"

namespace pipeformer {

/// --list-taps, --tap, --tap-file.
std::vector<Option> tap_options();
/// --patch, --ablate, --ablate-with, --add, which every tool with taps has.
std::vector<Option> change_options();
/// All these, and --scale.
std::vector<Option> probe_options();

/// What is special about a tool.
struct ProbingUse {
  bool look = false;       ///< An option of its own needs a tap.
  bool training = false;   ///< Gradients are intermediates too.
  bool own_scale = false;  ///< Its --scale may be a number, which is about something else.
};

/// What they ask for.
class Probing {
 public:
  /// `build` constructs the layers from a source; it is called when somebody looks. Opens and loads files. Throws
  /// UsageError or Error.
  Probing(const Args&, const std::function<void(ParameterSource&)>& build, const ProbingUse& use = {});

  /// Whether any of the options is given.
  static bool asked(const Args&, const ProbingUse& use = {});
  /// What --scale says of intermediates.
  static std::vector<std::string> scales(const Args&, const ProbingUse& use);
  /// For the source that the layers are built from; null when nobody looks.
  TapList* list() { return asked_ ? &list_ : nullptr; }
  /// The tap of this name, for an option of the tool's own. Throws UsageError, which `what` begins, when there is none.
  Tap tap(const std::string& name, const std::string& what) const { return matching_taps(list_, name, what).front(); }
  /// --list-taps: the names were written, and there is nothing else to do.
  bool listed() const { return listed_; }
  const Probe* probe() const { return changes_ || writer_ ? &probe_ : nullptr; }
  /// Only the changes, for a pass whose result is computed anew to be looked at.
  const Probe* changes() const { return changes_ ? &changing_ : nullptr; }
  bool writes() const { return writer_.has_value(); }
  /// Throws UsageError for a change on which nothing depends that is written. reaches(a, b): b is computed from a, or
  /// is a; outputs: what is written beside the taps.
  void expect_effects(const std::vector<std::string>& outputs,
                      const std::function<bool(const std::string&, const std::string&)>& reaches) const;
  /// Of a tool that writes: what is seen from now on stands in a group of its own.
  void begin_group(const std::string& name) { writer_->begin_group(name); }
  /// After a run over so many sequences, before the results are closed. Throws Error for what was asked for and did not
  /// happen, as far as a part of a run can tell (--skip, --take, one rank of several).
  void close(std::int64_t sequences);

 private:
  bool asked_ = false, listed_ = false;
  TapList list_;
  std::optional<Interventions> changes_;
  std::optional<TapWriter> writer_;
  ModelProbe probe_{nullptr, nullptr}, changing_{nullptr, nullptr};
};

}  // namespace pipeformer
