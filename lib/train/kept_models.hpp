/// The models of the last and of the best validations, kept beside the output for averaging and comparison.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pipeformer {

struct KeepSettings {
  std::int64_t last = 0;  ///< So many of the last validations,
  std::int64_t best = 0;  ///< and so many of the best ones.
};

/// Which validations' models are kept. The list is part of a checkpoint; the files are OUTPUT.step-N.h5.
class KeptModels {
 public:
  KeptModels(std::string output, const KeepSettings& settings) : output_(std::move(output)), settings_(settings) {}

  bool active() const { return settings_.last > 0 || settings_.best > 0; }
  std::string path(std::int64_t step) const;
  /// The step of a file by its name in the output's directory; 0 for what is none of this output's models.
  std::int64_t step_of(const std::string& name) const;
  /// After a validation: adds its step and forgets those that are no longer wanted. cost: lower is better.
  void add(std::int64_t step, double cost);
  /// The files of steps that are not on the list, by exact name; none unless active.
  std::vector<std::string> others() const;
  /// Removes the files of steps that are not on the list. To be called once a checkpoint holds the list.
  void remove_others() const;

  std::vector<std::int64_t> steps;  ///< Ascending.
  std::vector<double> costs;        ///< Of each.

 private:
  std::string output_;
  KeepSettings settings_;
};

}  // namespace pipeformer
